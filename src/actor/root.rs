//! The root of one tree. No parent; its handle belongs to the embedding program. Children:
//! router, agents, janitor, in this order of start and the reverse order of stop.
//!
//! One for one: a child that dies is started again and the others stay, because what they share
//! lives in the exchange. A root whose children keep dying ends, and says why.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::mpsc;

use super::{
    agents::{AgentsMsg, AgentsSupervisor},
    exchange::{Exchange, OwnerSpec, Settings},
    janitor::{JanitorActor, JanitorMsg},
    router::{RouterActor, RouterMsg},
    task::Timer,
    vigil::{Question, STUCK, Vigil},
};
use crate::{id::Owner, restart::Meter};

/// Deaths of children in a period that the root survives (OTP's intensity).
const INTENSITY: u32 = 3;
const PERIOD: Duration = Duration::from_mins(1);

/// The root.
#[derive(Debug)]
pub(crate) struct RootActor;

/// What reaches the root.
#[derive(Debug)]
pub(crate) enum RootMsg {
    /// Pass on to the supervisor of owners.
    Agents(AgentsMsg),
    /// Pass on to the router.
    Router(RouterMsg),
    /// Another configuration; whoever takes part holds `done` until it is carried out.
    Reconfigure {
        settings: Arc<Settings>,
        owners: BTreeMap<Owner, OwnerSpec>,
        done: mpsc::Sender<()>,
    },
    /// Time to ask whether everybody still answers.
    Watch,
    /// Say that you are there.
    Alive(Question),
    /// Stop everything from the leaves up, then end.
    Shutdown,
}

/// What the root holds.
#[derive(Debug)]
pub(crate) struct RootState {
    exchange: Arc<Exchange>,
    router: ActorRef<RouterMsg>,
    agents: ActorRef<AgentsMsg>,
    janitor: ActorRef<JanitorMsg>,
    deaths: Meter,
    /// Of router, agents and janitor.
    vigils: [Vigil; 3],
    watch: Timer,
    stopping: bool,
}

impl Actor for RootActor {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = Arc<Exchange>;

    async fn pre_start(
        &self,
        myself: ActorRef<RootMsg>,
        exchange: Arc<Exchange>,
    ) -> Result<RootState, ActorProcessingErr> {
        let root = myself.get_cell();
        let router = start_router(&root, &exchange).await?;
        let agents = start_agents(&root, &exchange, &router).await?;
        let janitor = start_janitor(&root, &exchange).await?;
        let deaths = Meter::new(INTENSITY, PERIOD);
        let (vigils, watch) = (<[Vigil; 3]>::default(), Timer::default());
        let mut state =
            RootState { exchange, router, agents, janitor, deaths, vigils, watch, stopping: false };
        state.arm(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<RootMsg>,
        message: RootMsg,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // A child that died this moment is started again; what was told to it is lost, and
            // its caller sees the reply port close.
            RootMsg::Agents(message) => drop(state.agents.cast(message)),
            RootMsg::Router(message) => drop(state.router.cast(message)),
            RootMsg::Reconfigure { settings, owners, done } => {
                state.reconfigure(settings, owners, done);
            }
            RootMsg::Watch => state.watch(&myself).await?,
            RootMsg::Alive(question) => question.answer(),
            RootMsg::Shutdown => {
                state.watch.clear();
                state.stopping = true;
                state.janitor.stop(Some("shutdown".to_owned()));
                drop(state.agents.cast(AgentsMsg::Shutdown));
            }
        }
        Ok(())
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "features of the framework that an embedding program turns on add variants"
    )]
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                state.died(&myself, &cell, &error.to_string()).await
            }
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                state.died(&myself, &cell, reason.as_deref().unwrap_or("terminated")).await
            }
            _ => Ok(()),
        }
    }
}

impl RootState {
    fn reconfigure(
        &self,
        settings: Arc<Settings>,
        owners: BTreeMap<Owner, OwnerSpec>,
        done: mpsc::Sender<()>,
    ) {
        let renamed = self.exchange.settings().catalog != settings.catalog;
        self.exchange.set_settings(settings);
        // A child that died this moment starts again from what the exchange has.
        drop(self.janitor.cast(JanitorMsg::Interval(cleanup(&self.exchange))));
        if renamed {
            drop(self.router.cast(RouterMsg::Rename));
        }
        drop(self.agents.cast(AgentsMsg::Reconfigure { owners, done }));
    }

    /// Asks again after an interval from now, however late this one was.
    fn arm(&mut self, myself: &ActorRef<RootMsg>) {
        let seconds = self.exchange.settings().monitoring.health_check_seconds.max(1);
        self.watch.set(myself, Duration::from_secs(seconds.into()), || RootMsg::Watch);
    }

    /// Asks every child for an answer, and by way of them the whole tree. One that hangs is
    /// replaced without waiting for its end, which comes when its handler returns, if ever.
    async fn watch(&mut self, myself: &ActorRef<RootMsg>) -> Result<(), ActorProcessingErr> {
        self.exchange.leaks.check();
        let [router, agents, janitor] = &mut self.vigils;
        let stuck = [
            router.finds_stuck(&self.router, RouterMsg::Alive).then(|| self.router.get_cell()),
            agents.finds_stuck(&self.agents, AgentsMsg::Alive).then(|| self.agents.get_cell()),
            janitor.finds_stuck(&self.janitor, JanitorMsg::Alive).then(|| self.janitor.get_cell()),
        ];
        for cell in stuck.into_iter().flatten() {
            cell.kill();
            cell.stop_children(Some(STUCK.to_owned()));
            self.died(myself, &cell, STUCK).await?;
        }
        self.arm(myself);
        Ok(())
    }

    fn is_child(&self, cell: &ActorCell) -> bool {
        [self.router.get_id(), self.agents.get_id(), self.janitor.get_id()].contains(&cell.get_id())
    }

    async fn died(
        &mut self,
        myself: &ActorRef<RootMsg>,
        cell: &ActorCell,
        cause: &str,
    ) -> Result<(), ActorProcessingErr> {
        let root = myself.get_cell();
        let agents_died = cell.get_id() == self.agents.get_id();
        if self.stopping {
            if agents_died {
                // The leaves are gone: the router goes with the root.
                self.exchange.end("shutdown");
                myself.stop(Some("shutdown".to_owned()));
            }
            return Ok(());
        }
        if !self.is_child(cell) {
            // One that was replaced has come to its end: what it published last may be old.
            drop(self.agents.cast(AgentsMsg::Announce { router: self.router.clone() }));
            return Ok(());
        }
        tracing::error!(cause, "a part of the runtime died and is started again");
        if !self.deaths.record(self.exchange.started.elapsed()) {
            let reason = format!(
                "more than {INTENSITY} deaths in {} s, the last: {cause}",
                PERIOD.as_secs()
            );
            self.exchange.end(&reason);
            return Err(reason.into());
        }
        if cell.get_id() == self.router.get_id() {
            self.router = start_router(&root, &self.exchange).await?;
            drop(self.agents.cast(AgentsMsg::Announce { router: self.router.clone() }));
        } else if agents_died {
            self.agents = start_agents(&root, &self.exchange, &self.router).await?;
        } else if cell.get_id() == self.janitor.get_id() {
            self.janitor = start_janitor(&root, &self.exchange).await?;
        }
        Ok(())
    }
}

async fn start_router(
    root: &ActorCell,
    exchange: &Arc<Exchange>,
) -> Result<ActorRef<RouterMsg>, ActorProcessingErr> {
    let (router, _) =
        Actor::spawn_linked(None, RouterActor, Arc::clone(exchange), root.clone()).await?;
    Ok(router)
}

async fn start_agents(
    root: &ActorCell,
    exchange: &Arc<Exchange>,
    router: &ActorRef<RouterMsg>,
) -> Result<ActorRef<AgentsMsg>, ActorProcessingErr> {
    let args = (Arc::clone(exchange), router.clone());
    let (agents, _) = Actor::spawn_linked(None, AgentsSupervisor, args, root.clone()).await?;
    Ok(agents)
}

async fn start_janitor(
    root: &ActorCell,
    exchange: &Arc<Exchange>,
) -> Result<ActorRef<JanitorMsg>, ActorProcessingErr> {
    let args = (cleanup(exchange), Arc::clone(&exchange.sweeps));
    let (janitor, _) = Actor::spawn_linked(None, JanitorActor, args, root.clone()).await?;
    Ok(janitor)
}

fn cleanup(exchange: &Exchange) -> Duration {
    Duration::from_secs_f64(exchange.settings().monitoring.cleanup_hours * 3600.0)
}
