//! The gate: the only way from a face into the kernel.
//!
//! Authenticates, authorises, limits, calls, audits. A face has nothing else, so none can forget
//! a check. Until access control exists there is one local principal, who may do everything that
//! the owner in question can see.

use std::sync::Arc;

use tokio::sync::watch;

pub use crate::runtime::{
    Answer, CallError, CallRequest, Delivery, Event, Failure, Health, Page, Phase, Progress,
    ProgressSink, RuntimeStatus, ServerStatus, View, ViewTool,
};
use crate::{
    id::{Owner, ServerName},
    runtime::{RuntimeHandle, Scope},
};

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// The one principal there is: whoever reaches us on this machine.
    pub fn local() -> Self {
        Self("local".into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The gate in front of one runtime.
#[derive(Debug)]
pub struct Gate {
    runtime: RuntimeHandle,
}

impl Gate {
    /// A gate in front of a runtime.
    pub fn new(runtime: RuntimeHandle) -> Arc<Self> {
        Arc::new(Self { runtime })
    }

    /// What this principal may use of an owner's.
    fn scope(&self, principal: &Principal, owner: &Owner) -> Result<Scope, CallError> {
        tracing::trace!(principal = principal.as_str(), %owner, "access");
        self.runtime
            .scope(owner)
            .ok_or_else(|| CallError::Unknown { what: "agent", name: owner.as_str().to_owned() })
    }

    /// Calls a tool of the owner's view. Dropping the future cancels the call.
    ///
    /// # Errors
    /// [`CallError`]; what was provably not sent says so.
    pub async fn call(
        &self,
        principal: &Principal,
        owner: &Owner,
        request: CallRequest,
    ) -> Result<Answer, CallError> {
        self.scope(principal, owner)?.call(request).await
    }

    /// What the owner sees now, from memory.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner that the principal does not see.
    pub fn view(&self, principal: &Principal, owner: &Owner) -> Result<Arc<View>, CallError> {
        self.scope(principal, owner)?.tools()
    }

    /// A version that grows whenever the owner's tools really differ; what `list_changed` is sent
    /// for. Marked as seen when it is taken.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner that the principal does not see.
    pub fn changes(
        &self,
        principal: &Principal,
        owner: &Owner,
    ) -> Result<watch::Receiver<u64>, CallError> {
        self.scope(principal, owner)?.changes()
    }

    /// The instructions of the owner's servers, each under its server's name.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner that the principal does not see.
    pub fn instructions(
        &self,
        principal: &Principal,
        owner: &Owner,
    ) -> Result<Option<Arc<str>>, CallError> {
        self.scope(principal, owner)?.instructions()
    }

    /// Entries of one page of a list.
    pub fn page_size(&self) -> usize {
        self.runtime.page_size()
    }

    /// Everything that runs, for an operator.
    pub fn status(&self, principal: &Principal) -> RuntimeStatus {
        tracing::trace!(principal = principal.as_str(), "status");
        self.runtime.status()
    }

    /// Restarts a server's connection now, whatever state it is in.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner or a server that the principal does not see.
    pub async fn restart(
        &self,
        principal: &Principal,
        owner: &Owner,
        server: &ServerName,
    ) -> Result<(), CallError> {
        let scope = self.scope(principal, owner)?;
        scope
            .restart(server)
            .await
            .map_err(|_| CallError::Unknown { what: "server", name: server.as_str().to_owned() })
    }

    /// Has something done at each clean-up interval, such as dropping idle sessions.
    pub fn on_cleanup(&self, name: &'static str, sweep: impl Fn() + Send + Sync + 'static) {
        self.runtime.on_cleanup(name, sweep);
    }
}
