//! The door of the kernel: spawn the tree, hold its handle, use it by scopes.
//!
//! An agent program embeds the runtime with [`Runtime::spawn`]; the binary does the same. Nothing
//! here is global: two runtimes in one process never meet. The library sets no subscriber and no
//! signal handler.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ractor::ActorRef;
use tokio_util::sync::CancellationToken;

pub(crate) use crate::actor::{
    audience::Hearing,
    watches::{Heard as Tidings, Inbox, Watch},
};
pub use crate::actor::{
    call::{Answer, CallError, CallRequest, Delivery, Failure},
    change::Changes,
    event::{Detail, Down, Event, Trouble, Via, Waiting},
    server::{Isolation, Retry, ServerConfig, Startup, ToolRule},
    settings::{AgentConfig, GroupConfig, LimitsConfig, MonitoringConfig, TimeoutsConfig},
    status::{Health, Phase, RuntimeStatus, ServerStatus},
    subject::Subject,
};
pub use crate::catalog::{ContentHash, Page, Versions, View, ViewItem};
pub use crate::store::{MemoryStore, Store};
pub use crate::upstream::{
    Asked, Dialogue, DialogueSink, ProcessExit, Progress, ProgressSink, Reply, Response, Told,
    Whose, declined, introduced,
};
use crate::{
    actor::{
        agents::AgentsMsg,
        exchange::{Exchange, OwnerSpec, ServerSpec, Settings},
        root::RootMsg,
        status,
    },
    catalog::{CatalogConfig, FilterError},
    id::{AgentId, Owner, ServerName, SessionKey},
    trace::Telemetry,
};

mod awaited;
mod builder;
mod dispatch;
mod explain;
mod introspect;
mod notify;
mod pulse;
mod reconfigure;
mod scope;
mod timeline;
mod watching;

pub(crate) use awaited::Awaited;
pub use builder::RuntimeBuilder;
pub(crate) use dispatch::Turn;
pub use explain::{Explanation, explain, told};
pub use reconfigure::Prepared;
pub use scope::{AddError, Scope, WaitError};
pub use timeline::{Heard, Story};
pub use watching::Subscription;
pub(crate) use watching::WatchRequest;

/// How long the tree may take to stop in order before it is ended at once: the close ladder of a
/// child process, and some.
const STOP: Duration = Duration::from_secs(10);

/// How long the last records may take to be written.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// Everything that the kernel is configured by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeConfig {
    /// Top-level servers: the store's.
    pub servers: BTreeMap<ServerName, ServerConfig>,
    /// Failure domains among them.
    pub groups: BTreeMap<String, GroupConfig>,
    /// Agents.
    pub agents: BTreeMap<AgentId, AgentConfig>,
    /// What is watched, and how often.
    pub monitoring: MonitoringConfig,
    /// How long things may take.
    pub timeouts: TimeoutsConfig,
    /// Bounds.
    pub limits: LimitsConfig,
    /// How tools are named and kept.
    pub catalog: CatalogConfig,
}

impl From<RuntimeConfig> for Settings {
    fn from(config: RuntimeConfig) -> Self {
        Self {
            monitoring: config.monitoring,
            timeouts: config.timeouts,
            limits: config.limits,
            catalog: config.catalog,
            groups: config.groups,
        }
    }
}

/// Why no runtime came about, or why a running one cannot take another configuration.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A glob of a definition does not compile.
    #[error("{place}: {source}")]
    Filter {
        /// Which server or agent.
        place: String,
        /// What is wrong.
        #[source]
        source: FilterError,
    },
    /// An agent was granted a server that does not exist, or a group names one.
    #[error("{place} names the server {server:?}, which is not defined")]
    UnknownServer {
        /// Which agent or group.
        place: String,
        /// The server.
        server: ServerName,
    },
    /// An agent's private server has the name of one that it was granted.
    #[error("agent {agent}: its own server {server:?} has the name of one that it was granted")]
    Ambiguous {
        /// The agent.
        agent: AgentId,
        /// The server.
        server: ServerName,
    },
    /// An in-process server cannot come from a configuration.
    #[error("server {0:?} is in-process: add it to the running runtime with its handler")]
    NoConnector(ServerName),
    /// The configuration defines a server that was added to the running tree.
    #[error("server {server:?} of {owner} was added while this runs; remove it first")]
    Added {
        /// Whose.
        owner: Owner,
        /// The server.
        server: ServerName,
    },
    /// The tree itself could not be started.
    #[error("failed to start the supervision tree: {0}")]
    Tree(#[from] ractor::SpawnErr),
}

/// Makes runtimes.
#[derive(Debug)]
pub struct Runtime;

impl Runtime {
    /// Starts a supervision tree with nothing around it: neither measured nor guarded. Servers are
    /// connected in the background; see [`Scope::wait_ready`].
    ///
    /// # Errors
    /// [`SpawnError`] names the part of the configuration that cannot work; nothing was started.
    pub async fn spawn(config: RuntimeConfig) -> Result<RuntimeHandle, SpawnError> {
        Self::builder().spawn(config).await
    }
}

/// Compiles a configuration into what every owner has.
fn owners(config: &RuntimeConfig) -> Result<BTreeMap<Owner, OwnerSpec>, SpawnError> {
    let known = |place: String, server: &ServerName| {
        if config.servers.contains_key(server) {
            return Ok(());
        }
        Err(SpawnError::UnknownServer { place, server: server.clone() })
    };
    for (name, group) in &config.groups {
        for server in &group.servers {
            known(format!("group {name}"), server)?;
        }
    }
    let store = OwnerSpec { servers: specs(&config.servers)?, ..OwnerSpec::default() };
    let mut owners = BTreeMap::from([(Owner::Store, store)]);
    for (agent, own) in &config.agents {
        for server in &own.servers {
            known(format!("agent {agent}"), server)?;
            if own.private.contains_key(server) {
                let (agent, server) = (agent.clone(), server.clone());
                return Err(SpawnError::Ambiguous { agent, server });
            }
        }
        let filter = own
            .tools
            .matcher()
            .map_err(|source| SpawnError::Filter { place: format!("agent {agent}"), source })?;
        let spec = OwnerSpec { servers: specs(&own.private)?, grants: own.servers.clone(), filter };
        owners.insert(Owner::Agent(agent.clone()), spec);
    }
    Ok(owners)
}

fn specs(
    servers: &BTreeMap<ServerName, ServerConfig>,
) -> Result<BTreeMap<ServerName, ServerSpec>, SpawnError> {
    servers
        .iter()
        .map(|(server, config)| {
            let connector = config
                .transport
                .connector()
                .ok_or_else(|| SpawnError::NoConnector(server.clone()))?;
            let spec = ServerSpec::new(config.clone(), connector).map_err(|source| {
                SpawnError::Filter { place: format!("server {server}"), source }
            })?;
            Ok((server.clone(), spec))
        })
        .collect()
}

/// The tree behind every handle.
#[derive(Debug)]
struct Tree {
    exchange: Arc<Exchange>,
    root: ActorRef<RootMsg>,
    /// The root no longer answers.
    hung: CancellationToken,
    _pulse: pulse::Pulse,
}

impl Drop for Tree {
    /// Nobody can reach the tree any more: it ends at once, its child processes too.
    fn drop(&mut self) {
        self.root.kill();
    }
}

/// The handle of a running tree; cheap to clone. When the last one is dropped the tree ends at
/// once; [`RuntimeHandle::stop`] ends it in order.
#[derive(Clone, Debug)]
pub struct RuntimeHandle {
    tree: Arc<Tree>,
}

impl RuntimeHandle {
    /// The scope of all top-level servers.
    pub fn store(&self) -> Scope {
        Scope::new(self.clone(), Owner::Store)
    }

    /// The scope of one agent; `None` if it is not configured.
    pub fn agent(&self, name: &str) -> Option<Scope> {
        let agent = AgentId::new(name).ok()?;
        self.scope(&Owner::Agent(agent))
    }

    /// The scope of an owner; `None` if it is not configured.
    pub fn scope(&self, owner: &Owner) -> Option<Scope> {
        let known = self.tree.exchange.owners.lock().contains_key(owner);
        known.then(|| Scope::new(self.clone(), owner.clone()))
    }

    /// The agents that are configured.
    pub fn agents(&self) -> Vec<AgentId> {
        self.tree.exchange.agents()
    }

    /// Everything that runs, from memory.
    pub fn status(&self) -> RuntimeStatus {
        status::of(&self.tree.exchange)
    }

    /// Reads what the connections are doing, without keeping the tree alive; nothing once it is
    /// gone.
    pub fn observed(&self) -> impl Fn() -> Vec<ServerStatus> + Send + Sync + use<> {
        let exchange = Arc::downgrade(&self.tree.exchange);
        move || exchange.upgrade().map_or_else(Vec::new, |exchange| status::of(&exchange).servers)
    }

    /// Whoever traces and measures this tree.
    pub fn telemetry(&self) -> &Arc<dyn Telemetry> {
        &self.tree.exchange.telemetry
    }

    /// Entries of one page of a list.
    pub fn page_size(&self) -> usize {
        usize::try_from(self.tree.exchange.settings().limits.page_size).unwrap_or(usize::MAX)
    }

    /// A session of an owner's is over: the connections that it had for itself are closed.
    pub fn release(&self, owner: &Owner, session: &SessionKey) {
        let (owner, session) = (owner.clone(), session.clone());
        // A tree that has ended has closed them.
        self.tree.root.cast(RootMsg::Agents(AgentsMsg::Release { owner, session })).ok();
    }

    /// Cancelled when new calls are refused.
    pub(crate) fn draining(&self) -> CancellationToken {
        self.tree.exchange.draining.clone()
    }

    /// Has something done at each clean-up interval. It must be quick.
    pub fn on_cleanup(&self, name: &'static str, sweep: impl Fn() + Send + Sync + 'static) {
        self.tree.exchange.sweeps.add(name, sweep);
    }

    /// How long calls under way may take to finish when everything ends (`timeouts.drain`).
    pub fn grace(&self) -> Duration {
        self.tree.exchange.settings().timeouts.drain
    }

    /// Refuses new calls and those that wait for a connection from now on, and waits for those
    /// under way, at most so long. Says how many were still under way then.
    pub async fn drain(&self, deadline: Duration) -> usize {
        let exchange = &self.tree.exchange;
        exchange.seal();
        exchange.tracker.close();
        for handle in exchange.handles() {
            handle.refuse_waiting();
        }
        if tokio::time::timeout(deadline, exchange.tracker.wait()).await.is_ok() {
            return 0;
        }
        let abandoned = exchange.tracker.len();
        exchange.give_tasks_up().await;
        abandoned
    }

    /// Stops every connection in order (child processes: input closed, SIGTERM, SIGKILL), then the
    /// tree. Calls under way lose their connection; [`RuntimeHandle::drain`] first.
    pub async fn stop(&self) {
        self.tree.exchange.seal();
        self.tree.exchange.give_tasks_up().await;
        let root = &self.tree.root;
        // A root that is gone already has stopped.
        root.cast(RootMsg::Shutdown).ok();
        if root.wait(Some(STOP)).await.is_err() {
            tracing::warn!("the tree did not stop in {} s and is ended", STOP.as_secs());
            root.kill();
            // One that hangs in a handler does not end.
            root.wait(Some(STOP)).await.ok();
        }
        // A disk that hangs keeps nobody from ending.
        tokio::time::timeout(LAST_RECORDS, self.tree.exchange.store.close()).await.ok();
    }

    /// Waits until the tree has ended, by [`RuntimeHandle::stop`], because its parts kept dying or
    /// because its root no longer answered, and says why.
    pub async fn closed(&self) -> Arc<str> {
        tokio::select! {
            _ = self.tree.root.wait(None) => {}
            () = self.tree.hung.cancelled() => {}
        }
        self.tree.exchange.reason().unwrap_or_else(|| "ended at once".into())
    }
}
