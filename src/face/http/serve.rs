//! Accepting and serving connections of one listener, and stopping in order.
//!
//! Owned by a face. It knows no routes and no protocol above HTTP.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, response::Response, serve::Listener};
use futures::FutureExt as _;
use hyper::{body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{sync::Semaphore, task::JoinSet, time::interval};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{calm::Calm, idle::Requests};

/// Connections at a time; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 8192;
/// How long a client may take nothing of what waits for it: answers are held in memory meanwhile,
/// whatever their size. Nothing else bounds them, but the number of calls at a time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often connections that have ended are cleared away. The timers of ordinary calls are due
/// later than this one, so none has to wake whoever waits for the next: tokio does that with an
/// `eventfd` for each timer that is due before all others.
const CLEARING: Duration = Duration::from_secs(1);
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Ends and tasks that everything behind one listener shares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    /// Nothing new, and streams end in order.
    pub(crate) stopping: CancellationToken,
    /// The time for ending in order is over.
    pub(crate) killed: CancellationToken,
    /// What outlives its connection.
    pub(crate) tasks: TaskTracker,
}

/// Whether a peer is on this machine, as a request's extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IsLocal(pub(crate) bool);

/// What answers the requests of a listener.
pub(crate) trait Answer: Clone + Send + 'static {
    /// Answers one.
    fn answer(
        self,
        request: Request<Body>,
        is_local: IsLocal,
    ) -> impl Future<Output = Response> + Send;
}

/// An address of a peer.
pub(crate) trait Peer {
    /// Whether it is on this machine.
    fn is_local(&self) -> bool;
}

impl Peer for SocketAddr {
    fn is_local(&self) -> bool {
        self.ip().to_canonical().is_loopback()
    }
}

impl Peer for tokio::net::unix::SocketAddr {
    fn is_local(&self) -> bool {
        true
    }
}

/// A listener that is being served.
#[derive(Debug)]
pub(crate) struct Served {
    life: Life,
    accepting: JoinSet<()>,
}

impl Served {
    /// Serves every connection of the listener.
    pub(crate) fn start<L>(listener: L, app: impl Answer, life: Life) -> Self
    where
        L: Listener<Addr: Peer>,
    {
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, app, life.clone()));
        Self { life, accepting }
    }

    /// Serves every connection of another listener too.
    pub(crate) fn also<L>(&mut self, listener: L, app: impl Answer)
    where
        L: Listener<Addr: Peer>,
    {
        self.accepting.spawn(accept(listener, app, self.life.clone()));
    }

    /// Stops in order until then, and then at once.
    pub(crate) async fn stop(mut self, until: impl Future<Output = ()>) {
        let Life { stopping, killed, tasks } = &self.life;
        stopping.cancel();
        tasks.close();
        let finished = async {
            while self.accepting.join_next().await.is_some() {}
            tasks.wait().await;
        };
        tokio::select! {
            biased;
            () = finished => {}
            () = until => tracing::warn!("the time to stop is over; unfinished answers are cut"),
        }
        killed.cancel();
        while self.accepting.join_next().await.is_some() {}
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.life.stopping.cancel();
        self.life.killed.cancel();
    }
}

/// Connections at a time: at most half of the descriptors that the process may have, because
/// the servers need theirs to be started.
fn places() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = limit.and_then(|limit| usize::try_from(limit / 2).ok()).unwrap_or(MAX_CONNECTIONS);
    half.clamp(1, MAX_CONNECTIONS)
}

async fn accept<L>(mut listener: L, app: impl Answer, life: Life)
where
    L: Listener<Addr: Peer>,
{
    let places = Arc::new(Semaphore::new(places()));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut clearing = interval(CLEARING);
    let mut server = auto::Builder::new(Owned(life.tasks.clone()));
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
    loop {
        while connections.try_join_next().is_some() {}
        let (place, (stream, address)) = tokio::select! {
            biased;
            () = life.stopping.cancelled() => break,
            _ = clearing.tick() => continue,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        let is_local = IsLocal(address.is_local());
        let (app, requests) = (app.clone(), Requests::none());
        let arrived = requests.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let begun = arrived.begin();
            let answer = app.clone().answer(request.map(Body::new), is_local);
            answer.map(|it| Ok::<_, Infallible>(it.map(|body| begun.answered_by(body))))
        });
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let stream = TokioIo::new(Box::pin(stream));
        let connection = server.serve_connection(stream, service).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(Calm::new(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended early");
                },
                () = requests.missing() => tracing::debug!("a connection without a request"),
            }
            drop(place);
        }));
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = life.killed.cancelled() => connections.shutdown().await,
    }
}

/// Runs what HTTP/2 runs beside its connection, counted like everything else.
#[derive(Clone, Debug)]
struct Owned(TaskTracker);

impl<F> Executor<F> for Owned
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

#[cfg(test)]
mod tests;
