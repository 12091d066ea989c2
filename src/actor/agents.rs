//! The dynamic supervisor of owners: the store and every agent. Parent: root.
//!
//! An owner's supervisor that dies of bugs is started again with what is configured; one that
//! keeps dying is quarantined, and no other owner notices.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::mpsc;

use super::{
    agent::{AgentArgs, AgentMsg, AgentSupervisor, Opened},
    child::{GIVEN_UP, HandedOver},
    event::{Detail, Down, Event, Trouble},
    exchange::{Exchange, OwnerSpec, ServerSpec},
    handle::Standing,
    router::RouterMsg,
    vigil::{Question, Vigil},
};
use crate::{
    id::{Owner, ServerName, SessionKey},
    restart::{Meter, State},
};

/// Deaths of one owner's supervisor in a period that are answered by a restart.
const DEATHS: u32 = 3;
const DEATH_PERIOD: Duration = Duration::from_mins(5);

mod stuck;

/// The dynamic supervisor of owners.
#[derive(Debug)]
pub(crate) struct AgentsSupervisor;

/// Everything that can wake it.
#[derive(Debug)]
pub(crate) enum AgentsMsg {
    /// Add a server to an owner, or replace its definition.
    Put { owner: Owner, server: ServerName, spec: ServerSpec, reply: RpcReplyPort<()> },
    /// Remove a server from an owner; answered when nothing of it is left.
    Remove { owner: Owner, server: ServerName, reply: RpcReplyPort<()> },
    /// Restart a server's connections, or one session's; answered when that is under way.
    Restart {
        owner: Owner,
        server: ServerName,
        session: Option<SessionKey>,
        reply: RpcReplyPort<()>,
    },
    /// Make the next life of a server's connection beside the present one.
    HandOver { owner: Owner, server: ServerName, reply: HandedOver },
    /// Check a server's connection.
    Check { owner: Owner, server: ServerName, reply: RpcReplyPort<Result<Duration, String>> },
    /// A session's own connection to a server.
    Open { owner: Owner, server: ServerName, session: SessionKey, reply: RpcReplyPort<Opened> },
    /// A session of an owner's is over.
    Release { owner: Owner, session: SessionKey },
    /// Another configuration; `done` is held until it is carried out.
    Reconfigure { owners: BTreeMap<Owner, OwnerSpec>, done: mpsc::Sender<()> },
    /// The router has a new life.
    Announce { router: ActorRef<RouterMsg> },
    /// Say that you are there, and ask the owners' supervisors.
    Alive(Question),
    /// Stop everything, then end.
    Shutdown,
}

/// What it holds.
#[derive(Debug)]
pub(crate) struct AgentsState {
    exchange: Arc<Exchange>,
    router: ActorRef<RouterMsg>,
    owners: BTreeMap<Owner, Supervised>,
    stopping: bool,
}

/// One owner.
#[derive(Debug)]
struct Supervised {
    /// `None` in quarantine.
    actor: Option<ActorRef<AgentMsg>>,
    deaths: Meter,
    vigil: Vigil,
    /// It was asked to end, because its owner left the configuration.
    leaving: bool,
}

impl Actor for AgentsSupervisor {
    type Msg = AgentsMsg;
    type State = AgentsState;
    type Arguments = (Arc<Exchange>, ActorRef<RouterMsg>);

    async fn pre_start(
        &self,
        myself: ActorRef<AgentsMsg>,
        (exchange, router): (Arc<Exchange>, ActorRef<RouterMsg>),
    ) -> Result<AgentsState, ActorProcessingErr> {
        let owners: Vec<Owner> = exchange.owners.lock().keys().cloned().collect();
        let mut state = AgentsState { exchange, router, owners: BTreeMap::new(), stopping: false };
        for owner in owners {
            state.start(&myself, owner).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<AgentsMsg>,
        message: AgentsMsg,
        state: &mut AgentsState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            AgentsMsg::Put { owner, server, spec, reply } => state.put(&owner, server, spec, reply),
            AgentsMsg::Remove { owner, server, reply } => state.remove(&owner, server, reply),
            AgentsMsg::Restart { owner, server, session, reply } => {
                state.revive(&myself, &owner).await?;
                state.tell(&owner, AgentMsg::Restart { server, session, reply });
            }
            AgentsMsg::HandOver { owner, server, reply } => {
                state.revive(&myself, &owner).await?;
                state.tell(&owner, AgentMsg::HandOver { server, reply });
            }
            AgentsMsg::Check { owner, server, reply } => {
                state.tell(&owner, AgentMsg::Check { server, reply });
            }
            AgentsMsg::Open { owner, server, session, reply } => {
                state.tell(&owner, AgentMsg::Open { server, session, reply });
            }
            AgentsMsg::Release { owner, session } => {
                state.tell(&owner, AgentMsg::Release { session });
            }
            AgentsMsg::Reconfigure { owners, done } => {
                state.reconfigure(&myself, owners, &done).await?;
            }
            AgentsMsg::Announce { router } => state.announce(&router),
            AgentsMsg::Alive(question) => {
                question.answer();
                state.watch(&myself).await?;
            }
            AgentsMsg::Shutdown => state.shutdown(&myself),
        }
        Ok(())
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "features of the framework that an embedding program turns on add variants"
    )]
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<AgentsMsg>,
        event: SupervisionEvent,
        state: &mut AgentsState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, cause) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell, reason.unwrap_or_else(|| "terminated".to_owned()))
            }
            _ => return Ok(()),
        };
        let found = state.owners.iter().find_map(|(owner, supervised)| {
            let actor = supervised.actor.as_ref()?;
            (actor.get_id() == cell.get_id()).then(|| owner.clone())
        });
        let Some(owner) = found else { return Ok(()) };
        state.died(&myself, owner, &cause).await
    }
}

impl AgentsState {
    async fn start(
        &mut self,
        myself: &ActorRef<AgentsMsg>,
        owner: Owner,
    ) -> Result<(), ActorProcessingErr> {
        let args = AgentArgs {
            exchange: Arc::clone(&self.exchange),
            owner: owner.clone(),
            router: self.router.clone(),
        };
        // Its start does no I/O, so waiting for it costs microseconds.
        let (actor, _) =
            Actor::spawn_linked(None, AgentSupervisor, args, myself.get_cell()).await?;
        let deaths = self
            .owners
            .remove(&owner)
            .map_or_else(|| Meter::new(DEATHS, DEATH_PERIOD), |supervised| supervised.deaths);
        let vigil = Vigil::default();
        self.owners.insert(owner, Supervised { actor: Some(actor), deaths, vigil, leaving: false });
        Ok(())
    }

    /// An agent in quarantine gets another chance when a person asks for it.
    async fn revive(
        &mut self,
        myself: &ActorRef<AgentsMsg>,
        owner: &Owner,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(supervised) = self.owners.get_mut(owner)
            && supervised.actor.is_none()
        {
            supervised.deaths.clear();
            self.start(myself, owner.clone()).await?;
        }
        Ok(())
    }

    async fn reconfigure(
        &mut self,
        myself: &ActorRef<AgentsMsg>,
        owners: BTreeMap<Owner, OwnerSpec>,
        done: &mpsc::Sender<()>,
    ) -> Result<(), ActorProcessingErr> {
        let wanted: Vec<Owner> = owners.keys().cloned().collect();
        *self.exchange.owners.lock() = owners;
        for (owner, supervised) in &mut self.owners {
            supervised.leaving |= !wanted.contains(owner);
            match &supervised.actor {
                // One that died this moment starts again from what is configured.
                Some(actor) if wanted.contains(owner) => {
                    actor.cast(AgentMsg::Reconfigure { done: done.clone() }).ok();
                }
                Some(actor) => drop(actor.cast(AgentMsg::Shutdown)),
                None => {}
            }
        }
        for owner in wanted {
            if !self.owners.contains_key(&owner) {
                self.start(myself, owner).await?;
            }
        }
        let quarantined: Vec<Owner> = self
            .owners
            .iter()
            .filter(|(_, it)| it.actor.is_none())
            .map(|(it, _)| it.clone())
            .collect();
        for owner in quarantined {
            if self.is_wanted(&owner) {
                // Another configuration is another chance.
                self.revive(myself, &owner).await?;
            } else {
                self.forget(&owner);
            }
        }
        Ok(())
    }

    fn is_wanted(&self, owner: &Owner) -> bool {
        self.exchange.owners.lock().contains_key(owner)
    }

    /// An owner that left the configuration has ended.
    fn forget(&mut self, owner: &Owner) {
        self.owners.remove(owner);
        self.exchange.forget(owner);
        // A router that is gone comes back without it.
        self.router.cast(RouterMsg::Undefine { owner: owner.clone() }).ok();
    }

    fn put(
        &mut self,
        owner: &Owner,
        server: ServerName,
        spec: ServerSpec,
        reply: RpcReplyPort<()>,
    ) {
        if let Some(of) = self.exchange.owners.lock().get_mut(owner) {
            of.servers.insert(server.clone(), spec.clone());
        }
        for agent in self.granted(owner, &server) {
            let (server, spec) = (server.clone(), spec.clone());
            self.tell(&agent, AgentMsg::Put { server, spec, granted: true, reply: None });
        }
        self.tell(owner, AgentMsg::Put { server, spec, granted: false, reply: Some(reply) });
    }

    fn remove(&mut self, owner: &Owner, server: ServerName, reply: RpcReplyPort<()>) {
        if let Some(of) = self.exchange.owners.lock().get_mut(owner) {
            of.servers.remove(&server);
        }
        for agent in self.granted(owner, &server) {
            self.tell(&agent, AgentMsg::Remove { server: server.clone(), reply: None });
        }
        self.tell(owner, AgentMsg::Remove { server, reply: Some(reply) });
    }

    /// The agents that were granted this server of this owner's.
    fn granted(&self, owner: &Owner, server: &ServerName) -> Vec<Owner> {
        let owners = self.exchange.owners.lock();
        let granted = owners
            .iter()
            .filter(|(_, spec)| *owner == Owner::Store && spec.grants.contains(server));
        granted.map(|(agent, _)| agent.clone()).collect()
    }

    fn tell(&self, owner: &Owner, message: AgentMsg) {
        if let Some(actor) = self.owners.get(owner).and_then(|supervised| supervised.actor.as_ref())
        {
            // One that died this moment starts again from what is configured.
            actor.cast(message).ok();
        }
    }

    fn announce(&mut self, router: &ActorRef<RouterMsg>) {
        self.router = router.clone();
        for owner in self.owners.keys() {
            self.tell(owner, AgentMsg::Announce { router: router.clone() });
        }
    }

    fn shutdown(&mut self, myself: &ActorRef<AgentsMsg>) {
        self.stopping = true;
        for owner in self.owners.keys() {
            self.tell(owner, AgentMsg::Shutdown);
        }
        self.stop_if_done(myself);
    }

    fn stop_if_done(&self, myself: &ActorRef<AgentsMsg>) {
        if self.owners.values().all(|supervised| supervised.actor.is_none()) {
            myself.stop(Some("shutdown".to_owned()));
        }
    }

    async fn died(
        &mut self,
        myself: &ActorRef<AgentsMsg>,
        owner: Owner,
        cause: &str,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.exchange.started.elapsed();
        let wanted = self.is_wanted(&owner);
        let Some(supervised) = self.owners.get_mut(&owner) else {
            return Ok(());
        };
        supervised.actor = None;
        let leaving = supervised.leaving;
        if self.stopping {
            self.stop_if_done(myself);
            return Ok(());
        }
        if !wanted {
            self.forget(&owner);
            return Ok(());
        }
        // One that was removed and came back before it had ended.
        if leaving {
            return self.start(myself, owner).await;
        }
        tracing::error!(%owner, cause, "the supervisor of an owner died");
        if supervised.deaths.record(now) {
            let cause = format!("its supervisor ended, a bug of Switchboard: {cause}");
            self.record_bug(&owner, State::Idle, &cause.into(), "the supervisor is started again");
            return self.start(myself, owner).await;
        }
        let cause: Arc<str> =
            format!("{owner} is in quarantine after repeated bugs: {cause}").into();
        self.record_bug(&owner, State::Failed, &cause, GIVEN_UP);
        for handle in self.exchange.handles().iter().filter(|handle| handle.owner == owner) {
            handle.publish(Standing {
                state: State::Failed,
                incarnation: handle.standing().incarnation,
                cause: Some(Arc::clone(&cause)),
                ..Standing::default()
            });
        }
        Ok(())
    }

    /// A supervisor's end is a part of the story of each of its connections.
    fn record_bug(&self, owner: &Owner, to: State, cause: &Arc<str>, decision: &str) {
        for handle in self.exchange.handles().iter().filter(|handle| handle.owner == *owner) {
            let standing = handle.standing();
            self.exchange.events.record(Event {
                time: SystemTime::now(),
                owner: owner.clone(),
                server: handle.seat.server.clone(),
                session: handle.seat.session.clone(),
                incarnation: standing.incarnation,
                from: standing.state,
                to,
                cause: Arc::clone(cause),
                decision: decision.into(),
                next: None,
                waiting: handle.waiting(),
                detail: Detail::Down(Down { trouble: Some(Trouble::Bug), ..Down::default() }),
                earlier: false,
            });
        }
    }
}
