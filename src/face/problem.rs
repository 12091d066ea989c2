//! Errors as `application/problem+json` (RFC 9457), for everything over HTTP that is not MCP.
//!
//! One table from kinds to statuses. A problem says what failed and never quotes a body.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{
        Extensions, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::Response,
};
use serde::Serialize;

use super::operator::Refusal;
use crate::{
    access::{CallError, Failure},
    error::{Classify as _, Kind},
    wire::raw,
};

/// The id of one HTTP request, in its response's `x-request-id` and in problems.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

impl RequestId {
    /// The request's id.
    pub(crate) fn of(request: &Request) -> Self {
        Self::among(request.extensions())
    }

    /// The id of the request that these belong to.
    pub(crate) fn among(extensions: &Extensions) -> Self {
        let known = extensions.get::<Self>().cloned();
        known.unwrap_or_else(|| Self(HeaderValue::from_static("-")))
    }
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    /// A code of its own, where the kind says too little.
    code: Option<&'static str>,
    detail: String,
    failure: Option<Box<Failure>>,
}

impl Problem {
    /// A problem of a kind, in words.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, code: None, detail: detail.into(), failure: None }
    }

    /// The response to the request of that id.
    pub(crate) fn respond(self, request: &RequestId) -> Response {
        #[derive(Serialize)]
        struct Members<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: &'a str,
            code: &'static str,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_after: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            failure: Option<&'a Failure>,
        }
        let (status, title) = row(self.kind);
        let retry_after = retry_after(self.kind, self.failure.as_deref());
        let body = raw(&Members {
            r#type: "about:blank",
            title,
            status,
            detail: &self.detail,
            code: self.code.unwrap_or(self.kind.as_str()),
            request_id: request.0.to_str().unwrap_or_default(),
            error: matches!(self.kind, Kind::Limited | Kind::Overloaded).then_some(title),
            retry_after,
            failure: self.failure.as_deref(),
        });
        let mut response = Response::new(Body::from(body.get().to_owned()));
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = retry_after {
            headers.insert(RETRY_AFTER, after.into());
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code, ..Self::new(refusal.kind, refusal.text) }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let mut problem = Self::new(error.kind(), error.to_string());
        if let CallError::Failed(failure) = error {
            problem.failure = Some(Box::new(failure));
        }
        problem
    }
}

/// The table: a kind's status and title.
const fn row(kind: Kind) -> (u16, &'static str) {
    match kind {
        Kind::Invalid => (400, "Invalid request"),
        Kind::NotFound => (404, "Not found"),
        Kind::Unauthenticated => (401, "Authentication required"),
        Kind::Denied => (403, "Not allowed"),
        Kind::Limited => (429, "Rate limit exceeded"),
        Kind::Overloaded => (503, "Server at capacity"),
        Kind::Unavailable => (503, "Server unavailable"),
        Kind::Timeout => (504, "Deadline exceeded"),
        Kind::Cancelled => (499, "Cancelled"),
        Kind::OutcomeUnknown => (502, "Outcome unknown"),
        Kind::Upstream => (502, "Server error"),
        Kind::Internal => (500, "Internal error"),
    }
}

/// Seconds after which trying again makes sense: what the failure knows, else a moment.
fn retry_after(kind: Kind, failure: Option<&Failure>) -> Option<u64> {
    matches!(kind, Kind::Limited | Kind::Overloaded | Kind::Unavailable)
        .then(|| failure.and_then(|failure| failure.retry_after).map_or(1, whole_seconds))
}

/// A duration for `Retry-After`, rounded up so that nobody comes back too early.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    seconds.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::Delivery,
        id::{Incarnation, ServerName},
    };

    async fn body(problem: Problem) -> (Response<()>, serde_json::Value) {
        let id = RequestId(HeaderValue::from_static("r-1"));
        let (parts, body) = problem.respond(&id).into_parts();
        let bytes = axum::body::to_bytes(body, 4096).await.unwrap();
        let value = serde_json::from_slice(&bytes).unwrap();
        (Response::from_parts(parts, ()), value)
    }

    #[tokio::test]
    async fn a_problem_carries_the_failure_and_when_to_come_back() {
        let failure = Failure {
            kind: Kind::Overloaded,
            server: ServerName::new("files").unwrap(),
            incarnation: Incarnation(1),
            phase: Delivery::Queued,
            written: None,
            retry_after: Some(Duration::from_millis(1500)),
            text: "files is busy".to_owned(),
        };
        let (response, body) = body(CallError::Failed(failure).into()).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "about:blank", "title": "Server at capacity", "status": 503,
                "detail": "files is busy", "code": "overloaded", "request_id": "r-1",
                "error": "Server at capacity", "retry_after": 2,
                "failure": {"kind": "overloaded", "server": "files", "incarnation": 1,
                    "phase": "queued", "sent": false, "retryAfterMs": 1500},
            })
        );
    }

    #[tokio::test]
    async fn every_other_problem_is_told_without_members_that_do_not_apply() {
        let (response, body) = body(Problem::new(Kind::Cancelled, "gone")).await;
        assert_eq!(response.status().as_u16(), 499);
        assert_eq!(
            body,
            serde_json::json!({
                "type": "about:blank", "title": "Cancelled", "status": 499,
                "detail": "gone", "code": "cancelled", "request_id": "r-1",
            })
        );
    }
}
