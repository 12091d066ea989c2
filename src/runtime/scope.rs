//! A scope: the store or one agent, with the same methods for both.
//!
//! What an embedding program works with. It sees and reaches nothing that its owner was not given.

use std::{sync::Arc, time::Duration};

pub use error::{AddError, WaitError};
use ractor::{RpcReplyPort, concurrency};
use rmcp::{RoleServer, Service};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Answer, CallError, CallRequest, RuntimeHandle, ServerConfig, ServerStatus,
    dispatch::{Turn, unknown_owner},
};
use crate::{
    actor::{agents::AgentsMsg, exchange::ServerSpec, root::RootMsg, router::Route, status},
    catalog::{Versions, View},
    id::{Incarnation, Owner, Seat, ServerName, SessionKey},
    restart::State,
    upstream::{Connect, TransportConfig, memory::InProcess},
    wire::RawValue,
};

mod error;

fn connector(server: &ServerName, config: &ServerConfig) -> Result<Arc<dyn Connect>, AddError> {
    config.transport.connector().ok_or_else(|| AddError::NoConnector(server.clone()))
}

/// The store or one agent.
#[derive(Clone, Debug)]
pub struct Scope {
    pub(super) runtime: RuntimeHandle,
    pub(super) owner: Owner,
}

impl Scope {
    pub(super) fn new(runtime: RuntimeHandle, owner: Owner) -> Self {
        Self { runtime, owner }
    }

    /// Whose scope this is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Adds a server. It is connected in the background; see [`Scope::wait_ready`].
    ///
    /// # Errors
    /// [`AddError`], and nothing was changed.
    pub async fn add(&self, server: ServerName, config: ServerConfig) -> Result<(), AddError> {
        let connector = connector(&server, &config)?;
        self.add_connector(server, config, connector).await
    }

    /// Adds a server that runs in this process: any rmcp service, so any
    /// [`rmcp::ServerHandler`]. The factory is called for each of its lives. Each call has a task of
    /// its own, which goes on when its caller leaves: the context's token says so.
    ///
    /// # Errors
    /// [`AddError`], and nothing was changed.
    pub async fn add_handler<H: Service<RoleServer>>(
        &self,
        server: ServerName,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> Result<(), AddError> {
        let config = ServerConfig::new(TransportConfig::InProcess);
        self.add_connector(server, config, Arc::new(InProcess::new(factory))).await
    }

    /// Adds a server with a connector of the embedding program's own.
    ///
    /// # Errors
    /// [`AddError`], and nothing was changed.
    pub async fn add_connector(
        &self,
        server: ServerName,
        config: ServerConfig,
        connector: Arc<dyn Connect>,
    ) -> Result<(), AddError> {
        if self.runtime.tree.exchange.handle(&self.owner, &Seat::common(server.clone())).is_some() {
            return Err(AddError::Exists(server));
        }
        self.put(server, config, connector).await
    }

    /// Adds many servers at once, with a result for each.
    pub async fn add_many(
        &self,
        servers: impl IntoIterator<Item = (ServerName, ServerConfig)>,
    ) -> Vec<(ServerName, Result<(), AddError>)> {
        let adding = servers.into_iter().map(|(server, config)| async move {
            let outcome = self.add(server.clone(), config).await;
            (server, outcome)
        });
        futures::future::join_all(adding).await
    }

    /// Gives a server another definition. Its calls wait while it is connected anew.
    ///
    /// # Errors
    /// [`AddError`], and nothing was changed.
    pub async fn update(&self, server: ServerName, config: ServerConfig) -> Result<(), AddError> {
        self.known(&server)?;
        let connector = connector(&server, &config)?;
        self.put(server, config, connector).await
    }

    /// Removes a server; returns when nothing of it is left.
    ///
    /// # Errors
    /// [`AddError::Unknown`] if there is none of this name.
    pub async fn remove(&self, server: &ServerName) -> Result<(), AddError> {
        self.known(server)?;
        let (owner, server) = (self.owner.clone(), server.clone());
        self.ask(|reply| AgentsMsg::Remove { owner, server, reply }).await
    }

    /// Restarts a server's connection now, whatever state it is in. Its calls wait meanwhile.
    ///
    /// # Errors
    /// [`AddError::Unknown`] if there is none of this name.
    pub async fn restart(&self, server: &ServerName) -> Result<(), AddError> {
        self.known(server)?;
        let (owner, server) = (self.owner.clone(), server.clone());
        self.ask(|reply| AgentsMsg::Restart { owner, server, session: None, reply }).await
    }

    /// Restarts one session's own connection to a server, and no other.
    ///
    /// # Errors
    /// [`AddError::Unknown`] if the session has none.
    pub async fn restart_of(
        &self,
        server: &ServerName,
        session: &SessionKey,
    ) -> Result<(), AddError> {
        let seat = Seat::of_session(server.clone(), session.clone());
        if self.runtime.tree.exchange.handle(&self.owner, &seat).is_none() {
            return Err(AddError::Unknown(server.clone()));
        }
        let (owner, server, session) = (self.owner.clone(), seat.server, seat.session);
        self.ask(|reply| AgentsMsg::Restart { owner, server, session, reply }).await
    }

    /// Replaces a server's connection without an interruption: its next life is started beside
    /// the present one, connected and listed, then takes the calls over, and the one before
    /// finishes what it has under way, for at most `timeouts.drain`. Gives the life that serves;
    /// `None` where there was none to take over from, so that the server is restarted.
    ///
    /// # Errors
    /// In words, why the present life serves on; a new one without any tools is not taken.
    pub async fn hand_over(&self, server: &ServerName) -> Result<Option<Incarnation>, String> {
        let (owner, name) = (self.owner.clone(), server.clone());
        self.known(server).map_err(|error| error.to_string())?;
        self.ask(|reply| AgentsMsg::HandOver { owner, server: name, reply })
            .await
            .map_err(|error| error.to_string())?
    }

    /// Asks a server for a sign of life now and says how long it took.
    ///
    /// # Errors
    /// In words, why there was none.
    pub async fn check(&self, server: &ServerName) -> Result<Duration, String> {
        let (owner, name) = (self.owner.clone(), server.clone());
        self.known(server).map_err(|error| error.to_string())?;
        self.ask(|reply| AgentsMsg::Check { owner, server: name, reply })
            .await
            .map_err(|error| error.to_string())?
    }

    /// This scope's connections.
    pub fn servers(&self) -> Vec<ServerStatus> {
        let exchange = &self.runtime.tree.exchange;
        let handles = exchange.handles();
        handles
            .iter()
            .filter(|handle| handle.owner == self.owner)
            .map(|handle| status::server(handle))
            .collect()
    }

    /// One of this scope's connections.
    pub fn server(&self, server: &ServerName) -> Option<ServerStatus> {
        self.runtime
            .tree
            .exchange
            .handle(&self.owner, &Seat::common(server.clone()))
            .map(|handle| status::server(&handle))
    }

    /// Waits until a server is ready and its tools are listed.
    ///
    /// # Errors
    /// [`WaitError`] at once when it will not be tried again by itself, else after the limit.
    pub async fn wait_ready(&self, server: &ServerName, limit: Duration) -> Result<(), WaitError> {
        let handle = self
            .runtime
            .tree
            .exchange
            .handle(&self.owner, &Seat::common(server.clone()))
            .ok_or_else(|| WaitError::Unknown(server.clone()))?;
        handle.wake();
        let mut standing = handle.watch();
        let settled = standing.wait_for(|standing| {
            matches!(standing.state, State::Ready | State::Failed | State::Stopped)
        });
        let settled =
            tokio::time::timeout(limit, settled).await.map(|found| found.map(|now| now.clone()));
        let now = handle.standing();
        let cause = now.cause.as_deref().unwrap_or_default();
        match settled {
            Ok(Ok(found)) if found.state == State::Ready => {
                self.runtime.flush().await;
                Ok(())
            }
            Ok(_) => Err(WaitError::GivenUp {
                server: server.clone(),
                state: now.state,
                cause: cause.to_owned(),
            }),
            Err(_) => Err(WaitError::Timeout {
                server: server.clone(),
                state: now.state,
                cause: if cause.is_empty() { String::new() } else { format!(": {cause}") },
            }),
        }
    }

    /// What this scope sees now, from memory.
    ///
    /// # Errors
    /// [`CallError::Unknown`] if the agent is gone.
    pub fn tools(&self) -> Result<Arc<View>, CallError> {
        let table = self.runtime.tree.exchange.table.load();
        let view = table.owner(&self.owner).ok_or_else(|| unknown_owner(&self.owner))?;
        Ok(Arc::clone(&view.view))
    }

    /// Versions that grow whenever a list of this scope's really differs.
    ///
    /// # Errors
    /// [`CallError::Unknown`] if the agent is gone.
    pub fn changes(&self) -> Result<watch::Receiver<Versions>, CallError> {
        let table = self.runtime.tree.exchange.table.load();
        let view = table.owner(&self.owner).ok_or_else(|| unknown_owner(&self.owner))?;
        Ok(view.versions.subscribe())
    }

    /// How long a call may take in all, whatever happens meanwhile (`timeouts.call_max`).
    pub fn longest(&self) -> Duration {
        self.runtime.tree.exchange.settings().timeouts.call_max
    }

    /// Cancelled when new calls are refused, because the runtime is being stopped.
    pub(crate) fn draining(&self) -> CancellationToken {
        self.runtime.draining()
    }

    /// The instructions of this scope's servers, each under its server's name.
    ///
    /// # Errors
    /// [`CallError::Unknown`] if the agent is gone.
    pub fn instructions(&self) -> Result<Option<Arc<str>>, CallError> {
        let table = self.runtime.tree.exchange.table.load();
        let view = table.owner(&self.owner).ok_or_else(|| unknown_owner(&self.owner))?;
        Ok(view.instructions.clone())
    }

    /// What this scope's servers declare beyond the protocol, as far as clients are told: an
    /// object with `extensions` and `experimental`.
    ///
    /// # Errors
    /// [`CallError::Unknown`] if the agent is gone.
    pub fn extensions(&self) -> Result<Option<Box<RawValue>>, CallError> {
        let table = self.runtime.tree.exchange.table.load();
        let view = table.owner(&self.owner).ok_or_else(|| unknown_owner(&self.owner))?;
        Ok(view.extensions.shown().map(ToOwned::to_owned))
    }

    /// What tells the definition of one of this scope's servers from any other.
    pub(crate) fn program_of(&self, server: &ServerName) -> Option<Arc<str>> {
        let table = self.runtime.tree.exchange.table.load();
        table.owner(&self.owner)?.program(server).cloned()
    }

    /// The server that a request goes to at present, and what tells its definition from any other.
    pub(crate) fn program(&self, request: &CallRequest) -> Option<(ServerName, Arc<str>)> {
        let table = self.runtime.tree.exchange.table.load();
        let target = table.owner(&self.owner)?.target(&request.subject, request.origin.as_ref())?;
        let Route { handle, program, .. } = target.route;
        Some((handle.seat.server.clone(), program))
    }

    /// Calls a tool, or asks for something else that this scope sees. Dropping the future cancels
    /// the request.
    ///
    /// # Errors
    /// [`CallError`]; what was provably not sent says so.
    pub async fn call(&self, request: CallRequest) -> Result<Answer, CallError> {
        self.carry_out(&request, Turn::First).await
    }

    /// The same for a request that its caller keeps. One that belongs to a call under way is never
    /// refused because the runtime drains.
    pub(crate) fn carry_out<'a>(
        &'a self,
        request: &'a CallRequest,
        turn: Turn,
    ) -> impl Future<Output = Result<Answer, CallError>> + Send + 'a {
        self.runtime.carry_out(&self.owner, request, turn)
    }

    /// Whether a tool of this scope's is called as a task or not at all (MCP 2025-11-25).
    pub(crate) fn needs_task(&self, tool: &str) -> bool {
        let table = self.runtime.tree.exchange.table.load();
        let view = table.owner(&self.owner);
        view.and_then(|view| view.view.resolve(tool)).is_some_and(|tool| tool.needs_task)
    }

    /// Whether a server serves several owners by one connection.
    pub(crate) fn is_shared(&self, server: &ServerName) -> bool {
        let table = self.runtime.tree.exchange.table.load();
        table.owner(&self.owner).is_some_and(|view| view.is_shared(server))
    }

    /// Whether a server of this name is there and disabled, so that it has no connection.
    pub(crate) fn is_disabled(&self, server: &ServerName) -> bool {
        self.runtime.tree.exchange.is_disabled(&self.owner, server)
    }

    fn known(&self, server: &ServerName) -> Result<(), AddError> {
        match self.runtime.tree.exchange.handle(&self.owner, &Seat::common(server.clone())) {
            Some(_) => Ok(()),
            None => Err(AddError::Unknown(server.clone())),
        }
    }

    async fn put(
        &self,
        server: ServerName,
        config: ServerConfig,
        connector: Arc<dyn Connect>,
    ) -> Result<(), AddError> {
        let mut spec = ServerSpec::new(config, connector)
            .map_err(|source| AddError::Filter { server: server.clone(), source })?;
        spec.added = true;
        let owner = self.owner.clone();
        self.ask(|reply| AgentsMsg::Put { owner, server, spec, reply }).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> AgentsMsg,
    ) -> Result<T, AddError> {
        let (reply, answer) = concurrency::oneshot();
        let message = RootMsg::Agents(message(reply.into()));
        self.runtime.tree.root.cast(message).map_err(|_| AddError::Ended)?;
        answer.await.map_err(|_| AddError::Ended)
    }
}
