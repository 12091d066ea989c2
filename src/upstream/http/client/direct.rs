//! Connections of HTTP/1.1, one exchange at a time on each, driven by whoever waits for it.
//!
//! Owned by the client. No task runs beside an exchange: what the server sends wakes its caller and
//! nobody else, and a caller that leaves takes its connection along. A connection whose answer was
//! read to its end waits for the next exchange for a while; one that the server closed meanwhile, as
//! far as this process was told, is found out before it is given a request.

use std::{
    fmt, mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures::future::poll_fn;
use http::{HeaderValue, Request, Response, Uri, header::HOST};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    net::{TcpStream, UnixStream},
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::either::Either;

use super::{Error, POOL_IDLE, Place};

/// A stream to a server.
pub(super) type Stream = TokioIo<Either<TcpStream, UnixStream>>;

type Sent = super::Body;

/// The connections to one server.
#[derive(Debug)]
pub(in crate::upstream::http) struct Direct {
    place: Place,
    waiting: Arc<Waiting>,
    /// What closes connections that wait too long.
    _sweeping: JoinSet<()>,
}

impl Direct {
    /// No connection yet. It has to be made where tokio runs.
    pub(super) fn new(place: Place) -> Self {
        let waiting = Arc::<Waiting>::default();
        let mut sweeping = JoinSet::new();
        sweeping.spawn(sweep(Arc::clone(&waiting)));
        Self { place, waiting, _sweeping: sweeping }
    }

    /// Sends a request and waits for the head of its answer. What a connection was closed for
    /// before it took anything of it goes over another one.
    pub(super) async fn send(
        &self,
        mut request: Request<Sent>,
    ) -> Result<Response<Answered>, Error> {
        let address = to_origin(&mut request);
        loop {
            let (mut driven, is_new) = match self.waiting.take() {
                Some(driven) => (driven, false),
                None => (self.open(&address).await?, true),
            };
            match driven.exchange(request).await {
                Ok(answer) => {
                    let waiting = Arc::clone(&self.waiting);
                    return Ok(answer.map(|body| Answered {
                        body,
                        is_read: false,
                        driven: Some(driven),
                        waiting,
                    }));
                }
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    Some(_) => return Err(Error::Unreached(refused.into_error().into())),
                    None => return Err(Error::Broken(refused.into_error())),
                },
            }
        }
    }

    async fn open(&self, address: &Uri) -> Result<Box<Driven>, Error> {
        let stream = self.place.open(address).await.map_err(Error::Unreached)?;
        let opened = http1::handshake(stream).await;
        let (sender, connection) = opened.map_err(|error| Error::Unreached(error.into()))?;
        Ok(Box::new(Driven { sender, connection: Some(connection) }))
    }
}

/// Names a server as HTTP/1.1 does (RFC 9112, 3.2.1): the path in the first line, the authority in
/// a header. Gives the whole address.
fn to_origin(request: &mut Request<Sent>) -> Uri {
    let address = mem::take(request.uri_mut());
    let host = address.authority().map(|it| HeaderValue::from_str(it.as_str()));
    if let Some(Ok(host)) = host {
        request.headers_mut().insert(HOST, host);
    }
    let path = address.path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    address
}

/// A connection and what sends over it.
struct Driven {
    sender: SendRequest<Sent>,
    /// Gone once it is over.
    connection: Option<http1::Connection<Stream, Sent>>,
}

impl Driven {
    /// Reads and writes what can be.
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(context).is_ready()
        {
            // Why it is over is told to whoever waits for an answer or reads one.
            self.connection = None;
        }
    }

    /// Whether the next request can go over it, found out without waiting.
    fn is_free(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }

    async fn exchange(
        &mut self,
        request: Request<Sent>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Sent>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|context| {
            self.drive(context);
            answer.as_mut().poll(context)
        })
        .await
    }
}

/// Connections that wait for an exchange, the one that waits the shortest last.
#[derive(Default)]
struct Waiting {
    connections: Mutex<Vec<(Instant, Box<Driven>)>>,
    /// Told when there is one.
    some: Notify,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.connections.lock().len();
        f.debug_struct("Waiting").field("connections", &connections).finish_non_exhaustive()
    }
}

impl Waiting {
    /// One that can be used.
    fn take(&self) -> Option<Box<Driven>> {
        loop {
            let (since, mut driven) = self.connections.lock().pop()?;
            if since.elapsed() < POOL_IDLE && driven.is_free() {
                return Some(driven);
            }
        }
    }

    fn put(&self, driven: Box<Driven>) {
        let mut connections = self.connections.lock();
        connections.push((Instant::now(), driven));
        let is_first = connections.len() == 1;
        drop(connections);
        if is_first {
            self.some.notify_one();
        }
    }

    /// Closes those that waited too long; says whether any is left.
    fn sweep(&self) -> bool {
        let mut connections = self.connections.lock();
        connections.retain(|(since, _)| since.elapsed() < POOL_IDLE);
        !connections.is_empty()
    }
}

async fn sweep(waiting: Arc<Waiting>) {
    loop {
        waiting.some.notified().await;
        loop {
            sleep(POOL_IDLE).await;
            if !waiting.sweep() {
                break;
            }
        }
    }
}

/// The body of an answer. Reading it drives its connection, which is free afterwards.
pub(in crate::upstream::http) struct Answered {
    body: Incoming,
    is_read: bool,
    driven: Option<Box<Driven>>,
    waiting: Arc<Waiting>,
}

impl Body for Answered {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // A connection reads no more than was asked for.
        let mut frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending()
            && let Some(driven) = &mut self.driven
        {
            driven.drive(context);
            frame = Pin::new(&mut self.body).poll_frame(context);
        }
        let frame = ready!(frame);
        self.is_read = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if (self.is_read || self.body.is_end_stream())
            && let Some(mut driven) = self.driven.take()
            && driven.is_free()
        {
            self.waiting.put(driven);
        }
    }
}

#[cfg(test)]
mod tests;
