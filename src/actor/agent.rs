//! The supervisor of one owner's connections. Parent: [`super::agents`]. Children: connections.
//!
//! Asks `restart` what to do about every end, carries it out with timers, announces up and down to
//! the router, and publishes each connection's standing. Connect and transport failures climb each
//! connection's own ladder; only bugs (a panic, an untyped error) count against this supervisor,
//! and only they end it. It never awaits the network.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

use super::{
    child::{Child, Ended},
    connection::{ConnectionActor, ConnectionArgs, ConnectionFailure, ConnectionMsg},
    exchange::{Exchange, ServerSpec},
    group::Groups,
    handle::Live,
    router::RouterMsg,
    server::{Isolation, Startup},
};
use crate::{
    catalog::{Catalog, Diff},
    id::{Incarnation, Owner, ServerName},
    restart::{Exit, Meter, State},
};

/// Bugs in a period that this supervisor survives.
const BUGS: u32 = 5;
const BUG_PERIOD: Duration = Duration::from_secs(60);

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
    Put {
        server: ServerName,
        spec: ServerSpec,
        granted: bool,
        reply: Option<RpcReplyPort<()>>,
    },
    /// Stop it and forget it; answered when nothing of it is left.
    Remove {
        server: ServerName,
        reply: Option<RpcReplyPort<()>>,
    },
    /// A call waits for it.
    Start { server: ServerName },
    /// Restart it now, whatever state it is in.
    Restart { server: ServerName },
    /// Ask it for a sign of life now.
    Check {
        server: ServerName,
        reply: RpcReplyPort<Result<Duration, String>>,
    },
    /// Its link is made.
    Up {
        server: ServerName,
        live: Arc<Live>,
        catalog: Option<Arc<Catalog>>,
    },
    /// Its tools were listed again.
    Refreshed {
        server: ServerName,
        incarnation: Incarnation,
        catalog: Arc<Catalog>,
    },
    /// The pause before its next try is over.
    RetryDue { server: ServerName, generation: u64 },
    /// It may have been ready for the stable period.
    StableDue {
        server: ServerName,
        incarnation: Incarnation,
    },
    /// It may have been gone for the whole grace of its tools.
    GraceDue { server: ServerName, generation: u64 },
    /// The router has a new life: tell it everything.
    Announce { router: ActorRef<RouterMsg> },
    /// Stop all connections in order, then end.
    Shutdown,
}

/// What an owner's supervisor holds.
#[derive(Debug)]
pub(crate) struct AgentState {
    exchange: Arc<Exchange>,
    owner: Owner,
    router: ActorRef<RouterMsg>,
    children: BTreeMap<ServerName, Child>,
    groups: Groups,
    bugs: Meter,
    /// What is still to be stopped, last first; `None` unless shutting down.
    stopping: Option<Vec<Vec<ServerName>>>,
}

impl Actor for AgentSupervisor {
    type Msg = AgentMsg;
    type State = AgentState;
    type Arguments = AgentArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<AgentMsg>,
        args: AgentArgs,
    ) -> Result<AgentState, ActorProcessingErr> {
        let spec = args
            .exchange
            .owners
            .lock()
            .get(&args.owner)
            .cloned()
            .unwrap_or_default();
        let state = AgentState {
            groups: Groups::new(&args.exchange.settings.groups),
            exchange: args.exchange,
            owner: args.owner,
            router: args.router,
            children: BTreeMap::new(),
            bugs: Meter::new(BUGS, BUG_PERIOD),
            stopping: None,
        };
        state.define();
        for server in spec.grants {
            // The definition is the store's; what it says of isolation decides who connects.
            let of_store = state.exchange.owners.lock().get(&Owner::Store).cloned();
            if let Some(spec) = of_store.and_then(|store| store.servers.get(&server).cloned()) {
                myself.cast(AgentMsg::Put {
                    server,
                    spec,
                    granted: true,
                    reply: None,
                })?;
            }
        }
        for (server, spec) in spec.servers {
            myself.cast(AgentMsg::Put {
                server,
                spec,
                granted: false,
                reply: None,
            })?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<AgentMsg>,
        message: AgentMsg,
        state: &mut AgentState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            AgentMsg::Put {
                server,
                spec,
                granted,
                reply,
            } => {
                state.put(&myself, server, spec, granted).await?;
                answer(reply);
            }
            AgentMsg::Remove { server, reply } => state.remove(&server, reply),
            AgentMsg::Start { server } => state.start_idle(&myself, &server).await?,
            AgentMsg::Restart { server } => state.restart(&myself, &server).await?,
            AgentMsg::Check { server, reply } => state.check(&server, reply),
            AgentMsg::Up {
                server,
                live,
                catalog,
            } => state.up(&myself, &server, live, catalog),
            AgentMsg::Refreshed {
                server,
                incarnation,
                catalog,
            } => {
                state.refreshed(&server, incarnation, catalog);
            }
            AgentMsg::RetryDue { server, generation } => {
                state.retry_due(&myself, &server, generation).await?;
            }
            AgentMsg::StableDue {
                server,
                incarnation,
            } => state.stable_due(&server, incarnation),
            AgentMsg::GraceDue { server, generation } => state.grace_due(&server, generation),
            AgentMsg::Announce { router } => state.announce(router),
            AgentMsg::Shutdown => state.shutdown(&myself),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<AgentMsg>,
        event: SupervisionEvent,
        state: &mut AgentState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                let ended = match error.downcast_ref::<ConnectionFailure>() {
                    Some(failure) => Ended {
                        exit: failure.exit.clone(),
                        cause: failure.cause.clone(),
                    },
                    None => Ended {
                        exit: Exit::Bug,
                        cause: format!("a bug of ours: {error}"),
                    },
                };
                state.ended(&myself, &cell, ended).await
            }
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                // A connection ends itself with a typed reason; one that was killed did not.
                let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
                let cause = format!("its actor was terminated: {reason}");
                state
                    .ended(
                        &myself,
                        &cell,
                        Ended {
                            exit: Exit::Bug,
                            cause,
                        },
                    )
                    .await
            }
            _ => Ok(()),
        }
    }
}

impl AgentState {
    /// Tells the router that this owner exists.
    fn define(&self) {
        let spec = self
            .exchange
            .owners
            .lock()
            .get(&self.owner)
            .cloned()
            .unwrap_or_default();
        self.route(RouterMsg::Define {
            owner: self.owner.clone(),
            grants: spec.grants,
            filter: spec.filter,
        });
    }

    fn route(&self, message: RouterMsg) {
        // A router that is gone comes back and asks for an announcement.
        self.router.cast(message).ok();
    }

    async fn add(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: ServerName,
        spec: ServerSpec,
        granted: bool,
    ) -> Result<(), ActorProcessingErr> {
        if granted && spec.config.isolation == Isolation::Shared {
            return Ok(());
        }
        if !spec.config.enabled {
            return Ok(());
        }
        let known = self.exchange.handle(&self.owner, &server);
        let handle = Child::handle(&self.owner, &server, &spec, known);
        let actor = myself.clone();
        let name = server.clone();
        handle.set_starter(move || {
            actor
                .cast(AgentMsg::Start {
                    server: name.clone(),
                })
                .ok();
        });
        self.exchange.insert(Arc::clone(&handle));
        let policy = self
            .groups
            .policy(&server, &self.exchange.settings, &spec.config);
        let child = Child::new(handle, spec, policy, granted);
        self.route(RouterMsg::Attach {
            handle: Arc::clone(&child.handle),
            spec: child.spec.clone(),
        });
        // A lazy server is started once all the same, so that its tools are known.
        let start = !granted || (child.spec.config.startup == Startup::Eager && child.was_ready());
        self.children.insert(server.clone(), child);
        if start {
            self.start(myself, &server, "configured").await
        } else {
            Ok(())
        }
    }

    async fn put(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: ServerName,
        spec: ServerSpec,
        granted: bool,
    ) -> Result<(), ActorProcessingErr> {
        let Some(child) = self.children.get_mut(&server) else {
            return self.add(myself, server, spec, granted).await;
        };
        if child
            .cycle(&self.exchange, "its definition changed")
            .is_some()
        {
            // The old life ends first; its end brings the new definition up.
            child.replacement = Some(spec);
            return Ok(());
        }
        self.replace(myself, server, spec, granted).await
    }

    /// Puts a new definition in the place of one whose last life has ended. The catalog known so
    /// far stays in the view until the new definition was listed.
    async fn replace(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: ServerName,
        spec: ServerSpec,
        granted: bool,
    ) -> Result<(), ActorProcessingErr> {
        if spec.config.enabled {
            self.children.remove(&server);
            return self.add(myself, server, spec, granted).await;
        }
        self.forget(&server);
        Ok(())
    }

    fn remove(&mut self, server: &ServerName, reply: Option<RpcReplyPort<()>>) {
        let Some(child) = self.children.get_mut(server) else {
            return answer(reply);
        };
        child.removed.push(reply);
        let ending = child.drain(&self.exchange, "removed from the configuration");
        self.route(RouterMsg::Detach {
            owner: self.owner.clone(),
            server: server.clone(),
        });
        if !ending {
            self.forget(server);
        }
    }

    fn forget(&mut self, server: &ServerName) {
        if let Some(child) = self.children.remove(server) {
            child.removed.into_iter().for_each(answer);
        }
        self.exchange.remove(&self.owner, server);
        self.route(RouterMsg::Detach {
            owner: self.owner.clone(),
            server: server.clone(),
        });
    }

    /// Starts the next life of a connection.
    async fn start(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: &ServerName,
        cause: &str,
    ) -> Result<(), ActorProcessingErr> {
        let update = self
            .exchange
            .settings
            .monitoring
            .update_tools_on_reconnection;
        let Some(child) = self.children.get_mut(server) else {
            return Ok(());
        };
        if child.actor.is_some() || self.stopping.is_some() {
            return Ok(());
        }
        child.begin(&self.exchange, cause);
        let args = ConnectionArgs {
            exchange: Arc::clone(&self.exchange),
            handle: Arc::clone(&child.handle),
            spec: child.spec.clone(),
            supervisor: myself.clone(),
            incarnation: child.incarnation,
            protocol: child.protocol(),
            list: !child.granted && (update || child.catalog.is_none()),
        };
        // Its start does no I/O, so waiting for it costs microseconds.
        let (actor, _) =
            Actor::spawn_linked(None, ConnectionActor, args, myself.get_cell()).await?;
        child.actor = Some(actor);
        Ok(())
    }

    async fn start_idle(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: &ServerName,
    ) -> Result<(), ActorProcessingErr> {
        match self.children.get(server) {
            Some(child) if child.ladder.state() == State::Idle => {
                self.start(myself, server, "a call waits for it").await
            }
            _ => Ok(()),
        }
    }

    async fn restart(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: &ServerName,
    ) -> Result<(), ActorProcessingErr> {
        let Some(child) = self.children.get_mut(server) else {
            return Ok(());
        };
        child.ladder.reset();
        child.generation += 1;
        if child
            .cycle(&self.exchange, "restart was asked for")
            .is_some()
        {
            return Ok(());
        }
        self.start(myself, server, "restart was asked for").await
    }

    fn check(&self, server: &ServerName, reply: RpcReplyPort<Result<Duration, String>>) {
        let actor = self
            .children
            .get(server)
            .and_then(|child| child.actor.as_ref());
        let message = match actor {
            Some(actor) => actor.cast(ConnectionMsg::Check(reply)).map_err(|_| ()),
            None => {
                reply.send(Err("it is not connected".to_owned())).ok();
                Ok(())
            }
        };
        // A connection that ended this moment drops the reply port, which its caller sees.
        message.ok();
    }

    fn up(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: &ServerName,
        live: Arc<Live>,
        catalog: Option<Arc<Catalog>>,
    ) {
        let Some(child) = self.children.get_mut(server) else {
            return;
        };
        if live.incarnation != child.incarnation || child.actor.is_none() {
            return;
        }
        let incarnation = live.incarnation;
        let instructions = live.link.facts().instructions.clone();
        let was_lost = child.ready(&self.exchange, live);
        if let Some(catalog) = catalog {
            child.catalog = Some(catalog);
        }
        if let (Some(catalog), false) = (child.catalog.clone(), child.granted) {
            child.instructions.clone_from(&instructions);
            let (owner, server) = (self.owner.clone(), server.clone());
            self.route(RouterMsg::Listed {
                owner,
                server,
                catalog,
                instructions,
            });
        }
        let name = server.clone();
        let stable = self
            .children
            .get(server)
            .map_or(Duration::ZERO, |child| child.stable_after());
        after(myself, stable, move || AgentMsg::StableDue {
            server: name,
            incarnation,
        });
        if was_lost {
            self.restart_siblings(server);
        }
    }

    /// Restarts a group's other members, once for each loss, now that the lost one is ready.
    fn restart_siblings(&mut self, lost: &ServerName) {
        for server in self.groups.affected(lost) {
            let Some(child) = self.children.get_mut(&server) else {
                continue;
            };
            if child.ladder.state() == State::Ready {
                child.cycle(&self.exchange, &format!("its group lost {lost}"));
            }
        }
    }

    fn refreshed(&mut self, server: &ServerName, incarnation: Incarnation, catalog: Arc<Catalog>) {
        let Some(child) = self.children.get_mut(server) else {
            return;
        };
        if incarnation != child.incarnation || child.granted {
            return;
        }
        let known = child.catalog.clone().unwrap_or_default();
        if known.hash() == catalog.hash() {
            return;
        }
        let diff = Diff::between(&known, &catalog);
        tracing::info!(owner = %self.owner, %server, %diff, "tools changed");
        child.catalog = Some(Arc::clone(&catalog));
        let instructions = child.instructions.clone();
        let (owner, server) = (self.owner.clone(), server.clone());
        self.route(RouterMsg::Listed {
            owner,
            server,
            catalog,
            instructions,
        });
    }

    async fn retry_due(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: &ServerName,
        generation: u64,
    ) -> Result<(), ActorProcessingErr> {
        match self.children.get(server) {
            Some(child) if child.generation == generation && child.actor.is_none() => {
                self.start(myself, server, "the pause is over").await
            }
            _ => Ok(()),
        }
    }

    fn stable_due(&mut self, server: &ServerName, incarnation: Incarnation) {
        if let Some(child) = self.children.get_mut(server)
            && child.incarnation == incarnation
        {
            child.stable(&self.exchange);
        }
    }

    /// Withdraws the tools of a server that did not come back within the grace.
    fn grace_due(&mut self, server: &ServerName, generation: u64) {
        if let Some(child) = self.children.get_mut(server)
            && child.down_since == Some(generation)
            && child.catalog.is_some()
        {
            child.catalog = None;
            self.route(RouterMsg::Withdraw {
                owner: self.owner.clone(),
                server: server.clone(),
            });
        }
    }

    fn announce(&mut self, router: ActorRef<RouterMsg>) {
        self.router = router;
        self.define();
        for child in self.children.values() {
            self.route(RouterMsg::Attach {
                handle: Arc::clone(&child.handle),
                spec: child.spec.clone(),
            });
            if let Some(catalog) = &child.catalog {
                self.route(RouterMsg::Listed {
                    owner: self.owner.clone(),
                    server: child.handle.server.clone(),
                    catalog: Arc::clone(catalog),
                    instructions: child.instructions.clone(),
                });
            }
        }
    }

    /// A connection's actor ended: what now?
    async fn ended(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        cell: &ActorCell,
        ended: Ended,
    ) -> Result<(), ActorProcessingErr> {
        let found = self.children.iter_mut().find(|(_, child)| child.is(cell));
        let Some((server, child)) = found else {
            return Ok(());
        };
        let server = server.clone();
        let bug = matches!(ended.exit, Exit::Bug).then(|| ended.cause.clone());
        let was_ready = child.ladder.state() == State::Ready;
        let tripped = was_ready
            && !matches!(ended.exit, Exit::Asked | Exit::Idle)
            && !self.groups.record(&server, self.exchange.started.elapsed());
        let pause = child.ended(&self.exchange, ended, tripped);
        if was_ready {
            let grace = self.exchange.settings.catalog.tools_grace;
            let (server, generation) = (server.clone(), child.generation);
            after(myself, grace, move || AgentMsg::GraceDue {
                server,
                generation,
            });
        }
        let (removed, granted) = (!child.removed.is_empty(), child.granted);
        let replacement = child.replacement.take();
        let (restart, generation) = (child.restart_cause.take(), child.generation);
        if self.stopping.is_some() {
            self.stop_next(myself);
        } else if removed {
            self.forget(&server);
        } else if let Some(spec) = replacement {
            self.replace(myself, server, spec, granted).await?;
        } else if let Some(cause) = restart {
            self.start(myself, &server, &cause).await?;
        } else if let Some(pause) = pause {
            after(myself, pause, move || AgentMsg::RetryDue {
                server,
                generation,
            });
        }
        self.route(RouterMsg::Settled);
        match bug {
            Some(cause) if !self.bugs.record(self.exchange.started.elapsed()) => Err(format!(
                "more than {BUGS} bugs in {} s, the last: {cause}",
                BUG_PERIOD.as_secs()
            )
            .into()),
            _ => Ok(()),
        }
    }

    fn shutdown(&mut self, myself: &ActorRef<AgentMsg>) {
        if self.stopping.is_none() {
            let servers: Vec<ServerName> = self.children.keys().cloned().collect();
            self.stopping = Some(self.groups.stop_order(&servers));
            self.stop_next(myself);
        }
    }

    /// Stops the next phase once every connection of the one before has ended.
    fn stop_next(&mut self, myself: &ActorRef<AgentMsg>) {
        if self.children.values().any(|child| child.is_closing()) {
            return;
        }
        while let Some(phase) = self.stopping.as_mut().and_then(Vec::pop) {
            let mut waiting = false;
            for server in phase {
                if let Some(child) = self.children.get_mut(&server) {
                    waiting |= child.drain(&self.exchange, "shutdown");
                }
            }
            if waiting {
                return;
            }
        }
        myself.stop(Some("shutdown".to_owned()));
    }
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
