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
    event::Waiting,
    exchange::ServerSpec,
    server::ServerConfig,
    watches::Watches,
};
use crate::{
    id::{Incarnation, Owner, Seat},
    restart::State,
    upstream::{Link, StderrRing},
};

mod awaiting;
mod delivery;
mod held;
mod leg;
mod life;
mod notice;
mod parked;
mod refusal;
mod tasks;
mod verdict;
mod watched;

pub(crate) use awaiting::Awaiting;
use awaiting::Awaitings;
pub(crate) use delivery::Errand;
pub(crate) use life::{Leads, Maker};
pub(crate) use notice::Notices;
use parked::Parked;
use tasks::Tasks;
use verdict::{Verdict, verdict};

/// A live link in the life that it belongs to.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) link: Link,
    pub(crate) incarnation: Incarnation,
    /// What tells its server's definition from any other.
    pub(crate) program: Arc<str>,
}

/// Where a connection stands, as its supervisor last said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) state: State,
    pub(crate) incarnation: Incarnation,
    /// The link; only while ready.
    pub(crate) live: Option<Arc<Live>>,
    pub(crate) cause: Option<Arc<str>>,
    /// When the cause came about; set by the handle when it is published.
    pub(crate) caused: Option<Instant>,
    pub(crate) next: Option<Instant>,
    /// Failures in the ladder's window: a ready connection with some is a warning.
    pub(crate) recent_failures: usize,
    /// Since when it is in this state; set by the handle when it is published.
    pub(crate) since: Option<Instant>,
}

impl Standing {
    /// The live link, if it is another than the one that was found dead.
    fn other_than(&self, dead: Option<Incarnation>) -> Option<Arc<Live>> {
        self.live.as_ref().filter(|live| Some(live.incarnation) != dead).map(Arc::clone)
    }
}

/// Counters of one connection; relaxed, because nobody orders by them.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) calls: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) overdue: AtomicU64,
    /// Notifications of extensions that reached nobody.
    pub(crate) unheard: AtomicU64,
}

/// What a handle takes from the server's definition.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) transport: &'static str,
    admission: Arc<Admission>,
}

impl Terms {
    /// `present` are the terms until now, whose calls count on where the bounds stay the same.
    fn new(spec: &ServerSpec, present: Option<&Self>) -> Self {
        let (config, transport) = (Arc::clone(&spec.config), spec.connector.transport());
        let max_in_flight = match config.max_in_flight {
            Some(max) => usize::try_from(max.get()).unwrap_or(usize::MAX),
            None if transport == "tcp" => 64,
            None => 16,
        };
        let max_queue = usize::try_from(config.max_queue).unwrap_or(usize::MAX);
        let admission = present
            .filter(|present| present.admission.bounds() == (max_in_flight, max_queue))
            .map_or_else(
                || Admission::new(max_in_flight, max_queue),
                |present| Arc::clone(&present.admission),
            );
        Self { config, transport, admission }
    }
}

type Starter = Box<dyn Fn() + Send + Sync>;

/// What outlives a connection's incarnations.
pub(crate) struct ConnectionHandle {
    pub(crate) owner: Owner,
    pub(crate) seat: Seat,
    pub(crate) stderr: Arc<StderrRing>,
    pub(crate) stats: Stats,
    pub(crate) tools: AtomicU64,
    standing: watch::Sender<Standing>,
    /// The number of the last life that began.
    issued: AtomicU64,
    /// Calls that wait for a link queue here, because a change of standing wakes in any order.
    turn: tokio::sync::Mutex<()>,
    parked: Parked,
    tasks: Tasks,
    awaitings: Awaitings,
    /// Under which definition it serves; replaced with it.
    terms: ArcSwap<Terms>,
    /// Asks the present supervisor to start the connection; replaced with it.
    starter: Mutex<Option<Starter>>,
    /// Whether it was asked already: one message for a thousand waiting calls.
    woken: AtomicBool,
    last_call: Mutex<Instant>,
    /// Bytes of the parameters of calls that are not answered yet.
    held: AtomicUsize,
    /// Its server left the configuration: it has no further life.
    removed: AtomicBool,
    /// Who watches its resources.
    pub(crate) watches: Arc<Watches>,
}

impl std::fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionHandle")
            .field("owner", &self.owner)
            .field("seat", &self.seat)
            .finish_non_exhaustive()
    }
}

impl ConnectionHandle {
    pub(crate) fn new(
        owner: Owner,
        seat: Seat,
        spec: &ServerSpec,
        watches: Arc<Watches>,
    ) -> Arc<Self> {
        Arc::new(Self {
            owner,
            seat,
            stderr: Arc::default(),
            stats: Stats::default(),
            tools: AtomicU64::new(0),
            standing: watch::Sender::new(Standing::default()),
            issued: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
            parked: Parked::default(),
            tasks: Tasks::default(),
            awaitings: Awaitings::default(),
            terms: ArcSwap::from_pointee(Terms::new(spec, None)),
            starter: Mutex::new(None),
            woken: AtomicBool::new(false),
            last_call: Mutex::new(Instant::now()),
            held: AtomicUsize::new(0),
            removed: AtomicBool::new(false),
            watches,
        })
    }

    /// Supervisor only: serves under another definition from now on.
    pub(crate) fn redefine(&self, spec: &ServerSpec) {
        if *self.terms.load().config != *spec.config {
            let present = self.terms();
            self.terms.store(Arc::new(Terms::new(spec, Some(&present))));
        }
    }

    /// Under which definition it serves.
    pub(crate) fn terms(&self) -> Arc<Terms> {
        self.terms.load_full()
    }

    /// Supervisor only: the number of a life that begins. None is given twice.
    pub(crate) fn issue(&self) -> Incarnation {
        Incarnation(self.issued.fetch_add(1, Ordering::Relaxed) + 1)
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
    pub(crate) fn publish(&self, mut standing: Standing) {
        self.standing.send_modify(|before| {
            let stays =
                before.state == standing.state && before.incarnation == standing.incarnation;
            let now = Instant::now();
            standing.since = before.since.filter(|_| stays).or(Some(now));
            // A cause that is handed on from state to state is the same text in memory.
            standing.caused = standing.cause.as_ref().and_then(|cause| {
                let same = before.cause.as_ref().is_some_and(|before| Arc::ptr_eq(before, cause));
                before.caused.filter(|_| same).or(Some(now))
            });
            *before = standing;
        });
        self.woken.store(false, Ordering::Relaxed);
        self.wake_if_watched();
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

    /// Supervisor only: whoever waits from now on is told that the server was removed.
    pub(crate) fn set_removed(&self) {
        self.removed.store(true, Ordering::Relaxed);
    }

    /// Whether its server left the configuration.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// Supervisor only: how to ask for a start.
    pub(crate) fn set_starter(&self, starter: impl Fn() + Send + Sync + 'static) {
        *self.starter.lock() = Some(Box::new(starter));
        self.woken.store(false, Ordering::Relaxed);
    }

    /// Calls in flight and waiting. One that waits for a connection has a place in flight already.
    pub(crate) fn load(&self) -> (usize, usize) {
        let (terms, parked) = (self.terms.load(), self.parked.waiting().calls);
        (terms.admission.in_flight().saturating_sub(parked), terms.admission.waiting() + parked)
    }

    /// The calls that wait for a connection.
    pub(crate) fn waiting(&self) -> Waiting {
        self.parked.waiting()
    }

    /// Whether its server works on a task.
    pub(crate) fn has_task(&self) -> bool {
        self.tasks.any()
    }

    /// Whether anybody ever called.
    pub(crate) fn was_called(&self) -> bool {
        self.stats.calls.load(Ordering::Relaxed) > 0
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

    /// Carries out one `tools/call`: admission, parking, delivery.
    ///
    /// What was provably not executed goes to the next incarnation, inside the deadline; what may
    /// have been executed only where policy says that this does no harm. Dropping the future ends
    /// the call in whatever phase it is.
    pub(crate) async fn call(self: &Arc<Self>, errand: Errand<'_>) -> Result<Answer, CallError> {
        self.stats.calls.fetch_add(1, Ordering::Relaxed);
        *self.last_call.lock() = Instant::now();
        let outcome = self.carry_out(errand).await;
        *self.last_call.lock() = Instant::now();
        if matches!(outcome, Err(CallError::Failed(_))) {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }
}
