//! Legacy sessions over HTTP: who opened them, what runs in them, what can be resumed.
//!
//! Owned by the endpoint. A session's id is random and proves nothing: a session is found only
//! by the principal that opened it, at the same address. It ends by DELETE or by idleness.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::replay::{EventLog, Reader};
use crate::{
    face::mcp::{Caller, changes::Changes},
    wire::{Id, Revision},
};

/// Bytes of streams that a session keeps for resumption at most; the oldest give way.
const KEPT_BYTES: usize = 4 << 20;
/// Between two looks at all sessions, so that none is looked at for every request.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its id, random.
    pub(crate) id: String,
    /// Who opened it, and on whose view.
    pub(crate) caller: Caller,
    /// What was agreed on.
    pub(crate) revision: Revision,
    /// Cancelled when the session ends, which ends its calls and streams.
    pub(crate) ended: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    seen: Instant,
    calls: HashMap<Id, CancellationToken>,
    streams: BTreeMap<u64, Kept>,
    last_stream: u64,
    /// What the client was told of the view.
    changes: Changes,
}

/// A stream that can be resumed.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// What it sent.
    pub(crate) log: Arc<EventLog>,
    /// Whether it is a GET stream, which lives on when it is resumed.
    pub(crate) standalone: bool,
}

/// Names an event across a session: its stream, its number there.
pub(crate) fn event_id(stream: u64, number: u64) -> String {
    format!("{stream}_{number}")
}

fn parse_event_id(text: &str) -> Option<(u64, u64)> {
    let (stream, number) = text.split_once('_')?;
    Some((stream.parse().ok()?, number.parse().ok()?))
}

impl Session {
    /// Registers a call so that the client can cancel it; `None` where its id is in use.
    pub(crate) fn register(&self, id: Id) -> Option<CancellationToken> {
        let mut state = self.state.lock();
        if state.calls.contains_key(&id) {
            return None;
        }
        let token = self.ended.child_token();
        state.calls.insert(id, token.clone());
        Some(token)
    }

    /// The call has its answer.
    pub(crate) fn unregister(&self, id: &Id) {
        let mut state = self.state.lock();
        state.calls.remove(id);
        state.seen = Instant::now();
    }

    /// Cancels a call, if it still runs.
    pub(crate) fn cancel(&self, id: &Id) {
        if let Some(call) = self.state.lock().calls.get(id) {
            call.cancel();
        }
    }

    /// Keeps a stream for resumption and gives it its number.
    pub(crate) fn keep(&self, log: &Arc<EventLog>, standalone: bool) -> u64 {
        let mut state = self.state.lock();
        state.last_stream += 1;
        let number = state.last_stream;
        let kept = Kept { log: Arc::clone(log), standalone };
        state.streams.insert(number, kept);
        drop(state);
        self.tidy(Instant::now());
        number
    }

    /// Finds the stream of an event and a reader of what came after it.
    pub(crate) fn resume(&self, event: &str) -> Option<(u64, bool, Reader)> {
        let (stream, number) = parse_event_id(event)?;
        let state = self.state.lock();
        let kept = state.streams.get(&stream)?;
        Some((stream, kept.standalone, kept.log.read_after(number)))
    }

    /// Waits for changes of the view that no stream of this session told yet, and claims them:
    /// each change goes to one stream. `None` when the view is no more.
    pub(crate) async fn change(&self) -> Option<Vec<&'static str>> {
        loop {
            let mut waiting = self.state.lock().changes.clone();
            if !waiting.come().await {
                return None;
            }
            let due = self.state.lock().changes.take();
            if !due.is_empty() {
                return Some(due);
            }
        }
    }

    fn touch(&self, now: Instant) {
        self.state.lock().seen = now;
    }

    /// Drops streams that nobody will resume.
    fn tidy(&self, now: Instant) {
        let mut state = self.state.lock();
        state.streams.retain(|_, kept| !kept.log.is_forgotten(now));
        let mut size: usize = state.streams.values().map(|kept| kept.log.size()).sum();
        state.streams.retain(|_, kept| {
            let goes = size > KEPT_BYTES && !kept.log.is_in_use();
            if goes {
                size -= kept.log.size();
            }
            !goes
        });
    }

    fn is_expired(&self, now: Instant, idle: Duration) -> bool {
        let state = self.state.lock();
        let busy =
            !state.calls.is_empty() || state.streams.values().any(|kept| kept.log.is_in_use());
        !busy && now.duration_since(state.seen) >= idle
    }
}

/// All sessions of an endpoint.
#[derive(Debug)]
pub(crate) struct Sessions {
    idle: Duration,
    max: usize,
    /// Ends every session when the face is stopped for good.
    ended: CancellationToken,
    state: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    sessions: HashMap<String, Arc<Session>>,
    tidied: Instant,
}

impl Sessions {
    /// No sessions yet.
    pub(crate) fn new(idle: Duration, max: usize, ended: CancellationToken) -> Self {
        Self {
            idle,
            max,
            ended,
            state: Mutex::new(Table { sessions: HashMap::new(), tidied: Instant::now() }),
        }
    }

    /// Opens a session; `None` when there are too many.
    pub(crate) fn open(
        &self,
        caller: Caller,
        revision: Revision,
        changes: Changes,
    ) -> Option<Arc<Session>> {
        self.tidy_sometimes();
        let now = Instant::now();
        let mut table = self.state.lock();
        if table.sessions.len() >= self.max {
            self.tidy_table(&mut table, now);
        }
        if table.sessions.len() >= self.max {
            return None;
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        let session = Arc::new(Session {
            id: id.clone(),
            caller,
            revision,
            ended: self.ended.child_token(),
            state: Mutex::new(State {
                seen: now,
                calls: HashMap::new(),
                streams: BTreeMap::new(),
                last_stream: 0,
                changes,
            }),
        });
        table.sessions.insert(id, Arc::clone(&session));
        Some(session)
    }

    /// Finds a caller's own session and marks it as used. One that is unknown, expired or
    /// someone else's is not found.
    pub(crate) fn find(&self, id: &str, caller: &Caller) -> Option<Arc<Session>> {
        self.tidy_sometimes();
        let now = Instant::now();
        let mut table = self.state.lock();
        let session = Arc::clone(table.sessions.get(id)?);
        if session.is_expired(now, self.idle) {
            table.sessions.remove(id);
            session.ended.cancel();
            return None;
        }
        drop(table);
        let own =
            session.caller.principal == caller.principal && session.caller.owner == caller.owner;
        own.then(|| {
            session.touch(now);
            session
        })
    }

    /// Ends a session, its calls and its streams.
    pub(crate) fn end(&self, session: &Session) {
        self.state.lock().sessions.remove(&session.id);
        session.ended.cancel();
    }

    /// Ends expired sessions and drops streams that nobody will resume.
    pub(crate) fn tidy(&self) {
        self.tidy_table(&mut self.state.lock(), Instant::now());
    }

    fn tidy_sometimes(&self) {
        let now = Instant::now();
        let mut table = self.state.lock();
        if now.duration_since(table.tidied) >= TIDY_EVERY {
            self.tidy_table(&mut table, now);
        }
    }

    fn tidy_table(&self, table: &mut Table, now: Instant) {
        table.tidied = now;
        table.sessions.retain(|_, session| {
            let expired = session.is_expired(now, self.idle);
            if expired {
                session.ended.cancel();
            } else {
                session.tidy(now);
            }
            !expired
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::{
        access::{Principal, Versions},
        face::mcp::{
            endpoint::replay::{KEPT_FOR, Weight},
            fault::Head,
        },
        id::{AgentId, Owner},
        trace::Context,
        wire::method,
    };

    const IDLE: Duration = Duration::from_mins(30);

    fn caller(owner: Owner) -> Caller {
        Caller {
            principal: Principal::local(),
            owner,
            session: None,
            client: None,
            trace: Context::default(),
            headers: None,
        }
    }

    fn sessions(max: usize) -> (Sessions, watch::Sender<Versions>, Arc<Session>) {
        let sessions = Sessions::new(IDLE, max, CancellationToken::new());
        let version = watch::Sender::new(Versions::default());
        let session = sessions
            .open(caller(Owner::Store), Revision::LATEST_LEGACY, Changes::new(version.subscribe()))
            .unwrap();
        (sessions, version, session)
    }

    #[tokio::test]
    async fn a_session_is_found_by_its_own_caller_only() {
        let (sessions, _version, session) = sessions(1);
        let research = Owner::Agent(AgentId::new("research").unwrap());
        assert!(sessions.find(&session.id, &caller(Owner::Store)).is_some());
        assert!(sessions.find(&session.id, &caller(research)).is_none());
        assert!(sessions.find("unknown", &caller(Owner::Store)).is_none());
        sessions.end(&session);
        assert!(session.ended.is_cancelled());
        assert!(sessions.find(&session.id, &caller(Owner::Store)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_session_ends_but_not_one_with_a_call_or_a_stream() {
        let (sessions, version, session) = sessions(1);
        let open = || {
            let changes = Changes::new(version.subscribe());
            sessions.open(caller(Owner::Store), Revision::V2025_03_26, changes)
        };
        let call = session.register(Id::from(1)).unwrap();
        assert!(session.register(Id::from(1)).is_none());
        tokio::time::advance(IDLE).await;
        assert!(open().is_none());
        session.unregister(&Id::from(1));
        let log = EventLog::new();
        session.keep(&log, true);
        tokio::time::advance(IDLE).await;
        assert!(open().is_none());
        drop(log);
        assert!(open().is_some());
        assert!(call.is_cancelled());
    }

    #[tokio::test]
    async fn a_change_is_told_by_one_stream_and_waits_for_one() {
        let (_sessions, version, session) = sessions(1);
        version.send_modify(|versions| versions.tools += 1);
        version.send_modify(|versions| versions.tools += 1);
        assert_eq!(session.change().await.unwrap(), [method::TOOLS_CHANGED]);
        let other = session.change();
        tokio::pin!(other);
        assert!(futures::poll!(&mut other).is_pending());
        version.send_modify(|versions| versions.prompts += 1);
        assert_eq!(other.await.unwrap(), [method::PROMPTS_CHANGED]);
        drop(version);
        assert!(session.change().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_kept_within_their_bounds() {
        let (sessions, _version, session) = sessions(1);
        let mut ids = Vec::new();
        for _ in 0..3 {
            let log = EventLog::new();
            log.push(vec![b'x'; KEPT_BYTES / 2].into(), Weight::Response(Head::OK));
            ids.push(event_id(session.keep(&log, false), 0));
        }
        sessions.tidy();
        let kept = |id: &String| session.resume(id).is_some();
        assert_eq!(ids.iter().map(kept).collect::<Vec<_>>(), [false, true, true]);
        tokio::time::advance(KEPT_FOR).await;
        sessions.tidy();
        assert_eq!(ids.iter().filter(|id| kept(id)).count(), 0);
        for odd in ["", "1", "1_", "_1", "1_x", "9_1"] {
            assert!(session.resume(odd).is_none(), "{odd}");
        }
    }
}
