//! The supervisor of one owner's connections. Parent: [`super::agents`]. Children: connections.
//!
//! Asks `restart` what to do about every end, carries it out with timers, announces up and down to
//! the router, and publishes each connection's standing. Connect and transport failures climb each
//! connection's own ladder; only bugs (a panic, an untyped error) count against this supervisor,
//! and only they end it. It never awaits the network.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::mpsc;

use super::{
    child::{Child, HandedOver},
    connection::{ConnectionActor, ConnectionArgs, ConnectionFailure, ConnectionMsg},
    exchange::{Exchange, ServerSpec},
    group::Groups,
    handle::Live,
    router::RouterMsg,
    vigil::Question,
};
use crate::{
    catalog::Catalog,
    id::{Incarnation, Owner, Seat, ServerName, SessionKey},
    restart::{Meter, State},
};

/// Bugs in a period that this supervisor survives.
const BUGS: u32 = 5;
const BUG_PERIOD: Duration = Duration::from_mins(1);

/// The supervisor of one owner's connections.
#[derive(Debug)]
pub(crate) struct AgentSupervisor;

/// What an owner's supervisor is started with.
#[derive(Debug)]
pub(crate) struct AgentArgs {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) owner: Owner,
    pub(crate) router: ActorRef<RouterMsg>,
}

/// Everything that can wake an owner's supervisor.
#[derive(Debug)]
pub(crate) enum AgentMsg {
    /// Supervise this server by this definition; a granted one waits for its first call.
    Put { server: ServerName, spec: ServerSpec, granted: bool, reply: Option<RpcReplyPort<()>> },
    /// Stop it and forget it; answered when nothing of it is left.
    Remove { server: ServerName, reply: Option<RpcReplyPort<()>> },
    /// A call waits for it.
    Start { seat: Seat },
    /// Restart it now, or one session's connection to it, whatever state it is in; answered when
    /// that is under way.
    Restart { server: ServerName, session: Option<SessionKey>, reply: RpcReplyPort<()> },
    /// Make its next life beside the present one, and tell how that went.
    HandOver { server: ServerName, reply: HandedOver },
    /// Ask it for a sign of life now.
    Check { server: ServerName, reply: RpcReplyPort<Result<Duration, String>> },
    /// A session's own connection to a server, made known where there is none yet.
    Open { server: ServerName, session: SessionKey, reply: RpcReplyPort<Opened> },
    /// A session is over, and its own connections with it.
    Release { session: SessionKey },
    /// Its link is made.
    Up { seat: Seat, live: Arc<Live>, catalog: Option<Arc<Catalog>> },
    /// Its tools were listed again.
    Refreshed { seat: Seat, incarnation: Incarnation, catalog: Arc<Catalog> },
    /// The pause before its next try is over.
    RetryDue { seat: Seat, generation: u64 },
    /// It may have been ready for the stable period.
    StableDue { seat: Seat, incarnation: Incarnation },
    /// It may have been gone for the whole grace of its tools.
    GraceDue { seat: Seat, generation: u64 },
    /// The configuration changed; `done` is held until that is carried out.
    Reconfigure { done: mpsc::Sender<()> },
    /// The router has a new life: tell it everything.
    Announce { router: ActorRef<RouterMsg> },
    /// Say that you are there, and ask your connections.
    Alive(Question),
    /// Stop all connections in order, then end.
    Shutdown,
}

/// What an owner's supervisor holds.
#[derive(Debug)]
pub(crate) struct AgentState {
    exchange: Arc<Exchange>,
    owner: Owner,
    router: ActorRef<RouterMsg>,
    children: BTreeMap<Seat, Child>,
    groups: Groups,
    bugs: Meter,
    /// What is still to be stopped, last first; `None` unless shutting down.
    stopping: Option<Vec<Vec<ServerName>>>,
}

mod definition;
mod end;
mod handover;
mod offer;
mod session;
mod stuck;

pub(crate) use session::{NotOpened, Opened};

impl Actor for AgentSupervisor {
    type Msg = AgentMsg;
    type State = AgentState;
    type Arguments = AgentArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<AgentMsg>,
        args: AgentArgs,
    ) -> Result<AgentState, ActorProcessingErr> {
        let mut state = AgentState {
            groups: Groups::new(&args.exchange.settings().groups),
            exchange: args.exchange,
            owner: args.owner,
            router: args.router,
            children: BTreeMap::new(),
            bugs: Meter::new(BUGS, BUG_PERIOD),
            stopping: None,
        };
        state.define();
        // Connections of sessions end with the supervisor that opened them; the next call opens
        // another one.
        state.exchange.forget_sessions(&state.owner);
        // Handles exist from the start, so that nobody finds a configured server unknown.
        for (server, (spec, granted)) in state.exchange.wanted(&state.owner) {
            state.attach(&myself, Seat::common(server), spec, granted);
        }
        state.route_offers(state.children.values());
        Ok(state)
    }

    async fn post_start(
        &self,
        myself: ActorRef<AgentMsg>,
        state: &mut AgentState,
    ) -> Result<(), ActorProcessingErr> {
        let seats: Vec<Seat> = state.children.keys().cloned().collect();
        for seat in seats {
            state.start_configured(&myself, &seat).await?;
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<AgentMsg>,
        message: AgentMsg,
        state: &mut AgentState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            AgentMsg::Put { server, spec, granted, reply } => {
                state.put(&myself, server, spec, granted).await?;
                answer(reply);
            }
            AgentMsg::Remove { server, reply } => state.remove(&server, reply),
            AgentMsg::Open { server, session, reply } => {
                // The caller may have left.
                reply.send(state.open(&myself, server, session)).ok();
            }
            AgentMsg::Release { session } => state.release(&session),
            AgentMsg::Start { seat } => state.start_idle(&myself, &seat).await?,
            AgentMsg::Restart { server, session, reply } => {
                state.restart(&myself, &server, session.as_ref()).await?;
                answer(Some(reply));
            }
            AgentMsg::HandOver { server, reply } => {
                state.hand_over_asked(&myself, &server, reply).await?;
            }
            AgentMsg::Check { server, reply } => state.check(&server, reply),
            AgentMsg::Up { seat, live, catalog } => state.up(&myself, &seat, live, catalog),
            AgentMsg::Refreshed { seat, incarnation, catalog } => {
                state.refreshed(&seat, incarnation, catalog);
            }
            AgentMsg::RetryDue { seat, generation } => {
                state.retry_due(&myself, &seat, generation).await?;
            }
            AgentMsg::StableDue { seat, incarnation } => state.stable_due(&seat, incarnation),
            AgentMsg::GraceDue { seat, generation } => state.grace_due(&seat, generation),
            AgentMsg::Reconfigure { done } => {
                state.reconfigure(&myself).await?;
                drop(done);
            }
            AgentMsg::Announce { router } => state.announce(router),
            AgentMsg::Alive(question) => {
                question.answer();
                state.watch(&myself).await?;
            }
            AgentMsg::Shutdown => state.shutdown(&myself),
        }
        Ok(())
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "features of the framework that an embedding program turns on add variants"
    )]
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<AgentMsg>,
        event: SupervisionEvent,
        state: &mut AgentState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                let ended = error.downcast_ref::<ConnectionFailure>().cloned();
                let ended = ended.unwrap_or_else(|| ConnectionFailure::bug(&error.to_string()));
                state.ended(&myself, &cell, ended).await
            }
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                // A connection ends itself with a typed reason; one that was killed did not.
                let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
                let bug = ConnectionFailure::bug(&format!("its actor was terminated: {reason}"));
                state.ended(&myself, &cell, bug).await
            }
            _ => Ok(()),
        }
    }
}

impl AgentState {
    fn route(&self, message: RouterMsg) {
        // A router that is gone comes back and asks for an announcement.
        self.router.cast(message).ok();
    }

    /// Starts the next life of a connection.
    async fn start(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        seat: &Seat,
        cause: &str,
    ) -> Result<(), ActorProcessingErr> {
        let update = self.exchange.settings().monitoring.update_tools_on_reconnection;
        let Some(child) = self.children.get_mut(seat) else { return Ok(()) };
        if child.actor.is_some() || self.stopping.is_some() {
            return Ok(());
        }
        if let Some(spec) = child.take_wanted() {
            self.adopt(seat, &spec);
        }
        let Some(child) = self.children.get_mut(seat) else { return Ok(()) };
        child.begin(&self.exchange, cause);
        let list = child.lists() && (update || child.listed.is_none());
        let args = child.arguments(&self.exchange, myself, list);
        child.actor = Some(spawn(myself, args).await?);
        Ok(())
    }

    async fn start_idle(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        seat: &Seat,
    ) -> Result<(), ActorProcessingErr> {
        match self.children.get(seat) {
            Some(child) if child.ladder.state() == State::Idle => {
                self.start(myself, seat, "a call waits for it").await
            }
            _ => Ok(()),
        }
    }

    fn check(&self, server: &ServerName, reply: RpcReplyPort<Result<Duration, String>>) {
        let common = self.children.get(&Seat::common(server.clone()));
        if let Some(actor) = common.and_then(|child| child.actor.as_ref()) {
            // A connection that ended this moment drops the reply port, which its caller sees.
            actor.cast(ConnectionMsg::Check(reply)).ok();
        } else {
            reply.send(Err("it is not connected".to_owned())).ok();
        }
    }

    async fn retry_due(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        seat: &Seat,
        generation: u64,
    ) -> Result<(), ActorProcessingErr> {
        match self.children.get(seat) {
            Some(child) if child.generation == generation && child.actor.is_none() => {
                self.start(myself, seat, "the pause is over").await
            }
            _ => Ok(()),
        }
    }

    fn stable_due(&mut self, seat: &Seat, incarnation: Incarnation) {
        if let Some(child) = self.children.get_mut(seat)
            && child.incarnation == incarnation
        {
            child.stable(&self.exchange);
        }
    }
}

/// Starts one life. Its start does no I/O, so waiting for it costs microseconds.
async fn spawn(
    myself: &ActorRef<AgentMsg>,
    args: ConnectionArgs,
) -> Result<ActorRef<ConnectionMsg>, ActorProcessingErr> {
    let (actor, _) = Actor::spawn_linked(None, ConnectionActor, args, myself.get_cell()).await?;
    Ok(actor)
}

/// Answers whoever waits; the caller may have left.
fn answer(reply: Option<RpcReplyPort<()>>) {
    if let Some(reply) = reply {
        reply.send(()).ok();
    }
}

fn after(
    myself: &ActorRef<AgentMsg>,
    delay: Duration,
    message: impl FnOnce() -> AgentMsg + Send + 'static,
) {
    // Tagged with a generation or an incarnation: a stale timer falls through.
    drop(myself.send_after(delay, message));
}
