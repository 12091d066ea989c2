//! One incarnation of one connection: connecting, ready, closing. Parent: the owner's supervisor.
//! No children.
//!
//! It never reconnects: when the link is lost it dies with a typed [`ConnectionFailure`], and its
//! supervisor decides. Everything that waits is a task that reports back by message, so that the
//! mailbox is never blocked. Its state owns the link: however the actor ends, no process stays.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::{
    agent::AgentMsg,
    event::Trouble,
    exchange::{Exchange, ServerSpec},
    handle::{Awaiting, ConnectionHandle, Live},
    leak::Ended,
    server::ServerConfig,
    task::{self, Timer},
    vigil::Question,
};
use crate::{
    id::Incarnation,
    restart::Exit,
    upstream::{ConnectContext, Link, LinkEnd, Protocol, Roots},
};

/// How long a server may take to end by itself once its input is closed.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// How often a life that another one took over from is asked whether its calls are finished.
const QUIET_TICK: Duration = Duration::from_millis(25);
/// Unanswered probes after which an idle server is lost.
const PROBES: u32 = 2;

/// What an incarnation is started with.
#[derive(Debug)]
pub(crate) struct ConnectionArgs {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) handle: Arc<ConnectionHandle>,
    pub(crate) spec: ServerSpec,
    pub(crate) supervisor: ActorRef<AgentMsg>,
    pub(crate) incarnation: Incarnation,
    /// Failures since it was last stable: the fewer, the sooner it may connect.
    pub(crate) failures: u32,
    /// The configured era, or the one that the last incarnation found.
    pub(crate) protocol: Protocol,
    /// Whether tools are listed when the link is made; if not, the known catalog stays.
    pub(crate) list: bool,
}

/// One incarnation of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionActor;

/// Everything that can wake a connection.
#[derive(Debug)]
pub(crate) enum ConnectionMsg {
    /// The attempt to connect and list ended.
    Connected(Result<(Link, Option<Listing>), ConnectionFailure>),
    /// The link ended by itself.
    Lost(LinkEnd),
    /// The server says that its tools changed.
    ListsChanged,
    /// The interval of listing has passed.
    RefreshTick,
    /// A listing ended.
    Listed(Result<Listing, String>),
    /// The interval of health checks has passed.
    HealthTick,
    /// Check now and say how it went.
    Check(RpcReplyPort<Result<Duration, String>>),
    /// A probe ended: whether the server gave a sign of life.
    Probed { alive: bool },
    /// Nobody may have called for the whole idle time.
    IdleTick,
    /// Its definition or the settings changed, but not the way to the server.
    Redefined(Arc<ServerConfig>),
    /// Another life has taken over, or none is wanted: finish the calls under way, then end.
    Retire(Tasks),
    /// Close the link in order and end.
    Close(Exit, Tasks),
    /// The link is closed.
    Closed(Exit),
    /// Say that you are there.
    Alive(Question),
    /// A task of ours panicked.
    Panicked(String),
}

/// What becomes of the tasks that a server made of calls, when its life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tasks {
    /// Its next life is asked for them.
    Left,
    /// Nobody can be asked for them any more: those that calls wait for are waited for like calls,
    /// and given up at last.
    Ended,
}

impl Tasks {
    /// Where another life takes its place, of the same program or not.
    pub(crate) const fn of_successor(is_same: bool) -> Self {
        if is_same { Self::Left } else { Self::Ended }
    }
}

/// What an incarnation holds.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    exchange: Arc<Exchange>,
    handle: Arc<ConnectionHandle>,
    spec: ServerSpec,
    supervisor: ActorRef<AgentMsg>,
    incarnation: Incarnation,
    /// What its server is told of its roots.
    roots: Roots,
    /// The link, once it is made.
    live: Option<Arc<Live>>,
    tasks: task::Tasks,
    health_timer: Timer,
    refresh_timer: Timer,
    idle_timer: Timer,
    /// A listing is under way, and whether another one was asked for meanwhile.
    listing: Option<bool>,
    probing: bool,
    /// Probes in a row without a sign of life.
    unanswered: u32,
    closing: bool,
}

mod failure;
mod follow;
mod health;
mod listing;
mod subscriber;

pub(crate) use failure::ConnectionFailure;
use listing::{Listing, listing};

impl Actor for ConnectionActor {
    type Msg = ConnectionMsg;
    type State = ConnectionState;
    type Arguments = ConnectionArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ConnectionMsg>,
        args: ConnectionArgs,
    ) -> Result<ConnectionState, ActorProcessingErr> {
        let roots = Roots::new(args.spec.config.roots.clone());
        let mut state = ConnectionState {
            exchange: args.exchange,
            handle: args.handle,
            spec: args.spec,
            supervisor: args.supervisor,
            incarnation: args.incarnation,
            roots,
            live: None,
            tasks: task::Tasks::default(),
            health_timer: Timer::default(),
            refresh_timer: Timer::default(),
            idle_timer: Timer::default(),
            listing: None,
            probing: false,
            unanswered: 0,
            closing: false,
        };
        state.connect(&myself, args.protocol, args.list, args.failures);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<ConnectionMsg>,
        message: ConnectionMsg,
        state: &mut ConnectionState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ConnectionMsg::Connected(outcome) => state.connected(&myself, outcome)?,
            ConnectionMsg::Lost(end) => state.lost(&end)?,
            ConnectionMsg::ListsChanged => state.refresh(&myself),
            ConnectionMsg::RefreshTick => {
                state.refresh(&myself);
                state.arm_refresh(&myself);
            }
            ConnectionMsg::Listed(outcome) => state.listed(&myself, outcome),
            ConnectionMsg::HealthTick => state.health(&myself)?,
            ConnectionMsg::Check(reply) => state.check(&myself, reply),
            ConnectionMsg::Probed { alive } => state.probed(&myself, alive)?,
            ConnectionMsg::IdleTick => state.idle(&myself),
            ConnectionMsg::Redefined(config) => state.redefined(&myself, config),
            ConnectionMsg::Retire(tasks) => {
                let patience = state.exchange.settings().timeouts.drain;
                state.close(&myself, Exit::Asked, patience, tasks);
            }
            ConnectionMsg::Close(exit, tasks) => {
                state.close(&myself, exit, Duration::ZERO, tasks);
            }
            ConnectionMsg::Closed(exit) => {
                return Err(Box::new(ConnectionFailure::asked(exit)));
            }
            ConnectionMsg::Alive(question) => question.answer(),
            ConnectionMsg::Panicked(words) => return Err(words.into()),
        }
        Ok(())
    }
}

impl Drop for ConnectionState {
    /// Callers may still hold the link: it ends with this incarnation, whatever ended that.
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.link.kill();
        }
        self.exchange.leaks.watch(Ended {
            owner: self.handle.owner.clone(),
            seat: self.handle.seat.clone(),
            roll: self.tasks.roll(),
            live: self.live.as_ref().map(Arc::downgrade).unwrap_or_default(),
        });
    }
}

impl ConnectionState {
    /// Starts a task whose panic ends this incarnation as a bug.
    fn spawn(
        &mut self,
        myself: &ActorRef<ConnectionMsg>,
        kind: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let myself = myself.clone();
        // A closed mailbox means that this incarnation is over anyway, here and below.
        self.tasks.spawn(kind, task, move |words| {
            myself.cast(ConnectionMsg::Panicked(words)).ok();
        });
    }

    fn connect(
        &mut self,
        myself: &ActorRef<ConnectionMsg>,
        protocol: Protocol,
        list: bool,
        failures: u32,
    ) {
        let settings = self.exchange.settings();
        let timeouts = &settings.timeouts;
        let timeout =
            if self.spec.connector.starts_process() { timeouts.start } else { timeouts.connect };
        // Beyond any patience, and within what a clock can add.
        let timeout = timeout.min(Duration::from_hours(24 * 365));
        let limit = self.exchange.settings().limits.message_bytes.as_u64();
        let context = ConnectContext {
            server: self.handle.seat.server.clone(),
            incarnation: self.incarnation,
            protocol,
            timeout,
            abilities: self.spec.config.abilities(&self.handle.seat),
            roots: self.roots.clone(),
            message_limit: usize::try_from(limit).unwrap_or(usize::MAX),
            stderr: Arc::clone(&self.handle.stderr),
            guard: self.exchange.guard.clone(),
        };
        let connector = Arc::clone(&self.spec.connector);
        let exchange = Arc::clone(&self.exchange);
        let owner = self.handle.owner.clone();
        let stderr = Arc::clone(&self.handle.stderr);
        let actor = myself.clone();
        self.spawn(myself, "connect", async move {
            let slot = exchange.slot(&owner, failures).await;
            let outcome = slot
                .run(async {
                    let link = connector.connect(context).await.map_err(ConnectionFailure::from)?;
                    if !list {
                        return Ok((link, None));
                    }
                    match listing(&link, &stderr, timeout).await {
                        Ok(listing) => Ok((link, Some(listing))),
                        Err(cause) => Err(ConnectionFailure::lost(Trouble::Protocol, cause)),
                    }
                })
                .await;
            actor.cast(ConnectionMsg::Connected(outcome)).ok();
        });
    }

    fn connected(
        &mut self,
        myself: &ActorRef<ConnectionMsg>,
        outcome: Result<(Link, Option<Listing>), ConnectionFailure>,
    ) -> Result<(), ConnectionFailure> {
        let (link, listing) = outcome?;
        let program = Arc::clone(&self.spec.program);
        let live = Arc::new(Live { link, incarnation: self.incarnation, program });
        self.live = Some(Arc::clone(&live));
        self.follow(myself, &live);
        if let Some(listing) = &listing {
            self.warn_of_dropped(listing);
        }
        self.tell(AgentMsg::Up {
            seat: self.handle.seat.clone(),
            live,
            catalog: listing.map(|listing| listing.catalog),
        });
        self.arm(myself);
        Ok(())
    }

    /// Sets every timer anew by the definition and the settings of this moment.
    fn arm(&mut self, myself: &ActorRef<ConnectionMsg>) {
        let interval = self.health_interval();
        self.arm_health(myself, interval);
        self.arm_refresh(myself);
        self.arm_idle(myself, self.idle_limit());
    }

    fn redefined(&mut self, myself: &ActorRef<ConnectionMsg>, config: Arc<ServerConfig>) {
        let roots_changed = self.roots.replace(&config.roots);
        self.spec.config = config;
        let Some(live) = self.live.clone() else { return };
        self.arm(myself);
        if roots_changed {
            self.spawn(myself, "roots", async move { live.link.roots_changed().await });
        }
    }

    fn tell(&self, message: AgentMsg) {
        // A supervisor that is gone takes this incarnation with it.
        self.supervisor.cast(message).ok();
    }

    fn lost(&self, end: &LinkEnd) -> Result<(), ConnectionFailure> {
        if self.closing {
            return Ok(());
        }
        let mut failure = ConnectionFailure::from(end);
        if let Some(line) = self.handle.stderr.last(1).pop() {
            failure.words = format!("; its last words: {line}");
        }
        Err(failure)
    }

    /// Closes the link and ends, once nothing is under way any more, or patience is at its end.
    fn close(
        &mut self,
        myself: &ActorRef<ConnectionMsg>,
        exit: Exit,
        patience: Duration,
        tasks: Tasks,
    ) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        self.health_timer = Timer::default();
        self.refresh_timer = Timer::default();
        self.idle_timer = Timer::default();
        let live = self.live.clone();
        let ended = live.as_ref().filter(|_| tasks == Tasks::Ended);
        let awaiting = ended.map(|live| {
            let awaiting = self.handle.awaiting(&live.program);
            awaiting.retires(live);
            awaiting
        });
        let actor = myself.clone();
        // Dropping the other tasks first ends an attempt to connect and whatever it started.
        self.tasks.clear();
        self.spawn(myself, "close", async move {
            if let Some(live) = live {
                // What is still under way then ends with the link.
                tokio::select! {
                    _ = tokio::time::timeout(patience, quiet(&live, awaiting.as_deref())) => {}
                    _ = live.link.ended() => {}
                }
                if let Some(awaiting) = awaiting.filter(|awaiting| !awaiting.is_over()) {
                    awaiting.give_up(live.incarnation).await;
                }
                live.link.close(CLOSE_GRACE).await;
            }
            actor.cast(ConnectionMsg::Closed(exit)).ok();
        });
    }
}

/// Resolves when nothing is under way, nor a task awaited that ends with this life. An answer that
/// came just now may be such a task, so it looks twice.
async fn quiet(live: &Live, awaiting: Option<&Awaiting>) {
    let mut was_quiet = false;
    loop {
        let is_quiet = live.link.in_flight() == 0 && awaiting.is_none_or(Awaiting::is_over);
        if is_quiet && (was_quiet || awaiting.is_none()) {
            return;
        }
        was_quiet = is_quiet;
        tokio::time::sleep(QUIET_TICK).await;
    }
}
