//! Listing a server's tools: on connecting, when it says that they changed, and on the interval.
//!
//! One listing at a time; a wish that comes meanwhile is one more listing afterwards.

use std::{sync::Arc, time::Duration};

use ractor::ActorRef;

use super::{ConnectionMsg, ConnectionState};
use crate::{
    actor::agent::AgentMsg,
    catalog::{Catalog, Tool},
    upstream::{Deadline, Link, StderrRing},
    wire::RawValue,
};

/// What a server offers, as it was just listed.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) catalog: Arc<Catalog>,
    /// Tools that were left out because they break the protocol.
    pub(crate) dropped: usize,
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
        self.spawn(myself, async move {
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
            Err(why) => tracing::warn!(server = %self.handle.seat.server, why, "tools not listed"),
        }
        if again {
            self.refresh(myself);
        }
    }

    pub(super) fn warn_of_dropped(&self, listing: &Listing) {
        if listing.dropped > 0 {
            tracing::warn!(
                server = %self.handle.seat.server,
                dropped = listing.dropped,
                "tools without a name or an input schema were left out"
            );
        }
    }
}

/// Characters of a server's own words in a cause.
const WORDS: usize = 200;

/// Lists and reads a server's tools. What it says of a failure may hold secrets that it was given.
pub(super) async fn listing(
    link: &Link,
    stderr: &StderrRing,
    timeout: Duration,
) -> Result<Listing, String> {
    let raw: Vec<Box<RawValue>> =
        link.list_tools(Deadline::new(timeout, timeout)).await.map_err(|why| {
            let why = stderr.quote(why.to_string().as_bytes(), WORDS);
            format!("its tools could not be listed: {why}")
        })?;
    let read: Vec<Tool> = raw.iter().filter_map(|tool| Tool::read(tool).ok()).collect();
    let dropped = raw.len() - read.len();
    Ok(Listing { catalog: Arc::new(Catalog::new(read)), dropped })
}
