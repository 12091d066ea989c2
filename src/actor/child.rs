//! One connection as its supervisor sees it: ladder, incarnation, what it last offered.
//!
//! Owned by the supervisor's state; moves the ladder, publishes the standing and records the
//! event of every transition in one place, so that no two of them can disagree.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use ractor::{ActorCell, ActorRef, RpcReplyPort};
use tokio::time::Instant;

use super::{
    agent::AgentMsg,
    call::spoken,
    connection::{ConnectionArgs, ConnectionFailure, ConnectionMsg, Tasks},
    event::{Detail, Event, Waiting},
    exchange::{Exchange, ServerSpec},
    handle::{ConnectionHandle, Live, Standing},
    kept::{Offer, Said},
    server::{ServerConfig, Startup},
    vigil::Vigil,
};
use crate::{
    catalog::Catalog,
    id::Incarnation,
    restart::{Decision, Exit, Ladder, Policy, State},
    upstream::Protocol,
    wire::Era,
};

/// What is decided where another try is useless.
pub(crate) const GIVEN_UP: &str =
    "given up until the configuration changes or a restart is asked for";

mod life;
mod successor;

use life::Life;
pub(crate) use successor::{HandedOver, Successor};

/// One move of a connection, to be published and recorded.
struct Step<'a> {
    from: State,
    cause: &'a str,
    /// What is shown after the cause, and not recorded with it.
    words: &'a str,
    decision: &'a str,
    /// The pause before the next try.
    next: Option<Duration>,
    live: Option<Arc<Live>>,
    detail: Detail,
}

impl<'a> Step<'a> {
    const fn new(from: State, cause: &'a str, decision: &'a str) -> Self {
        Self { from, cause, words: "", decision, next: None, live: None, detail: Detail::Step }
    }
}

/// One supervised connection.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) handle: Arc<ConnectionHandle>,
    pub(crate) spec: ServerSpec,
    pub(crate) ladder: Ladder,
    pub(crate) incarnation: Incarnation,
    /// The present life; `None` between two.
    pub(crate) actor: Option<ActorRef<ConnectionMsg>>,
    /// Tags timers: it grows with every end and every restart, so that stale ones are known.
    pub(crate) generation: u64,
    /// What it offered last; kept while it is away.
    pub(crate) catalog: Option<Arc<Catalog>>,
    pub(crate) said: Said,
    /// The life that said so; `None` for a catalog that is known from before a restart.
    pub(crate) listed: Option<Incarnation>,
    /// Serves an agent that was granted the store's server: its catalog is the store's.
    pub(crate) granted: bool,
    /// Who waits for it to leave the configuration, which it does when its present life has
    /// ended; empty unless it was removed.
    pub(crate) removed: Vec<Option<RpcReplyPort<()>>>,
    /// Takes over when its present life has ended; whether it is a grant.
    pub(crate) replacement: Option<(ServerSpec, bool)>,
    /// Made beside the present life, to take over from it.
    successor: Option<Successor>,
    /// A definition whose life did not take over: the next life is by it.
    wanted: Option<ServerSpec>,
    /// Why it starts again at once when its present life has ended.
    pub(crate) restart_cause: Option<Arc<str>>,
    /// The generation in which it went down; `None` while it is ready.
    pub(crate) down_since: Option<u64>,
    /// Its last life was lost, so its group hears of it when it is back.
    lost: bool,
    closing: bool,
    life: Life,
    pub(crate) vigil: Vigil,
    /// The era that the server was found to speak.
    era: Option<Era>,
}

impl Child {
    pub(crate) fn new(
        handle: Arc<ConnectionHandle>,
        spec: ServerSpec,
        policy: Policy,
        granted: bool,
    ) -> Self {
        let incarnation = handle.standing().incarnation;
        Self {
            handle,
            spec,
            ladder: Ladder::new(policy),
            incarnation,
            actor: None,
            generation: 0,
            catalog: None,
            said: Said::default(),
            listed: None,
            granted,
            removed: Vec::new(),
            replacement: None,
            successor: None,
            wanted: None,
            restart_cause: None,
            down_since: None,
            lost: false,
            closing: false,
            life: Life::begin(),
            vigil: Vigil::default(),
            era: None,
        }
    }

    /// Whether this actor is its present life.
    pub(crate) fn is(&self, cell: &ActorCell) -> bool {
        self.actor.as_ref().is_some_and(|actor| actor.get_id() == cell.get_id())
    }

    /// Whether what it lists is what its owner sees. A granted server's catalog is the store's, a
    /// session's connection serves the catalog of the common one.
    pub(crate) fn lists(&self) -> bool {
        !self.granted && self.handle.seat.session.is_none()
    }

    /// What it offers, if that is known and its owner's view shows it.
    pub(crate) fn offer(&self) -> Option<Offer> {
        let catalog = self.catalog.clone().filter(|_| self.lists())?;
        let server = self.handle.seat.server.clone();
        Some(Offer { server, catalog, said: self.said.clone() })
    }

    /// What it offered before a restart counts until it says something else.
    pub(crate) fn take(&mut self, kept: Option<Offer>) {
        if let Some(Offer { catalog, said, .. }) = kept {
            self.catalog = Some(catalog);
            self.said = said;
        }
    }

    /// Whether it is started by its first call: it is lazy, and its tools are known.
    pub(crate) fn waits_for_a_call(&self) -> bool {
        self.spec.config.startup == Startup::Lazy && self.catalog.is_some()
    }

    pub(crate) const fn is_closing(&self) -> bool {
        self.closing && self.actor.is_some()
    }

    /// The era to address it in: as configured, or as it was found.
    pub(crate) fn protocol(&self) -> Protocol {
        match (self.spec.config.protocol, self.era) {
            (Protocol::Auto, Some(Era::Modern)) => Protocol::Modern,
            (Protocol::Auto, Some(Era::Legacy)) => Protocol::Legacy,
            (configured, _) => configured,
        }
    }

    /// What its next life is started with.
    pub(crate) fn arguments(
        &self,
        exchange: &Arc<Exchange>,
        supervisor: &ActorRef<AgentMsg>,
        list: bool,
    ) -> ConnectionArgs {
        ConnectionArgs {
            exchange: Arc::clone(exchange),
            handle: Arc::clone(&self.handle),
            spec: self.spec.clone(),
            supervisor: supervisor.clone(),
            incarnation: self.incarnation,
            failures: self.ladder.attempt(),
            protocol: self.protocol(),
            list,
        }
    }

    pub(crate) const fn stable_after(&self) -> Duration {
        self.ladder.policy().stable
    }

    /// A new life begins.
    pub(crate) fn begin(&mut self, exchange: &Exchange, cause: &str) {
        let from = self.ladder.state();
        self.ladder.start();
        self.incarnation = self.handle.issue();
        self.closing = false;
        self.life = Life::begin();
        self.transition(exchange, Step::new(from, cause, "connect"));
    }

    /// Its link is made. Says whether the life before was lost.
    pub(crate) fn ready(&mut self, exchange: &Exchange, live: Arc<Live>) -> bool {
        let from = self.ladder.state();
        self.era = Some(live.link.facts().era);
        self.ladder.ready(exchange.started.elapsed());
        self.down_since = None;
        let detail = self.life.ready(&self.handle, &live);
        let step = Step::new(from, "connected", "serve");
        self.transition(exchange, Step { live: Some(live), detail, ..step });
        std::mem::take(&mut self.lost)
    }

    /// It has been ready for the stable period: the failures before are forgotten.
    pub(crate) fn stable(&mut self, exchange: &Exchange) {
        let now = exchange.started.elapsed();
        self.ladder.stable(now);
        let mut standing = self.handle.standing();
        standing.recent_failures = self.ladder.recent_failures(now);
        self.handle.publish(standing);
    }

    /// Its present life is over. Gives the pause before the next try, if there is to be one.
    pub(crate) fn ended(
        &mut self,
        exchange: &Exchange,
        ended: &ConnectionFailure,
        tripped: bool,
    ) -> Option<Duration> {
        let from = self.ladder.state();
        let now = exchange.started.elapsed();
        self.actor = None;
        self.closing = false;
        self.generation += 1;
        // Also one that never came: what is listed of it may be from before a restart.
        if self.down_since.is_none() && ended.exit != Exit::Idle {
            self.down_since = Some(self.generation);
        }
        let abnormal = !matches!(ended.exit, Exit::Asked | Exit::Idle);
        self.lost |= abnormal && from == State::Ready;
        let mut exit = ended.exit;
        if abnormal && from != State::Ready && self.era.take().is_some() && exit == Exit::Fatal {
            // The era that was remembered may be what no longer fits: it is found out anew first.
            exit = Exit::Lost;
        }
        let jitter = fastrand::f64();
        let mut decision = self.ladder.ended(now, exit, jitter);
        if tripped {
            decision = self.ladder.trip(jitter);
        }
        let (words, pause) = match decision {
            Decision::Retry { after } => (format!("try again in {}", spoken(after)), Some(after)),
            Decision::Open { after } => {
                (format!("too many failures: pause, probe in {}", spoken(after)), Some(after))
            }
            Decision::Fail { probe: Some(after) } => {
                (format!("given up, looked at again in {}", spoken(after)), Some(after))
            }
            Decision::Fail { probe: None } => (GIVEN_UP.to_owned(), None),
            Decision::Stop => ("stopped".to_owned(), None),
            Decision::Idle => ("started again by the next call".to_owned(), None),
        };
        if self.restart_cause.is_none() && self.replacement.is_none() {
            let detail = self.life.ended(&self.handle, self.incarnation, ended);
            let step = Step::new(from, &ended.cause, &words);
            self.transition(exchange, Step { words: &ended.words, next: pause, detail, ..step });
        }
        pause
    }

    /// Ends the present life to begin another: calls wait meanwhile. `None` if there is none.
    pub(crate) fn cycle(&mut self, exchange: &Exchange, cause: &str, tasks: Tasks) -> Option<()> {
        self.abandon(exchange, cause);
        self.close(ConnectionMsg::Close(Exit::Asked, tasks))?;
        let standing = self.handle.standing();
        self.restart_cause = Some(cause.into());
        self.announce(exchange, standing.state, State::Connecting, cause, "close and connect anew");
        Some(())
    }

    /// Tells the present life of its definition, which needs no new one.
    pub(crate) fn redefined(&self, config: &Arc<ServerConfig>) {
        if let Some(actor) = &self.actor {
            // One that ended this moment is started again with the new definition.
            actor.cast(ConnectionMsg::Redefined(Arc::clone(config))).ok();
        }
    }

    /// Supervised anew and not started: what was published of a life before no longer holds.
    pub(crate) fn rest(&self, exchange: &Exchange) {
        let before = self.handle.standing().state;
        if self.actor.is_none() && before != State::Idle {
            let decision = "started by the next call";
            self.announce(exchange, before, State::Idle, "supervised anew", decision);
        }
    }

    /// Asks the present life to end; `None` if there is none.
    fn close(&mut self, way: ConnectionMsg) -> Option<()> {
        let actor = self.actor.as_ref()?;
        self.closing = true;
        // One that ended this moment is reported by its supervision event.
        actor.cast(way).ok();
        Some(())
    }

    /// Whether it ends for good already, and nothing is to follow.
    pub(crate) const fn is_leaving(&self) -> bool {
        !self.removed.is_empty() && self.replacement.is_none()
    }

    /// Asks it to end for good in this way. Says whether there is an end to wait for.
    pub(crate) fn drain(&mut self, exchange: &Exchange, cause: &str, way: ConnectionMsg) -> bool {
        self.abandon(exchange, cause);
        let from = self.ladder.state();
        if self.actor.is_some() {
            self.ladder.drain();
        } else {
            self.ladder.stop();
        }
        self.transition(exchange, Step::new(from, cause, "close"));
        self.close(way).is_some()
    }

    /// Publishes and records a step that the ladder does not take part in.
    fn announce(&self, exchange: &Exchange, from: State, to: State, cause: &str, decision: &str) {
        let waiting = self.handle.waiting();
        let shown: Arc<str> = cause.into();
        self.handle.publish(Standing {
            state: to,
            incarnation: self.incarnation,
            cause: Some(shown),
            ..Standing::default()
        });
        self.record(exchange, to, waiting, Step::new(from, cause, decision));
    }

    fn transition(&self, exchange: &Exchange, mut step: Step<'_>) {
        let to = self.ladder.state();
        let recent_failures = self.ladder.recent_failures(exchange.started.elapsed());
        let explained = to != State::Ready || recent_failures > 0;
        let before = self.handle.standing().cause;
        // Before it is published: who waits goes on at that moment.
        let waiting = self.handle.waiting();
        let standing = Standing {
            state: to,
            incarnation: self.incarnation,
            live: step.live.take(),
            // A server that is back still shows why it was away.
            cause: match to {
                State::Ready | State::Connecting | State::HalfOpen if explained => before,
                State::Ready => None,
                State::Idle
                | State::Connecting
                | State::HalfOpen
                | State::Backoff
                | State::Open
                | State::Draining
                | State::Stopped
                | State::Failed => Some(format!("{}{}", step.cause, step.words).into()),
            },
            next: step.next.map(|after| Instant::now() + after),
            recent_failures,
            caused: None,
            since: None,
        };
        // Whoever sees the state finds the event that explains it.
        self.record(exchange, to, waiting, step);
        self.handle.publish(standing);
    }

    fn record(&self, exchange: &Exchange, to: State, waiting: Waiting, step: Step<'_>) {
        exchange.record(Event {
            time: SystemTime::now(),
            owner: self.handle.owner.clone(),
            server: self.handle.seat.server.clone(),
            session: self.handle.seat.session.clone(),
            incarnation: self.incarnation,
            from: step.from,
            to,
            cause: step.cause.into(),
            decision: step.decision.into(),
            next: step.next,
            waiting,
            detail: step.detail,
            earlier: false,
        });
    }
}
