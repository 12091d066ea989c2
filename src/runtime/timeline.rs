//! What happened: the timelines of connections, and what they add up to.
//!
//! Read from memory. It decides nothing and keeps nothing.

use std::{sync::Arc, time::SystemTime};

use serde::Serialize;
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};

use super::{Event, Explanation, RuntimeHandle, Scope, ServerStatus, explain};
use crate::{
    actor::{handle::ConnectionHandle, status},
    catalog::nearest,
    id::{Incarnation, Owner, Seat, ServerName, SessionKey},
};

/// What a reader of the stream of events hears.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Heard {
    /// The next event.
    Event(Arc<Event>),
    /// It was too slow.
    Lost {
        /// How many events it missed.
        lost: u64,
    },
}

/// Everything that is known about one connection.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// What it comes to, in words.
    pub explanation: Explanation,
    /// Where it stands.
    pub status: ServerStatus,
    /// What happened, oldest first, at most 64 events.
    pub events: Vec<Arc<Event>>,
}

impl RuntimeHandle {
    /// Every change of every connection from now on. A reader that falls more than 1024 events
    /// behind loses the oldest.
    pub fn events(&self) -> impl Stream<Item = Arc<Event>> + Send + use<> {
        BroadcastStream::new(self.tree.exchange.events.subscribe()).filter_map(Result::ok)
    }

    /// The kept events of all connections in their order, and everything from then on, each event
    /// once.
    pub fn follow(&self) -> (Vec<Arc<Event>>, impl Stream<Item = Heard> + Send + use<>) {
        let (kept, next) = self.tree.exchange.events.follow();
        let next = BroadcastStream::new(next).map(|heard| match heard {
            Ok(event) => Heard::Event(event),
            Err(BroadcastStreamRecvError::Lagged(lost)) => Heard::Lost { lost },
        });
        (kept, next)
    }

    /// The last changes of one connection, oldest first, at most 64.
    pub fn timeline(&self, owner: &Owner, seat: &Seat) -> Vec<Arc<Event>> {
        self.tree.exchange.events.of(owner, seat)
    }
}

impl Scope {
    /// The last changes of one connection, oldest first, at most 64.
    pub fn history(&self, server: &ServerName) -> Vec<Arc<Event>> {
        self.runtime.timeline(&self.owner, &Seat::common(server.clone()))
    }

    /// Why a server is as it is; `None` if this scope has none of this name. For one that was
    /// granted as a shared one, that of the store's connection.
    pub fn why(&self, server: &ServerName) -> Option<Story> {
        self.story(server, None)
    }

    /// The same, of a session's own connection where it has one.
    pub(crate) fn story(&self, server: &ServerName, session: Option<&SessionKey>) -> Option<Story> {
        let handle = self.serving(server, session)?;
        let status = status::server(&handle);
        let events = self.runtime.timeline(&handle.owner, &handle.seat);
        let explanation = explain(&status, &events, SystemTime::now());
        Some(Story { explanation, status, events })
    }

    /// The servers that this scope sees, its own and those that it was granted.
    pub(crate) fn seen(&self) -> Vec<ServerName> {
        self.runtime.tree.exchange.seen(&self.owner)
    }

    /// The name of a server that was probably meant.
    pub(crate) fn near(&self, server: &ServerName) -> Option<ServerName> {
        let seen = self.seen();
        let near = nearest(server.as_str(), seen.iter().map(ServerName::as_str))?.to_owned();
        seen.into_iter().find(|name| name.as_str() == near)
    }

    /// The connection that serves this scope's calls of a server. An agent's own one that was
    /// never started waits for tools that the store's connection lists: where that one is not
    /// ready, it is the one to be explained.
    fn serving(
        &self,
        server: &ServerName,
        session: Option<&SessionKey>,
    ) -> Option<Arc<ConnectionHandle>> {
        if !self.seen().contains(server) {
            return None;
        }
        let exchange = &self.runtime.tree.exchange;
        let own = session.and_then(|session| {
            exchange.handle(&self.owner, &Seat::of_session(server.clone(), session.clone()))
        });
        let common = Seat::common(server.clone());
        let granted = exchange.is_granted(&self.owner, server);
        let listing = exchange.handle(&Owner::Store, &common).filter(|_| granted);
        let is_listed = listing.as_ref().is_none_or(|listing| listing.is_ready());
        let started = |handle: &Arc<ConnectionHandle>| {
            is_listed || handle.standing().incarnation > Incarnation(0)
        };
        own.or_else(|| exchange.handle(&self.owner, &common).filter(started)).or(listing)
    }
}
