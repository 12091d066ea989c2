//! Keeps the server of one life asked for what its watchers want to know.
//!
//! Takes the steps that are due in the table of watchers. A legacy server is asked for each
//! resource; a modern one in `subscriber/stream.rs` for everything at once. It tells nobody
//! anything: the table does.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use ractor::ActorRef;
use tokio::time::sleep;

use super::ConnectionMsg;
use crate::{
    actor::{
        exchange::Exchange,
        handle::{ConnectionHandle, Live},
        watches::{Settled, Step, Topic},
    },
    id::Incarnation,
    upstream::{Deadline, RequestError},
    wire::Era,
};

mod stream;

use stream::Streams;

/// The pause before a server that ended a subscription, or could not take one, is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// Requests to a legacy server at a time.
const AT_ONCE: usize = 8;

/// Carries out the subscriptions of one life.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) exchange: Arc<Exchange>,
    pub(super) handle: Arc<ConnectionHandle>,
    pub(super) live: Arc<Live>,
    pub(super) actor: ActorRef<ConnectionMsg>,
}

impl Subscriber {
    /// Serves until it is dropped, from the moment when this life is the one that serves: one that
    /// is to take over may never do so.
    pub(super) async fn run(self) {
        let life = self.life();
        let mut standing = self.handle.watch();
        let serves =
            standing.wait_for(|now| now.live.as_ref().is_some_and(|live| live.incarnation == life));
        if serves.await.is_err() {
            return;
        }
        self.handle.watches.begin(life);
        match self.live.link.facts().era {
            Era::Legacy => self.one_by_one().await,
            Era::Modern => Streams::new(&self).keep().await,
        }
    }

    fn life(&self) -> Incarnation {
        self.live.incarnation
    }

    fn patience(&self) -> Deadline {
        let limit = self.exchange.settings().timeouts.call;
        Deadline::new(limit, limit)
    }

    async fn one_by_one(&self) {
        let (watches, life) = (&self.handle.watches, self.life());
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < AT_ONCE
                && let Some(step) = watches.next(life)
            {
                under_way.push(self.take(step));
            }
            tokio::select! {
                Some((step, outcome)) = under_way.next() => watches.done(life, &step, &outcome),
                () = watches.changed() => {}
            }
        }
    }

    /// Takes a step, as often as the server did not get it.
    async fn take(&self, step: Step) -> (Step, Settled) {
        let link = &self.live.link;
        loop {
            let outcome = match &step {
                // It tells of them by itself (MCP 2025-11-25, tasks).
                Step::Subscribe(Topic::Task(_)) | Step::Unsubscribe(Topic::Task(_)) => Ok(()),
                Step::Subscribe(_) if !link.can_watch() => Err(cannot_watch()),
                Step::Subscribe(Topic::Resource(uri)) => link.subscribe(uri, self.patience()).await,
                Step::Unsubscribe(Topic::Resource(uri)) => {
                    link.unsubscribe(uri, self.patience()).await
                }
            };
            match outcome.as_ref().err().and_then(pause) {
                Some(pause) => sleep(pause).await,
                None => return (step, outcome),
            }
        }
    }
}

/// What is said of a server that declares no such thing.
fn cannot_watch() -> RequestError {
    let why = "it does not tell of changes of single resources; read it again when it matters";
    RequestError::Refused(why.to_owned())
}

/// When to ask again after this; `None` where the server has answered.
fn pause(error: &RequestError) -> Option<Duration> {
    match error {
        RequestError::NotSent(_) | RequestError::Lost { .. } => Some(AGAIN),
        RequestError::Busy { retry_after } => Some(retry_after.unwrap_or(AGAIN)),
        RequestError::Timeout { .. }
        | RequestError::Refused(_)
        | RequestError::Server(_)
        | RequestError::Malformed(_) => None,
    }
}
