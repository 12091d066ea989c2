//! How a runtime is made: its configuration, and the parts that whoever embeds it brings.
//!
//! It starts nothing before [`RuntimeBuilder::spawn`].

use std::sync::Arc;

use ractor::Actor;
use tokio_util::sync::CancellationToken;

use super::{Runtime, RuntimeConfig, RuntimeHandle, SpawnError, Tree, owners, pulse::Pulse};
use crate::{
    actor::{exchange::Exchange, kept, root::RootActor},
    guard::Guard,
    store::{MemoryStore, Store},
    trace::{Silent, Telemetry},
};

/// A runtime that is about to be started.
#[derive(Debug)]
#[must_use = "nothing runs before it is spawned"]
pub struct RuntimeBuilder {
    telemetry: Arc<dyn Telemetry>,
    store: Arc<dyn Store>,
    guard: Guard,
}

impl Runtime {
    /// A runtime without telemetry and guard, and with a store in memory.
    pub fn builder() -> RuntimeBuilder {
        let store = Arc::<MemoryStore>::default();
        RuntimeBuilder { telemetry: Arc::new(Silent), store, guard: Guard::none() }
    }
}

impl RuntimeBuilder {
    /// Whoever traces and measures it.
    pub fn telemetry(self, telemetry: Arc<dyn Telemetry>) -> Self {
        Self { telemetry, ..self }
    }

    /// What ends the servers' processes when this program is killed: what [`crate::guard::init`]
    /// returned. Default: nothing, with a warning when the first process is started.
    pub fn guard(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// What outlives it.
    pub fn store(self, store: Arc<dyn Store>) -> Self {
        Self { store, ..self }
    }

    /// Starts the supervision tree. What the store knows of servers whose definitions did not
    /// change is listed when this returns; servers are connected in the background, lazy ones
    /// among those by their first calls.
    ///
    /// # Errors
    /// [`SpawnError`] names the part of the configuration that cannot work; nothing was started.
    pub async fn spawn(self, config: RuntimeConfig) -> Result<RuntimeHandle, SpawnError> {
        let owners = owners(&config)?;
        let exchange = Exchange::new(config.into(), self.telemetry, self.guard, self.store);
        *exchange.owners.lock() = owners;
        exchange.events.restore(kept::events(&*exchange.store));
        let (root, _) = Actor::spawn(None, RootActor, Arc::clone(&exchange)).await?;
        let hung = CancellationToken::new();
        let pulse = Pulse::begin(&exchange, &root, &hung);
        let handle = RuntimeHandle { tree: Arc::new(Tree { exchange, root, hung, _pulse: pulse }) };
        let exchange = Arc::downgrade(&handle.tree.exchange);
        handle.on_cleanup("store", move || {
            if let Some(exchange) = exchange.upgrade() {
                kept::sweep(&exchange);
            }
        });
        // Every owner has its view from the start.
        handle.flush().await;
        Ok(handle)
    }
}
