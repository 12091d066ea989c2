//! The connection's handle: what outlives its incarnations, and the way that every call takes.
//!
//! Made by the runtime for each (owner, server), shared by its supervisor, the routing table and
//! the callers. Calls pass here and never through a mailbox. The handle decides nothing about
//! restarts: it reads the standing that the supervisor publishes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::{
    admission::Admission,
    call::{Answer, CallError},
    exchange::ServerSpec,
    server::ServerConfig,
};
use crate::{
    id::{Incarnation, Owner, ServerName},
    restart::State,
    upstream::{Deadline, Link, ProgressSink, Request, RequestError, StderrRing},
    wire::{RawValue, method},
};

mod held;
mod refusal;

/// A live link in the life that it belongs to.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) link: Link,
    pub(crate) incarnation: Incarnation,
}

/// Where a connection stands, as its supervisor last said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) state: State,
    pub(crate) incarnation: Incarnation,
    /// The link; only while ready.
    pub(crate) live: Option<Arc<Live>>,
    pub(crate) cause: Option<Arc<str>>,
    pub(crate) next: Option<Instant>,
    /// Failures in the ladder's window: a ready connection with some is a warning.
    pub(crate) recent_failures: usize,
}

/// What a call does about a standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Go,
    Park,
    /// Park, and ask the supervisor to start the connection.
    Wake,
    Refuse,
}

/// The verdict for each state: a connection that will be tried soon is worth waiting for.
const fn verdict(state: State) -> Verdict {
    match state {
        State::Ready => Verdict::Go,
        State::Connecting | State::Backoff => Verdict::Park,
        State::Idle => Verdict::Wake,
        State::Open | State::HalfOpen | State::Draining | State::Stopped | State::Failed => {
            Verdict::Refuse
        }
    }
}

/// Counters of one connection; relaxed, because nobody orders by them.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) calls: AtomicU64,
    pub(crate) failures: AtomicU64,
}

/// What a handle takes from the server's definition.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) transport: &'static str,
    admission: Arc<Admission>,
}

impl Terms {
    fn new(spec: &ServerSpec) -> Self {
        let (config, transport) = (Arc::clone(&spec.config), spec.connector.transport());
        let max_in_flight = match config.max_in_flight {
            Some(max) => usize::try_from(max.get()).unwrap_or(usize::MAX),
            None if transport == "tcp" => 64,
            None => 16,
        };
        let max_queue = usize::try_from(config.max_queue).unwrap_or(usize::MAX);
        Self { config, transport, admission: Admission::new(max_in_flight, max_queue) }
    }
}

type Starter = Box<dyn Fn() + Send + Sync>;

/// What outlives a connection's incarnations.
pub(crate) struct ConnectionHandle {
    pub(crate) owner: Owner,
    pub(crate) server: ServerName,
    pub(crate) stderr: Arc<StderrRing>,
    pub(crate) stats: Stats,
    pub(crate) tools: AtomicU64,
    standing: watch::Sender<Standing>,
    /// Calls that wait for a link queue here, because a change of standing wakes in any order.
    parked: tokio::sync::Mutex<()>,
    /// Under which definition it serves; replaced with it.
    terms: ArcSwap<Terms>,
    /// Asks the present supervisor to start the connection; replaced with it.
    starter: Mutex<Option<Starter>>,
    /// Whether it was asked already: one message for a thousand waiting calls.
    woken: AtomicBool,
    last_call: Mutex<Instant>,
    /// Bytes of the parameters of calls that are not answered yet.
    held: AtomicUsize,
}

impl std::fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionHandle")
            .field("owner", &self.owner)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl ConnectionHandle {
    pub(crate) fn new(owner: Owner, server: ServerName, spec: &ServerSpec) -> Arc<Self> {
        Arc::new(Self {
            owner,
            server,
            stderr: Arc::default(),
            stats: Stats::default(),
            tools: AtomicU64::new(0),
            standing: watch::Sender::new(Standing::default()),
            parked: tokio::sync::Mutex::default(),
            terms: ArcSwap::from_pointee(Terms::new(spec)),
            starter: Mutex::new(None),
            woken: AtomicBool::new(false),
            last_call: Mutex::new(Instant::now()),
            held: AtomicUsize::new(0),
        })
    }

    /// Supervisor only: serves under another definition from now on.
    pub(crate) fn redefine(&self, spec: &ServerSpec) {
        if *self.terms.load().config != *spec.config {
            self.terms.store(Arc::new(Terms::new(spec)));
        }
    }

    /// Under which definition it serves.
    pub(crate) fn terms(&self) -> Arc<Terms> {
        self.terms.load_full()
    }

    /// Where the connection stands.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Whether it serves now.
    pub(crate) fn is_ready(&self) -> bool {
        self.standing.borrow().state == State::Ready
    }

    /// Follows the standing.
    pub(crate) fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Supervisor only: says where the connection stands now.
    pub(crate) fn publish(&self, standing: Standing) {
        self.standing.send_replace(standing);
        self.woken.store(false, Ordering::Relaxed);
    }

    /// The runtime is draining: a call that waits for a connection would wait in vain.
    pub(crate) fn refuse_waiting(&self) {
        self.standing.send_if_modified(|standing| {
            let waits = verdict(standing.state) != Verdict::Go;
            if waits {
                standing.state = State::Draining;
            }
            waits
        });
    }

    /// Supervisor only: how to ask for a start.
    pub(crate) fn set_starter(&self, starter: impl Fn() + Send + Sync + 'static) {
        *self.starter.lock() = Some(Box::new(starter));
        self.woken.store(false, Ordering::Relaxed);
    }

    /// Calls in flight and waiting.
    pub(crate) fn load(&self) -> (usize, usize) {
        let terms = self.terms.load();
        (terms.admission.in_flight(), terms.admission.waiting())
    }

    /// How long nobody called.
    pub(crate) fn unused_for(&self) -> Duration {
        self.last_call.lock().elapsed()
    }

    /// Asks for a start, once for each time that the connection is idle.
    pub(crate) fn wake(&self) {
        if self.standing.borrow().state == State::Idle
            && !self.woken.swap(true, Ordering::Relaxed)
            && let Some(starter) = &*self.starter.lock()
        {
            starter();
        }
    }

    /// Carries out `tools/call` of a tool by its server's own name: admission, parking, delivery.
    ///
    /// What was provably not sent goes to the next incarnation, inside the deadline. Dropping the
    /// future ends the call in whatever phase it is.
    pub(crate) async fn call(
        &self,
        caller: &Arc<str>,
        name: &Arc<str>,
        params: Arc<RawValue>,
        progress: Option<ProgressSink>,
        deadline: &Deadline,
    ) -> Result<Answer, CallError> {
        self.stats.calls.fetch_add(1, Ordering::Relaxed);
        *self.last_call.lock() = Instant::now();
        let outcome = self.carry_out(caller, name, params, progress, deadline).await;
        *self.last_call.lock() = Instant::now();
        if matches!(outcome, Err(CallError::Failed(_))) {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    async fn carry_out(
        &self,
        caller: &Arc<str>,
        name: &Arc<str>,
        params: Arc<RawValue>,
        progress: Option<ProgressSink>,
        deadline: &Deadline,
    ) -> Result<Answer, CallError> {
        let refused = {
            let standing = self.standing.borrow();
            (verdict(standing.state) == Verdict::Refuse).then(|| standing.clone())
        };
        if let Some(standing) = refused {
            return Err(self.unavailable(&standing));
        }
        let admission = Arc::clone(&self.terms.load().admission);
        let permit = tokio::select! {
            biased;
            entered = admission.enter(caller) => entered.map_err(|full| self.overloaded(full.waiting))?,
            () = deadline.passed() => return Err(self.late_in_queue()),
        };
        let mut dead = None;
        loop {
            let live = self.live(dead, deadline).await?;
            let request = Request {
                method: method::TOOLS_CALL,
                params: Some(Arc::clone(&params)),
                name: Some(Arc::clone(name)),
                progress: progress.clone(),
                deadline: deadline.clone(),
            };
            match live.link.request(request).await {
                Ok(result) => {
                    drop(permit);
                    let server = self.server.clone();
                    return Ok(Answer { result, server, incarnation: live.incarnation });
                }
                // Not executed, so it goes to the next life of the connection.
                Err(RequestError::NotSent(_)) => dead = Some(live.incarnation),
                Err(error) => return Err(self.failed(error, live.incarnation)),
            }
        }
    }

    /// Waits for a live link, other than the one that was found dead, inside the deadline; fails
    /// at once where waiting makes no sense. Calls that wait go on in the order in which they came.
    async fn live(
        &self,
        dead: Option<Incarnation>,
        deadline: &Deadline,
    ) -> Result<Arc<Live>, CallError> {
        let alive = |standing: &Standing| {
            let live = standing.live.as_ref().filter(|live| Some(live.incarnation) != dead);
            live.map(Arc::clone)
        };
        if let Some(live) = alive(&self.standing.borrow()) {
            return Ok(live);
        }
        let _turn = tokio::select! {
            biased;
            turn = self.parked.lock() => turn,
            () = deadline.passed() => return Err(self.late_in_queue()),
        };
        let mut standing = self.watch();
        loop {
            {
                let now = standing.borrow_and_update();
                match verdict(now.state) {
                    Verdict::Go => {
                        if let Some(live) = alive(&now) {
                            return Ok(live);
                        }
                    }
                    Verdict::Refuse => return Err(self.unavailable(&now)),
                    Verdict::Wake => self.wake(),
                    Verdict::Park => {}
                }
            }
            self.changed(&mut standing, deadline).await?;
        }
    }

    async fn changed(
        &self,
        standing: &mut watch::Receiver<Standing>,
        deadline: &Deadline,
    ) -> Result<(), CallError> {
        tokio::select! {
            biased;
            changed = standing.changed() => changed.map_err(|_| CallError::Draining),
            () = deadline.passed() => Err(self.late_in_queue()),
        }
    }
}
