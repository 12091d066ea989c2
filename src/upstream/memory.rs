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
use rmcp::{
    RoleServer, Service,
    transport::{Transport, async_rw::AsyncRwTransport},
};
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
            let (limit, stderr) = (context.message_limit, Arc::clone(&context.stderr));
            let [(ours, theirs), (our_aside, their_aside)] = [duplex(BUFFER), duplex(BUFFER)];
            let streams = [theirs, their_aside];
            let hosted = Hosted::start(factory, streams, limit, Arc::clone(&stderr));
            let (source, sink) = split(ours);
            let mut peer = Peer::new(source, sink, Arc::new(hosted), limit, stderr);
            peer.inquiries().know(context.roots.clone());
            let (source, sink) = split(our_aside);
            peer.also(source, sink, limit).know(context.roots);
            let facts = era::agree(&peer, context.protocol, context.abilities, context.timeout)
                .await
                .map_err(|failure| failure.error)?;
            Ok(Link::new(Channel::Stream(peer), facts, limit))
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
        streams: [DuplexStream; 2],
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
                let service = Arc::new(Contained::new(factory(), Arc::clone(&panics), token));
                let typed = |peer| {
                    entrance.get_or_init(|| Box::new(Typed::new(&service, peer, tracker, limit)));
                };
                serve(&service, streams, typed).await;
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

/// Serves a stream to its end; `agreed` gets whom the service knows as its client in calls beside
/// it, who has a stream to hear it.
async fn serve<H: Service<RoleServer>>(
    service: &Contained<H>,
    [stream, aside]: [DuplexStream; 2],
    agreed: impl FnOnce(rmcp::Peer<RoleServer>),
) {
    // rmcp cancels its token when a stream ends; calls beside it may go on for a while.
    let stop = || service.stop().child_token();
    let serving = rmcp::service::serve_server_with_ct(service.clone(), transport(stream), stop());
    // A refused handshake has been answered on the wire already.
    let Ok(running) = serving.await else { return };
    let client = running.peer().peer_info().as_deref().cloned();
    let aside =
        rmcp::service::serve_directly_with_ct(service.clone(), transport(aside), client, stop());
    agreed(aside.peer().clone());
    running.waiting().await.ok();
    aside.cancel().await.ok();
}

fn transport(stream: DuplexStream) -> impl Transport<RoleServer> {
    let (source, sink) = split(stream);
    // What we send was bounded where it came in.
    AsyncRwTransport::new(source, sink).with_max_line_length(usize::MAX)
}

impl Body for Hosted {
    fn ended(&self) -> BoxFuture<'_, LinkEnd> {
        self.over().boxed()
    }

    fn end(&self, grace: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let ended = || async {
                self.over().await;
                self.calls.close();
                self.calls.wait().await;
            };
            timeout(grace, ended()).await.ok();
            self.stop.cancel();
            timeout(STOP, ended()).await.ok();
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
