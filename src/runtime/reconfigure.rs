//! Another configuration for a tree that runs: prepared first, which may fail and changes nothing,
//! then committed, which cannot fail.
//!
//! What a configuration defined is replaced by what the new one defines; what was added to the
//! running tree by its handle stays.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::mpsc;

use super::{RuntimeConfig, RuntimeHandle, SpawnError, owners};
use crate::{
    actor::{
        change::Changes,
        exchange::{OwnerSpec, Settings},
        root::RootMsg,
    },
    id::Owner,
};

/// A configuration that was compiled and can be committed.
#[derive(Debug)]
pub struct Prepared {
    settings: Settings,
    owners: BTreeMap<Owner, OwnerSpec>,
}

impl RuntimeHandle {
    /// Compiles another configuration for this tree, and changes nothing.
    ///
    /// # Errors
    /// [`SpawnError`] names the part of the configuration that cannot work, also where it defines
    /// a server that was added to the running tree under the same name.
    pub fn prepare(&self, config: RuntimeConfig) -> Result<Prepared, SpawnError> {
        let owners = owners(&config)?;
        for (owner, present) in &*self.tree.exchange.owners.lock() {
            let Some(configured) = owners.get(owner) else { continue };
            for server in present.added() {
                if configured.servers.contains_key(server) || configured.grants.contains(server) {
                    return Err(SpawnError::Added { owner: owner.clone(), server: server.clone() });
                }
            }
        }
        Ok(Prepared { settings: config.into(), owners })
    }

    /// Puts a prepared configuration in the place of the present one. Touches only what differs:
    /// a server whose transport or era differs is connected anew, and its calls wait; everything
    /// else changes in place. Returns when the change is under way and the views show it.
    pub async fn commit(&self, prepared: Prepared) -> Changes {
        let Prepared { settings, mut owners } = prepared;
        let changes = {
            let exchange = &self.tree.exchange;
            let present = exchange.owners.lock();
            for (owner, spec) in &mut owners {
                if let Some(present) = present.get(owner) {
                    spec.keep_added(present);
                }
            }
            Changes::between(&present, &owners, **exchange.settings() != settings)
        };
        // Everyone who has a part in the change holds a clone of the sender until it is done.
        let (done, mut pending) = mpsc::channel(1);
        let settings = Arc::new(settings);
        let message = RootMsg::Reconfigure { settings, owners, done };
        // A tree that has ended has nothing to change.
        self.tree.root.cast(message).ok();
        pending.recv().await;
        self.flush().await;
        changes
    }
}
