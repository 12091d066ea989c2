//! HTTP responses of the MCP endpoint: JSON, event streams, refusals.
//!
//! Shapes only; what is said is decided elsewhere.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, stream};
use tokio::time::timeout;

use crate::{
    face::{
        mcp::{Fault, Outcome, fault::Head, response},
        problem::whole_seconds,
    },
    wire::{Id, Pieces, envelope, sse},
};

/// A request that is not answered by a result: to whom, if that is known, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    id: Option<Id>,
    fault: Fault,
}

impl Refusal {
    /// A refusal of a request that was read.
    pub(super) const fn to(id: Option<Id>, fault: Fault) -> Self {
        Self { id, fault }
    }

    pub(super) fn into_response(self) -> Response {
        json(self.fault.head, envelope::error(self.id.as_ref(), &self.fault.error))
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { id: None, fault }
    }
}

/// A JSON body.
pub(super) fn json(head: Head, body: impl Into<Pieces>) -> Response {
    let body = body.into();
    let length = body.len();
    let mut response = Response::new(match body.only() {
        Ok(body) => Body::from(body),
        Err(pieces) => Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>))),
    });
    *response.status_mut() =
        StatusCode::from_u16(head.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, length.into());
    if let Some(after) = head.retry_after {
        headers.insert(RETRY_AFTER, whole_seconds(after).into());
    }
    response
}

/// The answer to one request.
pub(super) fn answer(id: &Id, outcome: &Outcome) -> Response {
    let head = outcome.as_ref().map_or_else(|fault| fault.head, |_| Head::OK);
    json(head, response(id, outcome))
}

/// Nothing needs an answer.
pub(super) fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// There is nothing at this address for other methods than these.
pub(super) fn only(methods: &'static str) -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, methods)]).into_response()
}

/// Where the frames of an event stream come from.
pub(super) trait Source: Send + 'static {
    /// The next frame; `None` ends the stream. May be dropped and asked again without loss.
    fn next(&mut self) -> impl Future<Output = Option<Pieces>> + Send;
}

/// An event stream with comments whenever nothing else was sent for a while. Dropping it, as
/// happens when the client disconnects, drops its source.
pub(super) fn event_stream(source: impl Source, keep_alive: Duration) -> Response {
    let frames = stream::unfold(source, move |mut source| async move {
        let frame = match timeout(keep_alive, source.next()).await {
            Ok(frame) => frame?,
            Err(_) => Pieces::from(sse::KEEP_ALIVE),
        };
        Some((stream::iter(frame), source))
    });
    let mut response = Response::new(Body::from_stream(frames.flatten().map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
