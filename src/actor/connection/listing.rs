//! Listing what a server offers: on connecting, when it says that something changed, and on the interval.
//!
//! One listing at a time; a wish that comes meanwhile is one more listing afterwards.

use std::{sync::Arc, time::Duration};

use ractor::ActorRef;

use super::{ConnectionMsg, ConnectionState};
use crate::{
    actor::agent::AgentMsg,
    catalog::{Catalog, Item},
    upstream::{Deadline, Link, RequestError, StderrRing},
    wire::{Each, Primitive, RawValue, envelope::code},
};

/// What a server offers, as it was just listed.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) catalog: Arc<Catalog>,
    /// Definitions that were left out because they break the protocol.
    pub(crate) dropped: usize,
    /// Lists that the server declares and refuses to give.
    pub(crate) refused: Vec<String>,
}

impl ConnectionState {
    pub(super) fn arm_refresh(&mut self, myself: &ActorRef<ConnectionMsg>) {
        let settings = self.exchange.settings();
        let monitoring = &settings.monitoring;
        if monitoring.enable_tools_update {
            let hours = monitoring.tools_update_hours * 3600.0;
            let interval = Duration::from_secs_f64(hours);
            self.refresh_timer.set(myself, interval, || ConnectionMsg::RefreshTick);
        } else {
            self.refresh_timer.clear();
        }
    }

    pub(super) fn refresh(&mut self, myself: &ActorRef<ConnectionMsg>) {
        if let Some(again) = &mut self.listing {
            *again = true;
            return;
        }
        let Some(live) = self.live.clone() else {
            return;
        };
        self.listing = Some(false);
        let timeout = self.exchange.settings().timeouts.call;
        let (actor, stderr) = (myself.clone(), Arc::clone(&self.handle.stderr));
        self.spawn(myself, "listing", async move {
            let outcome = listing(&live.link, &stderr, timeout).await;
            actor.cast(ConnectionMsg::Listed(outcome)).ok();
        });
    }

    pub(super) fn listed(
        &mut self,
        myself: &ActorRef<ConnectionMsg>,
        outcome: Result<Listing, String>,
    ) {
        let again = self.listing.take() == Some(true);
        match outcome {
            Ok(listing) => {
                self.warn_of_dropped(&listing);
                self.tell(AgentMsg::Refreshed {
                    seat: self.handle.seat.clone(),
                    incarnation: self.incarnation,
                    catalog: listing.catalog,
                });
            }
            // The catalog known before stays; the health checks decide about the connection.
            Err(why) => tracing::warn!(server = %self.handle.seat.server, why, "not listed anew"),
        }
        if again {
            self.refresh(myself);
        }
    }

    pub(super) fn warn_of_dropped(&self, listing: &Listing) {
        let server = &self.handle.seat.server;
        for why in &listing.refused {
            tracing::warn!(%server, why, "a list that the server declares is taken as empty");
        }
        if listing.dropped > 0 {
            tracing::warn!(
                %server,
                dropped = listing.dropped,
                "what has no name, and tools without an input schema or with an x-mcp-header that \
                 cannot be a header, were left out"
            );
        }
    }
}

/// Characters of a server's own words in a cause.
const WORDS: usize = 200;

/// Lists and reads what a server offers. What it says of a failure may hold secrets that it was
/// given. Without its tools it is no use; of everything else it
/// may refuse the list, so that a server whose prompts are broken keeps its tools.
pub(super) async fn listing(
    link: &Link,
    stderr: &StderrRing,
    timeout: Duration,
) -> Result<Listing, String> {
    let list = |primitive| Box::pin(link.list(primitive, Deadline::new(timeout, timeout)));
    let (tools, prompts, resources, templates) = tokio::join!(
        list(Primitive::Tool),
        list(Primitive::Prompt),
        list(Primitive::Resource),
        list(Primitive::Template),
    );
    let mut outcomes = Each { tools, prompts, resources, templates };
    let mut listing = Listing { catalog: Arc::default(), dropped: 0, refused: Vec::new() };
    let mut items: Each<Vec<Item>> = Each::default();
    for primitive in Primitive::ALL {
        let outcome = std::mem::replace(outcomes.get_mut(primitive), Ok(Vec::new()));
        let raw = listing.given(primitive, outcome, stderr)?;
        let usable = raw.iter().filter(|it| primitive != Primitive::Tool || link.can_call(it));
        let read = usable.filter_map(|item| Item::read(primitive, item).ok());
        *items.get_mut(primitive) = read.collect();
        listing.dropped += raw.len() - items.get(primitive).len();
    }
    listing.catalog = Arc::new(Catalog::new(items));
    Ok(listing)
}

impl Listing {
    fn given(
        &mut self,
        primitive: Primitive,
        outcome: Result<Vec<Box<RawValue>>, RequestError>,
        stderr: &StderrRing,
    ) -> Result<Vec<Box<RawValue>>, String> {
        let failed = |why: RequestError| {
            let why = stderr.quote(why.to_string().as_bytes(), WORDS);
            format!("its {}s could not be listed: {why}", primitive.noun())
        };
        match outcome {
            Ok(items) => Ok(items),
            // One capability stands for resources and templates, and many servers have only those.
            Err(RequestError::Server(error))
                if primitive == Primitive::Template && error.code() == code::METHOD_NOT_FOUND =>
            {
                Ok(Vec::new())
            }
            Err(
                why @ (RequestError::Server(_)
                | RequestError::Refused(_)
                | RequestError::Malformed(_)
                | RequestError::Timeout { .. }),
            ) if primitive != Primitive::Tool => {
                self.refused.push(failed(why));
                Ok(Vec::new())
            }
            Err(why) => Err(failed(why)),
        }
    }
}
