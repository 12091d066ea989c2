//! Whether a connection is in use: one that carries no request is closed after a while, so that
//! half-sent heads and silent clients cannot hold every place.
//!
//! Owned by the connection's task. It knows no bytes: a head counts when all of it has arrived, in
//! either version of HTTP.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{self, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// How long a client that has connected may take until its first request's head is there.
const FIRST_HEAD: Duration = Duration::from_secs(30);
/// The same for the next one, since the last answer went out. Longer than clients keep connections
/// that they do not use.
const NEXT_HEAD: Duration = Duration::from_mins(2);

/// The requests that one connection carries.
#[derive(Clone, Debug)]
pub(super) struct Requests(Arc<Carried>);

#[derive(Debug)]
struct Carried {
    now: AtomicUsize,
    /// When the connection is closed, if it carries nothing then.
    until: Mutex<Instant>,
}

impl Requests {
    /// None yet.
    pub(super) fn none() -> Self {
        let until = Mutex::new(Instant::now() + FIRST_HEAD);
        Self(Arc::new(Carried { now: AtomicUsize::new(0), until }))
    }

    /// A head has arrived. The request counts until this is dropped.
    pub(super) fn begin(&self) -> Request {
        self.0.now.fetch_add(1, Ordering::Relaxed);
        Request(self.clone())
    }

    /// Ends when there has been no request for too long. Requests do not wake it: it looks when it
    /// would have to end.
    pub(super) async fn missing(&self) {
        loop {
            let until = *self.0.until.lock();
            sleep_until(until).await;
            let mut now = self.0.until.lock();
            if self.0.now.load(Ordering::Relaxed) > 0 {
                *now = Instant::now() + NEXT_HEAD;
            } else if *now <= until {
                return;
            }
        }
    }
}

/// A request that is being carried out or answered.
#[derive(Debug)]
pub(super) struct Request(Requests);

impl Request {
    /// The body of its answer: the request is over when the body is.
    pub(super) const fn answered_by(self, body: body::Body) -> Answer {
        Answer { body, _request: self }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let Requests(carried) = &self.0;
        *carried.until.lock() = Instant::now() + NEXT_HEAD;
        carried.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Answer {
    body: body::Body,
    _request: Request,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_time_without_a_request_counts() {
        let requests = Requests::none();
        let start = Instant::now();
        requests.missing().await;
        assert_eq!(start.elapsed(), FIRST_HEAD);

        let (start, request) = (Instant::now(), requests.begin());
        let long = NEXT_HEAD * 10;
        let carried = async {
            tokio::time::timeout(long, std::future::pending::<()>()).await.unwrap_err();
            drop(request);
        };
        tokio::join!(requests.missing(), carried);
        assert_eq!(start.elapsed(), long + NEXT_HEAD);

        // One that was over before anybody looked counts too.
        let (start, requests) = (Instant::now(), Requests::none());
        drop(requests.begin());
        requests.missing().await;
        assert_eq!(start.elapsed(), NEXT_HEAD);
    }
}
