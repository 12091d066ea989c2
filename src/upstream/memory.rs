//! In-process servers: any rmcp service, spoken to over memory as if it were a process, and plain
//! calls of its tools by their types.
//!
//! A new service for every link, made by a factory. A service that panics ends its own link, with
//! a cause, and nothing else. What the service spawns by itself is its own affair.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use rmcp::{RoleServer, Service, transport::async_rw::AsyncRwTransport};
use tokio::{
    io::{DuplexStream, duplex, split},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Connect, ConnectContext, ConnectError, Link, LinkEnd, StderrRing,
    channel::Channel,
    era,
    peer::{Body, Direct, Peer},
};

mod contained;
mod typed;

use contained::{Contained, Panics};
use typed::Typed;

/// Bytes in flight in each direction: as much as a pipe holds.
const BUFFER: usize = 64 * 1024;
/// How long a stopped service has to notice.
const STOP: Duration = Duration::from_secs(3);

/// Makes links to services in this process: an [`rmcp::ServerHandler`] is one.
pub struct InProcess<F> {
    factory: Arc<F>,
}

impl<F, H> InProcess<F>
where
    F: Fn() -> H + Send + Sync + 'static,
    H: Service<RoleServer>,
{
    /// A connector that makes a service for each link.
    pub fn new(factory: F) -> Self {
        Self { factory: Arc::new(factory) }
    }
}

impl<F> fmt::Debug for InProcess<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}

impl<F, H> Connect for InProcess<F>
where
    F: Fn() -> H + Send + Sync + 'static,
    H: Service<RoleServer>,
{
    fn connect(&self, context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let factory = Arc::clone(&self.factory);
        Box::pin(async move {
            context.stderr.begin(context.incarnation, []);
            let (ours, theirs) = duplex(BUFFER);
            let stderr = Arc::clone(&context.stderr);
            let hosted = Hosted::start(factory, theirs, context.message_limit, stderr);
            let (source, sink) = split(ours);
            let peer = Peer::new(
                source,
                sink,
                Arc::new(hosted),
                context.message_limit,
                Arc::clone(&context.stderr),
            );
            peer.inquiries().know(context.roots.clone());
            let facts = era::agree(&peer, context.protocol, context.abilities, context.timeout)
                .await
                .map_err(|failure| failure.error)?;
            Ok(Link::new(Channel::Stream(peer), facts, context.message_limit))
        })
    }

    fn transport(&self) -> &'static str {
        "inproc"
    }
}

/// A running service. Dropping it ends the service and the calls that it is serving.
struct Hosted {
    stop: CancellationToken,
    end: watch::Receiver<Option<LinkEnd>>,
    direct: Entrance,
    /// Calls beside the stream that are not over.
    calls: TaskTracker,
    _tasks: JoinSet<()>,
}

/// The way in beside the stream, once the service and its client have agreed over that.
type Entrance = Arc<OnceLock<Box<dyn Direct>>>;

impl Hosted {
    fn start<F, H>(
        factory: Arc<F>,
        stream: DuplexStream,
        limit: usize,
        stderr: Arc<StderrRing>,
    ) -> Self
    where
        F: Fn() -> H + Send + Sync + 'static,
        H: Service<RoleServer>,
    {
        let stop = CancellationToken::new();
        let (sender, end) = watch::channel(None);
        let mut tasks = JoinSet::new();
        let (direct, calls) = (Entrance::default(), TaskTracker::new());
        let (token, entrance, tracker) = (stop.clone(), Arc::clone(&direct), calls.clone());
        tasks.spawn(async move {
            let panics = Arc::new(Panics::new(token.clone()));
            let service = async {
                let service = Contained::new(factory(), Arc::clone(&panics), token);
                let typed = |peer| Typed::new(service.clone(), peer, tracker, limit);
                serve(service.clone(), stream, |peer| {
                    entrance.get_or_init(|| Box::new(typed(peer)));
                })
                .await;
            };
            if let Err(payload) = AssertUnwindSafe(service).catch_unwind().await {
                panics.caught(&*payload);
            }
            sender.send_replace(Some(match panics.first() {
                Some(message) => {
                    stderr.push(message);
                    LinkEnd::Transport("the in-process server panicked".to_owned())
                }
                None => LinkEnd::Closed,
            }));
        });
        Self { stop, end, direct, calls, _tasks: tasks }
    }

    async fn over(&self) -> LinkEnd {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(LinkEnd::Closed),
            Err(_) => LinkEnd::Closed,
        }
    }
}

/// Serves one stream to its end; whom the service knows as its client then is told once.
async fn serve<H: Service<RoleServer>>(
    service: Contained<H>,
    stream: DuplexStream,
    knows: impl FnOnce(rmcp::Peer<RoleServer>),
) {
    let (source, sink) = split(stream);
    // What we send was bounded where it came in.
    let transport = AsyncRwTransport::new(source, sink).with_max_line_length(usize::MAX);
    // rmcp cancels its token when the stream ends; calls beside that may go on for a while.
    let stop = service.stop().child_token();
    // A refused handshake has been answered on the wire already.
    if let Ok(running) = rmcp::service::serve_server_with_ct(service, transport, stop).await {
        knows(running.peer().clone());
        running.waiting().await.ok();
    }
}

impl Body for Hosted {
    fn ended(&self) -> BoxFuture<'_, LinkEnd> {
        self.over().boxed()
    }

    fn end(&self, grace: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let by_itself = async {
                self.over().await;
                self.calls.close();
                self.calls.wait().await;
            };
            timeout(grace, by_itself).await.ok();
            self.stop.cancel();
            timeout(STOP, self.over()).await.ok();
        })
    }

    fn kill(&self) {
        self.stop.cancel();
    }

    fn direct(&self) -> Option<&dyn Direct> {
        self.direct.get().map(|direct| &**direct)
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
