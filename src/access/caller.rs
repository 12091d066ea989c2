//! Who calls: a principal, and the session that it has opened.
//!
//! Held by whoever speaks for a client. A session's connections and subscriptions end with its
//! lease; what a principal may do is the gate's to say.

use std::sync::{Arc, LazyLock};

use super::{Gate, Watching};
use crate::{
    id::{Owner, SessionKey},
    runtime::RuntimeHandle,
};

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    name: Arc<str>,
    /// What stands for its session where it opens none.
    pub(super) session: SessionKey,
}

impl Principal {
    /// The one principal there is: whoever reaches us on this machine.
    pub fn local() -> Self {
        static LOCAL: LazyLock<Principal> = LazyLock::new(|| Principal::named("local"));
        LOCAL.clone()
    }

    pub(super) fn named(name: &str) -> Self {
        Self { name: name.into(), session: SessionKey::of(name) }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// A session that has connections of its own as long as this lives.
#[derive(Debug)]
pub struct SessionLease {
    runtime: RuntimeHandle,
    owner: Owner,
    key: SessionKey,
    watching: Arc<Watching>,
}

impl SessionLease {
    /// What its calls name.
    pub const fn key(&self) -> &SessionKey {
        &self.key
    }

    /// What its client watches.
    pub const fn watching(&self) -> &Arc<Watching> {
        &self.watching
    }
}

impl Drop for SessionLease {
    fn drop(&mut self) {
        self.runtime.release(&self.owner, &self.key);
    }
}

impl Gate {
    /// Registers a session of an owner's, so that servers with `isolation = "session"` serve it by
    /// connections of its own. They are closed when the lease is dropped.
    pub fn lease(&self, principal: &Principal, owner: &Owner) -> SessionLease {
        let key = SessionKey::of(&uuid::Uuid::new_v4().simple().to_string());
        let watching = self.watching(principal, owner, Some(&key));
        SessionLease { runtime: self.runtime.clone(), owner: owner.clone(), key, watching }
    }
}
