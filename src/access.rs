//! The gate: the only way from a face into the kernel.
//!
//! Authenticates, authorises, limits, calls, audits. A face has nothing else, so none can forget
//! a check.

use std::sync::Arc;

use tokio::sync::watch;

pub use crate::catalog::{View, ViewTool};
pub use crate::runtime::{
    Answer, CallError, CallRequest, Delivery, Event, Failure, Health, Phase, Progress,
    ProgressSink, RuntimeStatus, ServerStatus,
};
use crate::{
    id::{Owner, ServerName},
    runtime::RuntimeHandle,
};

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// The one principal there is until access control exists: whoever reaches us on this machine.
    pub fn local() -> Self {
        Self("local".into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The gate.
#[derive(Debug)]
pub struct Gate {
    _runtime: RuntimeHandle,
}

impl Gate {
    /// A gate in front of a runtime.
    pub fn new(runtime: RuntimeHandle) -> Arc<Self> {
        Arc::new(Self { _runtime: runtime })
    }

    /// Calls a tool of the owner's view. Dropping the future cancels the call.
    pub async fn call(
        &self,
        _principal: &Principal,
        _owner: &Owner,
        _request: CallRequest,
    ) -> Result<Answer, CallError> {
        unimplemented!()
    }

    /// What the owner sees now.
    pub fn view(&self, _principal: &Principal, _owner: &Owner) -> Result<Arc<View>, CallError> {
        unimplemented!()
    }

    /// A version that changes whenever the owner's tools really differ; what `list_changed` is
    /// sent for. Marked as seen when it is taken.
    pub fn changes(
        &self,
        _principal: &Principal,
        _owner: &Owner,
    ) -> Result<watch::Receiver<u64>, CallError> {
        unimplemented!()
    }

    /// The instructions of the owner's servers, each under its server's name.
    pub fn instructions(
        &self,
        _principal: &Principal,
        _owner: &Owner,
    ) -> Result<Option<String>, CallError> {
        unimplemented!()
    }

    /// Entries of one page of a list.
    pub fn page_size(&self) -> usize {
        unimplemented!()
    }

    /// Everything that runs, for an operator.
    pub async fn status(&self, _principal: &Principal) -> RuntimeStatus {
        unimplemented!()
    }

    /// Restarts a server's connection now, whatever state it is in.
    pub async fn restart(
        &self,
        _principal: &Principal,
        _owner: &Owner,
        _server: &ServerName,
    ) -> Result<(), CallError> {
        unimplemented!()
    }

    /// Has something done at each clean-up interval, such as dropping idle sessions.
    pub fn on_cleanup(&self, _name: &'static str, _sweep: impl Fn() + Send + Sync + 'static) {
        unimplemented!()
    }
}
