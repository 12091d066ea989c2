//! The HTTP client of one link: hyper's pool of connections, with rustls where the address says
//! https, or through a socket of this machine.
//!
//! Owned by the target. Follows no redirect, uses no proxy and sets no header. It stands on hyper's
//! own client, because a layer above it would read every request's address anew.

use std::{
    error::Error as StdError,
    io,
    path::Path,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use h2::Reason;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{net::UnixStream, time::timeout};
use tower::{BoxError, Service};

/// Shorter than servers keep an idle connection (5 s in Node and uvicorn), so that a request
/// hardly ever meets one that is being closed: nobody could say whether it was executed.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// A dead peer of a kept connection is found out in so long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A peer that does not answer a ping of HTTP/2 for so long is dead.
const PONG: Duration = Duration::from_secs(10);

/// A request's whole body.
pub(super) type Body = Full<Bytes>;

/// What sends requests.
#[derive(Debug)]
pub(super) enum Client {
    Plain(Pool<Bounded<HttpConnector>, Body>),
    Tls(Pool<Bounded<HttpsConnector<HttpConnector>>, Body>),
    Socket(Pool<SocketConnector, Body>),
}

impl Client {
    /// A client for servers on the network. `connect` bounds one attempt to reach one, TLS included.
    ///
    /// # Errors
    /// Where the machine's certificates cannot be read.
    pub(super) fn of_network(is_tls: bool, connect: Duration) -> io::Result<Self> {
        let mut network = HttpConnector::new();
        network.set_nodelay(true);
        network.set_keepalive(Some(KEEP_ALIVE));
        network.set_connect_timeout(Some(connect));
        if !is_tls {
            return Ok(Self::Plain(pool(Bounded { connector: network, limit: connect })));
        }
        network.enforce_http(false);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(provider)?
            .https_only()
            .enable_http1()
            .enable_http2()
            .wrap_connector(network);
        Ok(Self::Tls(pool(Bounded { connector: tls, limit: connect })))
    }

    /// A client for a server behind a Unix socket.
    pub(super) fn of_socket(path: &Path) -> Self {
        Self::Socket(pool(SocketConnector(path.into())))
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        match self {
            Self::Plain(pool) => pool.request(request).await,
            Self::Tls(pool) => pool.request(request).await,
            Self::Socket(pool) => pool.request(request).await,
        }
    }
}

fn pool<C>(connector: C) -> Pool<C, Body>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Pool::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(PONG)
        .build(connector)
}

/// Gives up a connection that is not there in time.
#[derive(Clone, Debug)]
pub(super) struct Bounded<C> {
    connector: C,
    limit: Duration,
}

impl<C> Service<Uri> for Bounded<C>
where
    C: Service<Uri, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<C::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let (limit, connected) = (self.limit, self.connector.call(address));
        Box::pin(async move {
            match timeout(limit, connected).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(format!("the connection timed out after {limit:?}").into()),
            }
        })
    }
}

/// Connects to one socket, whatever the address says.
#[derive(Clone, Debug)]
pub(super) struct SocketConnector(Arc<Path>);

impl Service<Uri> for SocketConnector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _address: Uri) -> Self::Future {
        let path = Arc::clone(&self.0);
        Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
    }
}

/// Whether the server turned a request away unread: a refused stream, or one that came after it
/// said that it takes no more (RFC 9113, 6.8 and 8.7).
pub(super) fn is_turned_away(error: &(dyn StdError + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let mut found = causes.filter_map(|cause| cause.downcast_ref::<h2::Error>());
    found.any(|error| {
        let expected = if error.is_go_away() { Reason::NO_ERROR } else { Reason::REFUSED_STREAM };
        error.is_remote() && error.reason() == Some(expected)
    })
}

/// Whether the server was not reached, so that it has nothing of the request.
pub(super) fn is_unreached(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::is_connect)
}
