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
    model::ProtocolVersion,
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
    service: S,
    panics: Arc<Panics>,
    stop: CancellationToken,
}

impl<S> Contained<S> {
    pub(super) const fn new(service: S, panics: Arc<Panics>, stop: CancellationToken) -> Self {
        Self { service, panics, stop }
    }

    async fn run<T>(
        &self,
        handler: impl Future<Output = Result<T, ErrorData>>,
    ) -> Result<T, ErrorData> {
        let handler = AssertUnwindSafe(handler).catch_unwind();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => vanish(),
            outcome = handler => outcome.unwrap_or_else(|payload| {
                self.panics.caught(&*payload);
                vanish()
            }),
        }
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
