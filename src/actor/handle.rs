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
use tracing::Instrument as _;

use super::{
    admission::Admission,
    call::{Answer, CallError},
    event::Waiting,
    exchange::ServerSpec,
    server::ServerConfig,
};
use crate::{
    id::{Incarnation, Owner, Seat},
    restart::State,
    trace::Telemetry,
    upstream::{Deadline, Link, ProgressSink, Request, RequestError, StderrRing},
    wire::{RawValue, method},
};

mod held;
mod leg;
mod parked;
mod refusal;
mod verdict;

use leg::{Leg, waited};
use parked::Parked;
use verdict::{Verdict, verdict};

/// The least pause before a busy server is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

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
    /// Since when it is in this state; set by the handle when it is published.
    pub(crate) since: Option<Instant>,
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
    /// Calls that wait for a link queue here, because a change of standing wakes in any order.
    turn: tokio::sync::Mutex<()>,
    parked: Parked,
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
            .field("seat", &self.seat)
            .finish_non_exhaustive()
    }
}

impl ConnectionHandle {
    pub(crate) fn new(owner: Owner, seat: Seat, spec: &ServerSpec) -> Arc<Self> {
        Arc::new(Self {
            owner,
            seat,
            stderr: Arc::default(),
            stats: Stats::default(),
            tools: AtomicU64::new(0),
            standing: watch::Sender::new(Standing::default()),
            turn: tokio::sync::Mutex::default(),
            parked: Parked::default(),
            terms: ArcSwap::from_pointee(Terms::new(spec, None)),
            starter: Mutex::new(None),
            woken: AtomicBool::new(false),
            last_call: Mutex::new(Instant::now()),
            held: AtomicUsize::new(0),
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
            standing.since = before.since.filter(|_| stays).or_else(|| Some(Instant::now()));
            *before = standing;
        });
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

    /// Calls in flight and waiting. One that waits for a connection has a place in flight already.
    pub(crate) fn load(&self) -> (usize, usize) {
        let (terms, parked) = (self.terms.load(), self.parked.waiting().calls);
        (terms.admission.in_flight().saturating_sub(parked), terms.admission.waiting() + parked)
    }

    /// The calls that wait for a connection.
    pub(crate) fn waiting(&self) -> Waiting {
        self.parked.waiting()
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
        telemetry: &dyn Telemetry,
        caller: &Arc<str>,
        name: &Arc<str>,
        params: Arc<RawValue>,
        progress: Option<ProgressSink>,
        deadline: &Deadline,
    ) -> Result<Answer, CallError> {
        self.stats.calls.fetch_add(1, Ordering::Relaxed);
        *self.last_call.lock() = Instant::now();
        let outcome = self.carry_out(telemetry, caller, name, params, progress, deadline).await;
        *self.last_call.lock() = Instant::now();
        if matches!(outcome, Err(CallError::Failed(_))) {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    async fn carry_out(
        &self,
        telemetry: &dyn Telemetry,
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
        let entered = Instant::now();
        let permit = tokio::select! {
            biased;
            entered = admission.enter(caller) => entered.map_err(|full| self.overloaded(full.waiting))?,
            () = deadline.passed() => return Err(self.late_in_queue()),
        };
        waited("admitted", entered);
        let mut pauses = 0;
        let mut dead = None;
        loop {
            let parked = Instant::now();
            let live = self.live(dead, deadline).await?;
            waited("connected", parked);
            let leg = Leg::begin(telemetry, self, &live, name);
            let request = Request {
                method: method::TOOLS_CALL,
                params: Some(Arc::clone(&params)),
                name: Some(Arc::clone(name)),
                progress: progress.clone(),
                deadline: deadline.clone(),
                trace: leg.context(),
            };
            let outcome = live.link.request(request).instrument(leg.span.clone()).await;
            leg.end(outcome.as_ref().err());
            match outcome {
                Ok(result) => {
                    drop(permit);
                    let server = self.seat.server.clone();
                    return Ok(Answer { result, server, incarnation: live.incarnation });
                }
                // Not executed, so it goes to the next life of the connection.
                Err(RequestError::NotSent(_)) => dead = Some(live.incarnation),
                // Not executed either, and the same life may take it later.
                Err(RequestError::Busy { retry_after }) => {
                    pauses += 1;
                    self.come_again(retry_after, pauses, deadline).await?;
                }
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
        let _place = self.parked.enter();
        let _turn = tokio::select! {
            biased;
            turn = self.turn.lock() => turn,
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

    /// Waits as long as a busy server asks for, or a little longer each time if it names nothing.
    async fn come_again(
        &self,
        retry_after: Option<Duration>,
        pauses: u32,
        deadline: &Deadline,
    ) -> Result<(), CallError> {
        let grown = FIRST_PAUSE.saturating_mul(1 << pauses.min(6));
        let pause = retry_after.unwrap_or(grown).max(FIRST_PAUSE);
        if pause >= deadline.remaining() {
            return Err(self.busy(pause));
        }
        tokio::time::sleep(pause).await;
        Ok(())
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
