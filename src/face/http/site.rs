//! What a listener serves, and in which order: who may come in, the MCP endpoint, the routes.
//!
//! The endpoint is asked before the router: nearly every request is for it, and a router's layers
//! cost as much as the rest of HTTP. Every request has an id, which its answer carries.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};
use data_encoding::HEXLOWER;
use tower::ServiceExt as _;

use super::{
    guard::Door,
    serve::{Answer, IsLocal},
};
use crate::{
    error::Kind,
    face::{
        mcp::endpoint::{Address, Endpoint},
        problem::{Problem, RequestId},
    },
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What one listener serves.
#[derive(Debug)]
pub(crate) struct Site {
    /// Who may come in; `None` where everybody may who reaches the listener.
    door: Option<Door>,
    endpoint: Arc<Endpoint>,
    routes: Router,
    body_bytes: usize,
}

impl Site {
    /// An endpoint and routes for everything else; `body_bytes` bounds the body of one request.
    pub(crate) fn new(
        door: Option<Door>,
        endpoint: Arc<Endpoint>,
        routes: Router,
        body_bytes: usize,
    ) -> Arc<Self> {
        let routes = routes.layer(DefaultBodyLimit::max(body_bytes));
        Arc::new(Self { door, endpoint, routes, body_bytes })
    }

    async fn admitted(&self, mut request: Request, id: RequestId, is_local: IsLocal) -> Response {
        if let Some(door) = &self.door
            && let Err((kind, why)) = door.check(request.uri(), request.headers())
        {
            return Problem::new(kind, why).respond(&id);
        }
        match Address::read(request.uri().path()) {
            Some(Ok(address)) => self.endpoint.answer(address, request, self.body_bytes).await,
            Some(Err(_)) => {
                let why = "the path is no UTF-8 once it is decoded";
                Problem::new(Kind::Invalid, why).respond(&id)
            }
            None => {
                request.extensions_mut().insert(id);
                request.extensions_mut().insert(is_local);
                let Ok(answer): Result<_, Infallible> = self.routes.clone().oneshot(request).await;
                answer
            }
        }
    }
}

impl Answer for Arc<Site> {
    async fn answer(self, request: Request<Body>, is_local: IsLocal) -> Response {
        let id = request_id(request.headers());
        let mut response = self.admitted(request, RequestId(id.clone()), is_local).await;
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
}

/// The id that a proxy gave the request, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    headers.get(REQUEST_ID).filter(|id| is_plain(id)).cloned().unwrap_or_else(new_id)
}

fn is_plain(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=128).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn new_id() -> HeaderValue {
    // Tells requests apart in a log, nothing more: no secret, and no system call.
    let mut id = [0; 16];
    HEXLOWER.encode_mut(&fastrand::u64(..).to_be_bytes(), &mut id);
    HeaderValue::from_bytes(&id).unwrap_or(const { HeaderValue::from_static("-") })
}
