//! The other side of a link over HTTP: requests side by side, each on a connection of the pool.
//!
//! Owned by a link. There is no connection to lose: the link ends when the server cannot be
//! reached, refuses us, or no longer knows the session; a request that breaks takes only itself.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    events,
    legs::{Ear, Legs},
    request::Leg,
    target::Target,
};
use crate::{
    upstream::{
        LinkEnd, RequestError, ServerFacts, StderrRing,
        dialogue::{Hint, Inquiries},
        news::News,
        peer::Call,
        progress::Track,
        vital::Vital,
    },
    wire::{
        Era, Object, RawValue, Revision, envelope,
        header::{self, Annotated},
        meta, method, raw,
    },
};

/// How long messages beside the requests may take: cancellations, replies.
pub(super) const ASIDE: Duration = Duration::from_secs(5);
/// How long a server may take to open its standing stream or to say that it has none.
const STANDING: Duration = Duration::from_secs(1);
/// Cancellations under way at most; a server that takes none of them loses the rest.
const CANCELLATIONS: usize = 64;

/// Answers to the server's requests that wait to be posted at most.
const ANSWERS: usize = 64;
/// Notifications of how far such answers are that wait at most; the rest is lost.
const HINTS: usize = 16;

/// What waits to be posted: answers, and hints of how far they are.
type Waiting = (mpsc::Receiver<Vec<u8>>, mpsc::Receiver<Hint>);

/// The other side of a link.
#[derive(Debug)]
pub(in crate::upstream) struct Remote {
    pub(super) legs: Arc<Legs>,
    /// Cancelled when the link is closed by us, which fails what is in flight.
    stopped: CancellationToken,
    /// The standing stream and cancellations.
    tasks: Mutex<JoinSet<()>>,
    /// Until a session has a task that posts it.
    waiting: Mutex<Option<Waiting>>,
}

impl Remote {
    /// Nothing is sent yet. `limit` bounds one received message in bytes.
    pub(super) fn new(target: Target, limit: usize, words: Arc<StderrRing>) -> Self {
        let (answers, waiting_answers) = mpsc::channel(ANSWERS);
        let (hints, waiting_hints) = mpsc::channel(HINTS);
        let legs = Legs {
            target,
            limit,
            words,
            vital: Vital::new(),
            news: News::default(),
            last_id: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            session: OnceLock::new(),
            revision: OnceLock::new(),
            parties: Mutex::default(),
            given_up: Mutex::default(),
            inquiries: Arc::default(),
            answers,
            hints,
            annotated: RwLock::default(),
        };
        Self {
            legs: Arc::new(legs),
            stopped: CancellationToken::new(),
            tasks: Mutex::default(),
            waiting: Mutex::new(Some((waiting_answers, waiting_hints))),
        }
    }

    /// The handshake is over: a legacy session has a standing stream from now on. Servers send what
    /// they ask during a call over it too, and drop it while there is none, so the first call waits
    /// for it a while.
    pub(super) async fn settle(&self, facts: &ServerFacts) {
        if facts.era == Era::Modern {
            return;
        }
        let (standing, stands) = oneshot::channel();
        if let Some((answers, hints)) = self.waiting.lock().take() {
            let mut tasks = self.tasks.lock();
            tasks.spawn(events::listen(Arc::clone(&self.legs), standing));
            tasks.spawn(events::answer(Arc::clone(&self.legs), answers));
            tasks.spawn(events::hint(Arc::clone(&self.legs), hints));
        }
        timeout(STANDING, stands).await.ok();
    }

    /// Sends a request and waits for its answer. Dropping the future gives it up: a modern server
    /// sees its connection close, a legacy one is told.
    pub(in crate::upstream) async fn request(
        &self,
        call: &Call<'_>,
    ) -> Result<Box<RawValue>, RequestError> {
        let legs = &*self.legs;
        if let Some(end) = legs.vital.end() {
            return Err(RequestError::NotSent(end));
        }
        let id = legs.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let token = call.progress.is_some().then_some(id);
        let params =
            meta::for_next_leg(call.params, call.named(), call.stamp, token, call.traced());
        let body = Bytes::from(envelope::request_with(&id, call.method, params.as_deref()));
        let revision = call.stamp.map(|stamp| stamp.revision);
        let leg = Leg {
            id: Some(id),
            method: call.method,
            name: call.name,
            params: call.params,
            revision,
            trace: call.trace,
            headers: call.headers(),
        };
        let track = call.progress.clone().map(|sink| Track::new(sink, call.deadline.clone()));
        let mut ticket =
            Ticket { remote: self, id, told: call.cancellable && revision.is_none(), open: true };
        let asked = Instant::now();
        legs.in_flight.fetch_add(1, Ordering::Relaxed);
        let acknowledged = call.acknowledged.clone();
        let mut ear = Ear { track, acknowledged, party: call.party() };
        if let Some(party) = &ear.party {
            legs.parties.lock().insert(id, party.clone());
        }
        tokio::select! {
            biased;
            outcome = legs.exchange(leg, body, &mut ear) => {
                ticket.close();
                outcome.map_err(|fault| fault.of_request(asked))
            }
            () = call.deadline.passed() => Err(RequestError::Timeout { sent: true }),
            () = self.stopped.cancelled() => {
                ticket.close();
                Err(RequestError::Lost { end: LinkEnd::Stopped, written: asked })
            }
        }
    }

    /// Sends a notification; what becomes of it nobody learns.
    pub(in crate::upstream) async fn notify(
        &self,
        method: &str,
        params: Option<&str>,
        revision: Option<Revision>,
    ) {
        let body = envelope::notification_with(method, params).into();
        let leg = Leg { revision, ..Leg::aside(method) };
        drop(self.legs.exchange(leg, body, &mut Ear::default()).await);
    }

    /// The server's questions.
    pub(in crate::upstream) fn inquiries(&self) -> &Inquiries {
        &self.legs.inquiries
    }

    /// Takes note of the tools that want arguments repeated as headers.
    pub(in crate::upstream) fn learn(&self, tools: &[Box<RawValue>]) {
        let wanted = tools.iter().filter_map(|tool| annotations(tool));
        let annotated = wanted.filter_map(|(name, annotated)| Some((name, annotated?)));
        *self.legs.annotated.write() = annotated.collect();
    }

    /// Whether a tool can be called: one that wants a header which cannot be may not. Legacy
    /// revisions have no such wishes.
    pub(in crate::upstream) fn can_call(&self, tool: &RawValue) -> bool {
        let is_legacy = self.legs.revision.get().is_some();
        is_legacy || annotations(tool).is_none_or(|(_, annotated)| annotated.is_some())
    }

    pub(in crate::upstream) fn silent_for(&self) -> Duration {
        self.legs.vital.silent_for()
    }

    pub(in crate::upstream) fn in_flight(&self) -> usize {
        self.legs.in_flight.load(Ordering::Relaxed)
    }

    pub(in crate::upstream) fn news(&self) -> &News {
        &self.legs.news
    }

    pub(in crate::upstream) fn end(&self) -> Option<LinkEnd> {
        self.legs.vital.end()
    }

    pub(in crate::upstream) async fn ended(&self) -> LinkEnd {
        self.legs.vital.ended().await
    }

    /// Fails what is in flight; a session is left to its server. Where that ended the session, what
    /// it has taken before is answered all the same.
    pub(in crate::upstream) fn kill(&self) {
        if self.legs.vital.end() != Some(LinkEnd::SessionOver) {
            self.stopped.cancel();
        }
        self.tasks.lock().abort_all();
        self.legs.vital.publish(LinkEnd::Stopped);
    }

    /// Fails what is in flight and ends a session, for which the server has `grace`.
    pub(in crate::upstream) async fn close(&self, grace: Duration) {
        let over = self.legs.vital.end().is_some();
        self.kill();
        if !over && self.legs.session.get().is_some() {
            // A server may keep its sessions (405), or be gone.
            let request = self.legs.request(Method::DELETE, Bytes::new());
            let ending = self.legs.target.client.send(request);
            drop(timeout(grace, ending).await);
        }
    }

    /// Tells a legacy server that nobody waits for an answer any more.
    fn cancel(&self, id: u64) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        if tasks.len() > CANCELLATIONS || self.legs.vital.end().is_some() {
            return;
        }
        let legs = Arc::clone(&self.legs);
        tasks.spawn(async move {
            let reason = "the caller cancelled, or the deadline passed";
            let params = raw(&serde_json::json!({ "requestId": id, "reason": reason }));
            let body = envelope::notification(method::CANCELLED, Some(&params)).into();
            let leg = Leg::aside(method::CANCELLED);
            drop(timeout(ASIDE, legs.exchange(leg, body, &mut Ear::default())).await);
        });
    }
}

/// A tool's name and the headers that it wants; nothing where it wants none, and no headers where
/// what it wants breaks the rules.
fn annotations(tool: &RawValue) -> Option<(String, Option<Vec<Annotated>>)> {
    if !header::is_annotated(tool) {
        return None;
    }
    let tool = Object::read(tool)?;
    Some((tool.typed("name")?, header::annotated(tool.get("inputSchema")?)))
}

/// A request under way: dropped before its answer came, it is given up.
struct Ticket<'a> {
    remote: &'a Remote,
    id: u64,
    /// Whether the server has to be told.
    told: bool,
    open: bool,
}

impl Ticket<'_> {
    fn close(&mut self) {
        self.open = false;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.remote.legs.in_flight.fetch_sub(1, Ordering::Relaxed);
        let party = self.remote.legs.parties.lock().remove(&self.id);
        if let Some(party) = party.filter(|_| self.open) {
            self.remote.legs.given_up.lock().add(self.id, &party);
        }
        if self.open && self.told {
            self.remote.cancel(self.id);
        }
    }
}
