//! The HTTP client of one link: connections that its callers drive, over the network or through a
//! socket of this machine, and hyper's pool with rustls where the address says https, which may
//! mean HTTP/2.
//!
//! Owned by the target. Follows no redirect, uses no proxy and sets no header but `Host`. It stands
//! on hyper itself, because a layer above it would read every request's address anew.

use std::{
    error::Error as StdError,
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use direct::{Answered, Direct, Stream};
use futures::{
    FutureExt as _, TryFutureExt as _,
    future::{self, BoxFuture},
};
use h2::Reason;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{net::UnixStream, time::timeout};
use tokio_util::either::Either;
use tower::{BoxError, Service, ServiceExt as _};

mod direct;

/// Shorter than servers keep an idle connection (5 s in Node and uvicorn), so that a request
/// hardly ever meets one that is being closed: nobody could say whether it was executed.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// A dead peer of a kept connection is found out in so long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A peer that does not answer a ping of HTTP/2 for so long is dead.
const PONG: Duration = Duration::from_secs(10);

/// A request's whole body.
pub(super) type Body = Full<Bytes>;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There was no connection that could take it.
    #[error("not reached")]
    Unreached(#[source] BoxError),
    /// Its connection failed.
    #[error("the connection failed")]
    Broken(#[source] hyper::Error),
    /// What the pool of connections with TLS says.
    #[error("the connection failed")]
    Tls(#[source] legacy::Error),
}

/// What sends requests.
#[derive(Debug)]
pub(super) enum Client {
    Direct(Direct),
    Tls(Box<legacy::Client<Bounded<HttpsConnector<HttpConnector>>, Body>>),
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
            return Ok(Self::Direct(Direct::new(Place::Network(network, connect))));
        }
        network.enforce_http(false);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(provider)?
            .https_only()
            .enable_http1()
            .enable_http2()
            .wrap_connector(network);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(PONG)
            .build(Bounded { connector: tls, limit: connect });
        Ok(Self::Tls(Box::new(pool)))
    }

    /// A client for a server behind a Unix socket.
    pub(super) fn of_socket(path: &Path) -> Self {
        Self::Direct(Direct::new(Place::Socket(path.into())))
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) fn send(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Answer>, Error>> + Send {
        match self {
            Self::Direct(direct) => {
                future::Either::Left(direct.send(request).map_ok(|it| it.map(Answer::Direct)))
            }
            Self::Tls(pool) => {
                let answered = pool.request(request).map_err(Error::Tls);
                future::Either::Right(answered.map_ok(|it| it.map(Answer::Pooled)).boxed())
            }
        }
    }
}

/// The body of an answer.
pub(super) enum Answer {
    Direct(Answered),
    Pooled(Incoming),
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Direct(body) => Pin::new(body).poll_frame(context),
            Self::Pooled(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Direct(body) => body.is_end_stream(),
            Self::Pooled(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Direct(body) => body.size_hint(),
            Self::Pooled(body) => body.size_hint(),
        }
    }
}

/// Where a server is reached without TLS.
#[derive(Debug)]
enum Place {
    /// Over the network, each attempt within a limit.
    Network(HttpConnector, Duration),
    /// Through one socket of this machine, whatever the address says.
    Socket(Arc<Path>),
}

impl Place {
    async fn open(&self, address: &Uri) -> Result<Stream, BoxError> {
        Ok(TokioIo::new(match self {
            Self::Network(network, limit) => {
                let connected = network.clone().oneshot(address.clone());
                Either::Left(within(*limit, connected).await?.into_inner())
            }
            Self::Socket(path) => Either::Right(UnixStream::connect(path).await?),
        }))
    }
}

/// A connection that is there in time.
async fn within<T, E: Into<BoxError>>(
    limit: Duration,
    connected: impl Future<Output = Result<T, E>>,
) -> Result<T, BoxError> {
    match timeout(limit, connected).await {
        Ok(connected) => connected.map_err(Into::into),
        Err(_) => Err(format!("the connection timed out after {limit:?}").into()),
    }
}

/// Gives up a connection that is not there in time.
#[derive(Clone, Debug)]
pub(super) struct Bounded<C> {
    connector: C,
    limit: Duration,
}

impl<C> Service<Uri> for Bounded<C>
where
    C: Service<Uri, Response: 'static, Error: Into<BoxError> + 'static, Future: Send + 'static>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<C::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        Box::pin(within(self.limit, self.connector.call(address)))
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
    error.downcast_ref::<Error>().is_some_and(|error| match error {
        Error::Unreached(_) => true,
        Error::Tls(error) => error.is_connect(),
        Error::Broken(_) => false,
    })
}
