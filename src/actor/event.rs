//! What happened to a connection, why, and what was decided: the timeline that answers "why is
//! this server down?".
//!
//! Written by supervisors only. Bounded twice: a ring for each connection, and a channel whose
//! slow readers lose the oldest events and are told so.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::{
    id::{Incarnation, Owner, Seat, ServerName, SessionKey},
    restart::State,
    store::KEPT_EVENTS,
};

mod number;

/// Events kept for each connection.
const KEPT: usize = KEPT_EVENTS;
/// Events that a reader of the stream may be behind before it loses some.
const BEHIND: usize = 1024;

/// One transition of one connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When, in seconds since the Unix epoch.
    #[serde(with = "number::epoch")]
    pub time: SystemTime,
    /// Whose connection.
    pub owner: Owner,
    /// Which server.
    pub server: ServerName,
    /// Which session's own connection; `None` for the common one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionKey>,
    /// Which life.
    pub incarnation: Incarnation,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why, in words.
    pub cause: Arc<str>,
    /// What was decided, in words.
    pub decision: Arc<str>,
    /// Time from then until the next try, in seconds.
    #[serde(default, with = "number::optional_seconds")]
    pub next: Option<Duration>,
}

/// The last events of one connection.
type Ring = VecDeque<Arc<Event>>;

/// The timelines of all connections of one runtime.
#[derive(Debug)]
pub(crate) struct EventLog {
    rings: Mutex<HashMap<(Owner, Seat), Ring>>,
    stream: broadcast::Sender<Arc<Event>>,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self { rings: Mutex::default(), stream: broadcast::Sender::new(BEHIND) }
    }

    /// Keeps an event, tells the readers, and logs it.
    pub(crate) fn record(&self, event: Event) {
        tracing::info!(
            owner = %event.owner,
            server = %event.server,
            session = event.session.as_ref().map(SessionKey::as_str),
            incarnation = event.incarnation.0,
            from = %event.from,
            to = %event.to,
            cause = %event.cause,
            decision = %event.decision,
            "connection",
        );
        let event = Arc::new(event);
        let mut rings = self.rings.lock();
        let seat = Seat { server: event.server.clone(), session: event.session.clone() };
        let ring = rings.entry((event.owner.clone(), seat)).or_default();
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(Arc::clone(&event));
        drop(rings);
        // Nobody listening is no failure.
        self.stream.send(event).ok();
    }

    /// Takes over what happened before this runtime, oldest first. Nobody is told of it.
    pub(crate) fn restore(&self, events: impl IntoIterator<Item = Event>) {
        let mut rings = self.rings.lock();
        for event in events {
            let key = (event.owner.clone(), Seat::common(event.server.clone()));
            let ring = rings.entry(key).or_default();
            if ring.len() == KEPT {
                ring.pop_front();
            }
            ring.push_back(Arc::new(event));
        }
    }

    /// The kept events of one connection, oldest first.
    pub(crate) fn of(&self, owner: &Owner, seat: &Seat) -> Vec<Arc<Event>> {
        let key = (owner.clone(), seat.clone());
        self.rings.lock().get(&key).map(|ring| ring.iter().cloned().collect()).unwrap_or_default()
    }

    /// Everything from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.stream.subscribe()
    }

    /// Drops the timelines of an owner that is no more.
    pub(crate) fn forget_owner(&self, owner: &Owner) {
        self.rings.lock().retain(|(of, _), _| of != owner);
    }

    /// Drops the timeline of a connection that left the configuration.
    pub(crate) fn forget(&self, owner: &Owner, seat: &Seat) {
        self.rings.lock().remove(&(owner.clone(), seat.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_timeline_is_bounded_and_in_order() {
        let log = EventLog::new();
        let mut stream = log.subscribe();
        let seat = Seat::common(ServerName::new("a").unwrap());
        for incarnation in 0..100 {
            log.record(Event {
                time: SystemTime::now(),
                owner: Owner::Store,
                server: seat.server.clone(),
                session: None,
                incarnation: Incarnation(incarnation),
                from: State::Ready,
                to: State::Backoff,
                cause: "x".into(),
                decision: "y".into(),
                next: None,
            });
        }
        let kept = log.of(&Owner::Store, &seat);
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept.first().unwrap().incarnation, Incarnation(36));
        assert_eq!(stream.recv().await.unwrap().incarnation, Incarnation(0));
        log.forget(&Owner::Store, &seat);
        assert!(log.of(&Owner::Store, &seat).is_empty());
    }
}
