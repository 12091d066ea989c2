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

mod detail;
mod number;

pub use detail::{Detail, Down, Trouble, Via, Waiting};

/// Events kept for each connection.
const KEPT: usize = KEPT_EVENTS;
/// Events that a reader of the stream may be behind before it loses some.
const BEHIND: usize = 1024;

/// One transition of one connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Calls that waited for the connection at that moment.
    #[serde(default, skip_serializing_if = "Waiting::is_nobody")]
    pub waiting: Waiting,
    /// What else is known.
    #[serde(default, skip_serializing_if = "Detail::is_step")]
    pub detail: Detail,
    /// Whether it is of an earlier run: it happened before this runtime, which it says nothing of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub earlier: bool,
}

impl Event {
    /// How a life ended, where this is the end of one.
    pub const fn down(&self) -> Option<&Down> {
        match &self.detail {
            Detail::Down(down) => Some(down),
            Detail::Step | Detail::Up { .. } => None,
        }
    }

    /// The process that it tells of.
    pub const fn pid(&self) -> Option<u32> {
        match &self.detail {
            Detail::Up { via: Via::Process { pid }, .. } => Some(*pid),
            Detail::Down(down) => down.pid,
            Detail::Step | Detail::Up { .. } => None,
        }
    }

    /// Whose connection it tells of.
    pub fn seat(&self) -> Seat {
        Seat { server: self.server.clone(), session: self.session.clone() }
    }
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
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    owner = %event.owner,
                    server = %event.server,
                    session = event.session.as_ref().map(SessionKey::as_str),
                    incarnation = event.incarnation.0,
                    from = %event.from,
                    to = %event.to,
                    cause = %event.cause,
                    decision = %event.decision,
                    last_words = event.down().and_then(|down| down.stderr.last()),
                    pid = event.pid(),
                    exit = event.down().and_then(|down| down.exit.as_ref()).map(tracing::field::display),
                    "connection",
                )
            };
        }
        // Levels are fixed where they are written; what a person must hear of is a warning.
        if matches!(event.to, State::Open | State::Failed) && event.to != event.from {
            log!(warn);
        } else {
            log!(info);
        }
        let event = Arc::new(event);
        let mut rings = self.rings.lock();
        let ring = rings.entry((event.owner.clone(), event.seat())).or_default();
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(Arc::clone(&event));
        // Nobody listening is no failure. Sent under the lock, so that who follows gets each
        // event once.
        self.stream.send(event).ok();
    }

    /// All kept events in their order, and everything from then on.
    pub(crate) fn follow(&self) -> (Vec<Arc<Event>>, broadcast::Receiver<Arc<Event>>) {
        let rings = self.rings.lock();
        let mut kept: Vec<_> = rings.values().flatten().cloned().collect();
        let next = self.stream.subscribe();
        drop(rings);
        kept.sort_by_key(|event| event.time);
        (kept, next)
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
            ring.push_back(Arc::new(Event { earlier: true, ..event }));
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

    fn event(incarnation: u64) -> Event {
        Event {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
            owner: Owner::Store,
            server: ServerName::new("a").unwrap(),
            session: None,
            incarnation: Incarnation(incarnation),
            from: State::Ready,
            to: State::Backoff,
            cause: "x".into(),
            decision: "y".into(),
            next: None,
            waiting: Waiting::default(),
            detail: Detail::Step,
            earlier: false,
        }
    }

    #[tokio::test]
    async fn a_timeline_is_bounded_and_in_order() {
        let log = EventLog::new();
        let mut stream = log.subscribe();
        let seat = event(0).seat();
        for incarnation in 0..100 {
            log.record(event(incarnation));
        }
        let kept = log.of(&Owner::Store, &seat);
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept.first().unwrap().incarnation, Incarnation(36));
        assert_eq!(stream.recv().await.unwrap().incarnation, Incarnation(0));
        log.forget(&Owner::Store, &seat);
        assert!(log.of(&Owner::Store, &seat).is_empty());
    }

    #[tokio::test]
    async fn who_follows_gets_what_was_kept_and_then_each_event_once() {
        let log = EventLog::new();
        log.record(event(1));
        let (kept, mut next) = log.follow();
        log.record(event(2));
        assert_eq!(kept, [Arc::new(event(1))]);
        assert_eq!(*next.recv().await.unwrap(), event(2));
        assert!(next.is_empty());
    }

    #[test]
    fn an_event_is_the_same_after_it_was_written_and_read() {
        let plain = event(7);
        let text = serde_json::to_string(&plain).unwrap();
        assert_eq!(
            text,
            r#"{"time":1.5,"owner":"store","server":"a","incarnation":7,"from":"ready","to":"backoff","cause":"x","decision":"y","next":null}"#
        );
        let down = Detail::Down(Down {
            trouble: Some(Trouble::Exited),
            pid: Some(41),
            exit: Some(crate::upstream::ProcessExit::Code(3)),
            lasted: Some(Duration::from_millis(500)),
            served: Some(Duration::from_millis(250)),
            stderr: vec!["no".to_owned()],
        });
        let waiting = Waiting { calls: 2, longest: Duration::from_secs(4) };
        let session = Some(SessionKey::of("s"));
        let via = Via::Process { pid: 41 };
        for detail in
            [Detail::Up { via, took: Duration::from_secs(1) }, down, Detail::Down(Down::default())]
        {
            let next = Some(Duration::from_millis(125));
            let full = Event { waiting, session: session.clone(), next, detail, ..plain.clone() };
            let text = serde_json::to_string(&full).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), full, "{text}");
        }
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), plain);
        let nonsense = text.replace("1.5", "-1");
        assert!(serde_json::from_str::<Event>(&nonsense).is_err());
    }
}
