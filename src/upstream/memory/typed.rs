//! Calls of a hosted service's tools by their types: nothing is written as JSON-RPC and read again.
//!
//! Only for callers who can be neither asked nor told anything before the answer: what a handler
//! says goes over a stream, and would come later. A handler runs in a task of its own, as rmcp has
//! it, and in the service's runtime: one that blocks holds no caller, and one that is cancelled may
//! still clean up.

use std::sync::{Arc, Weak};

use rmcp::{
    ErrorData, Peer, RoleServer, Service,
    model::{CallToolRequest, CallToolRequestParams, ClientRequest, NumberOrString, ServerResult},
    service::RequestContext,
};
use serde_json::value::to_raw_value;
use tokio::runtime::Handle;
use tokio_util::{sync::DropGuard, task::TaskTracker};

use super::contained::Contained;
use crate::{
    upstream::{
        RequestError,
        peer::{Answering, Direct, beyond},
    },
    wire::{ErrorObject, RawValue},
};

/// The way in beside the stream.
pub(super) struct Typed<S> {
    /// There as long as it serves.
    service: Weak<Contained<S>>,
    /// Whom the service knows as its client.
    peer: Peer<RoleServer>,
    calls: TaskTracker,
    runtime: Handle,
    /// Bytes of a result at most.
    limit: usize,
}

impl<S: Service<RoleServer>> Typed<S> {
    /// Runs handlers in the present runtime.
    pub(super) fn new(
        service: &Arc<Contained<S>>,
        peer: Peer<RoleServer>,
        calls: TaskTracker,
        limit: usize,
    ) -> Self {
        let (service, runtime) = (Arc::downgrade(service), Handle::current());
        Self { service, peer, calls, runtime, limit }
    }
}

impl<S: Service<RoleServer>> Direct for Typed<S> {
    fn call_tool(&self, params: &str, answering: Answering) -> Option<DropGuard> {
        // What does not fit the types is for rmcp to answer.
        let service = self.service.upgrade()?;
        let mut params: CallToolRequestParams = serde_json::from_str(params).ok()?;
        let id = NumberOrString::Number(i64::try_from(answering.id()).ok()?);
        let mut context = RequestContext::new(id, self.peer.clone());
        context.meta = params.meta.take().unwrap_or_default();
        context.ct = service.stop().child_token();
        if context.ct.is_cancelled() || !answering.begins() {
            return None;
        }
        let cancel = context.ct.clone().drop_guard();
        let limit = self.limit;
        let handled = async move {
            let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
            // Without an answer the service has ended, and the link says so.
            if let Some(outcome) = service.answer(request, context).await {
                answering.send(written(&outcome, limit));
            }
        };
        self.calls.spawn_on(handled, &self.runtime);
        Some(cancel)
    }
}

/// A handler's answer as it would have come over the stream.
fn written(
    outcome: &Result<ServerResult, ErrorData>,
    limit: usize,
) -> Result<Box<RawValue>, RequestError> {
    let written = match outcome {
        Ok(result) => to_raw_value(result),
        Err(error) => to_raw_value(error),
    };
    let unreadable = |why: &str| RequestError::Malformed(format!("the server's answer {why}"));
    let written = written.map_err(|error| unreadable(&format!("is no JSON: {error}")))?;
    if written.get().len() > limit {
        return Err(beyond(limit));
    }
    if outcome.is_err() {
        let error = ErrorObject::read(&written).ok_or_else(|| unreadable("is no error"))?;
        return Err(RequestError::Server(error));
    }
    Ok(written)
}
