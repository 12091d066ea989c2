//! Contains an rmcp service: a panic in it is caught and stops it, and stopping it drops what it
//! is doing.
//!
//! rmcp runs each handler in a task of its own that nobody joins; without this a panic would
//! leave its caller waiting for its deadline.

use std::{
    any::Any,
    borrow::Cow,
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{Arc, OnceLock},
};

use futures::FutureExt as _;
use rmcp::{
    ErrorData, RoleServer, Service,
    model::{ClientRequest, ProtocolVersion, ServerResult},
    service::{NotificationContext, RequestContext, ServiceRole},
};
use tokio_util::sync::CancellationToken;

/// The first panic of a service; any stops it.
pub(super) struct Panics {
    first: OnceLock<String>,
    stop: CancellationToken,
}

impl Panics {
    pub(super) const fn new(stop: CancellationToken) -> Self {
        Self { first: OnceLock::new(), stop }
    }

    /// Takes note of what unwound.
    pub(super) fn caught(&self, payload: &(dyn Any + Send)) {
        if !payload.is::<Vanished>() {
            self.first.get_or_init(|| words(payload));
        }
        self.stop.cancel();
    }

    pub(super) fn first(&self) -> Option<&str> {
        self.first.get().map(String::as_str)
    }
}

/// What a panic said, where it said something.
fn words(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// A service that cannot hurt the one that hosts it.
pub(super) struct Contained<S> {
    service: Arc<S>,
    panics: Arc<Panics>,
    stop: CancellationToken,
}

impl<S> Clone for Contained<S> {
    fn clone(&self) -> Self {
        let Self { service, panics, stop } = self;
        Self { service: Arc::clone(service), panics: Arc::clone(panics), stop: stop.clone() }
    }
}

impl<S> Contained<S> {
    pub(super) fn new(service: S, panics: Arc<Panics>, stop: CancellationToken) -> Self {
        Self { service: Arc::new(service), panics, stop }
    }

    /// Cancelled when the service is stopped.
    pub(super) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// What a handler comes to; nothing where it panics or is stopped.
    async fn contain<T>(&self, handler: impl Future<Output = T>) -> Option<T> {
        let handler = AssertUnwindSafe(handler).catch_unwind();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            outcome = handler => outcome.map_err(|payload| self.panics.caught(&*payload)).ok(),
        }
    }

    async fn run<T>(
        &self,
        handler: impl Future<Output = Result<T, ErrorData>>,
    ) -> Result<T, ErrorData> {
        self.contain(handler).await.unwrap_or_else(|| vanish())
    }
}

impl<S: Service<RoleServer>> Contained<S> {
    /// Carries a request out for a caller that is no task of rmcp's; nothing where the handler
    /// panics or is stopped.
    pub(super) async fn answer(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Option<Result<ServerResult, ErrorData>> {
        // It has room for every kind of request, which is not to be copied with each task.
        let handler = async { Box::pin(self.service.handle_request(request, context)).await };
        self.contain(handler).await
    }
}

/// Ends the task without an answer, because nobody knows how far the handler came and an error
/// would claim that somebody does. Unlike a panic it is silent.
fn vanish() -> ! {
    resume_unwind(Box::new(Vanished))
}

struct Vanished;

impl<S: Service<RoleServer>> Service<RoleServer> for Contained<S> {
    async fn handle_request(
        &self,
        request: <RoleServer as ServiceRole>::PeerReq,
        context: RequestContext<RoleServer>,
    ) -> Result<<RoleServer as ServiceRole>::Resp, ErrorData> {
        self.run(async { self.service.handle_request(request, context).await }).await
    }

    async fn handle_notification(
        &self,
        notification: <RoleServer as ServiceRole>::PeerNot,
        context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.run(async { self.service.handle_notification(notification, context).await }).await
    }

    fn get_info(&self) -> <RoleServer as ServiceRole>::Info {
        self.service.get_info()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.service.supported_protocol_versions()
    }
}
