//! The MCP endpoint over streamable HTTP: `/mcp` for the store's view, `/mcp/{agent}` for an
//! agent's, both eras on each.
//!
//! Owned by a listener. It decides which era a message belongs to and hands it on; modern
//! requests keep nothing here, legacy ones live in sessions.

mod headers;
mod legacy;
mod modern;
mod replay;
mod respond;
mod session;

use std::{
    str::Utf8Error,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, request::Parts},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use respond::Refusal;
use session::Sessions;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Caller, Fault, batch, era, is_batch, unreadable};
use crate::{
    access::{Gate, Principal},
    face::http::{HttpFaceConfig, Life},
    id::{AgentId, Owner},
    trace::Context,
    wire::{Era, Message, envelope::code, header, method},
};

/// How long an answer may take before its head goes out, so that nobody on the way takes the
/// connection for dead.
const EARLY_HEAD: Duration = Duration::from_secs(2);
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Keep-alives closer together than this would be a flood.
const LEAST_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// The endpoint of one listener.
#[derive(Debug)]
pub(crate) struct Endpoint {
    gate: Arc<Gate>,
    sessions: Sessions,
    keep_alive: Duration,
    /// Ends the streams that would never end by themselves.
    stopping: CancellationToken,
    /// Calls of legacy sessions, which outlive their connections.
    tasks: TaskTracker,
}

impl Endpoint {
    /// The endpoint of a listener that lives as long as `life` says.
    pub(crate) fn new(gate: Arc<Gate>, config: &HttpFaceConfig, life: &Life) -> Arc<Self> {
        let sessions = Sessions::new(config.session_idle, config.max_sessions, life.killed.clone());
        let endpoint = Arc::new(Self {
            gate,
            sessions,
            keep_alive: config.keep_alive.max(LEAST_KEEP_ALIVE),
            stopping: life.stopping.clone(),
            tasks: life.tasks.clone(),
        });
        let swept: Weak<Self> = Arc::downgrade(&endpoint);
        endpoint.gate.on_cleanup("mcp sessions", move || {
            if let Some(endpoint) = swept.upgrade() {
                endpoint.sessions.tidy();
            }
        });
        endpoint
    }

    /// Answers a request for a view; `body_bytes` bounds its body.
    pub(crate) async fn answer(
        &self,
        address: Address,
        request: Request,
        body_bytes: usize,
    ) -> Response {
        let caller = match address.owner() {
            Ok(owner) => caller(owner),
            Err(fault) => return Refusal::from(fault).into_response(),
        };
        let answer = match *request.method() {
            Method::POST => self.post(caller, request, body_bytes).await,
            Method::GET | Method::HEAD => self.get(&caller, request.headers()),
            Method::DELETE => self.delete(&caller, request.headers()),
            _ => Ok(respond::only("GET, HEAD, POST, DELETE")),
        };
        answer.unwrap_or_else(Refusal::into_response)
    }

    async fn post(
        &self,
        caller: Caller,
        request: Request,
        body_bytes: usize,
    ) -> Result<Response, Refusal> {
        let (Parts { headers, .. }, body) = request.into_parts();
        let headers = &headers;
        let caller = Caller { trace: headers::trace(headers), ..caller };
        headers::check_post(headers)?;
        let body = read(body, body_bytes).await?;
        if is_batch(&body) {
            if era(version(headers), None, None) == Era::Modern {
                let text = "revision 2026-07-28 has no batches; send each request by itself";
                return Err(Fault::with_status(400, code::INVALID_REQUEST, text).into());
            }
            let session = self.session(&caller, headers)?;
            let members = batch(&body, session.revision)?;
            let members = members.iter().map(|raw| Message::parse(raw.get().as_bytes()));
            return Ok(self.receive(&session, &caller.trace, members.collect(), true).await);
        }
        let message = Message::parse(&body).map_err(|error| {
            let (id, fault) = unreadable(error);
            Refusal::to(id, fault)
        })?;
        let (named, params) = match &message {
            Message::Request { method, params, .. } | Message::Notification { method, params } => {
                (Some(&**method), *params)
            }
            Message::Response { .. } => (None, None),
        };
        if era(version(headers), named, params) == Era::Modern {
            return self.modern(&caller, headers, message).await;
        }
        if let Message::Request { id, method, params } = &message
            && method == method::INITIALIZE
        {
            return self.initialize(&caller, id, *params);
        }
        let session = self.session(&caller, headers)?;
        Ok(self.receive(&session, &caller.trace, vec![Ok(message)], false).await)
    }

    fn get(&self, caller: &Caller, headers: &HeaderMap) -> Result<Response, Refusal> {
        if !is_of_session(headers) {
            return Ok(respond::only("POST"));
        }
        if !headers::accepts(headers, headers::EVENTS) {
            let text = "`Accept` must list text/event-stream";
            return Err(Fault::with_status(406, code::INVALID_REQUEST, text).into());
        }
        let session = self.session(caller, headers)?;
        let last_event =
            headers.get(header::LAST_EVENT_ID).map(|value| value.to_str().unwrap_or_default());
        Ok(self.stream(&session, last_event)?)
    }

    fn delete(&self, caller: &Caller, headers: &HeaderMap) -> Result<Response, Refusal> {
        if !is_of_session(headers) {
            return Ok(respond::only("POST"));
        }
        let session = self.session(caller, headers)?;
        self.sessions.end(&session);
        Ok(axum::http::StatusCode::NO_CONTENT.into_response())
    }
}

/// Whose view a path of the endpoint names: `/mcp` the store's, `/mcp/NAME` an agent's.
#[derive(Debug)]
pub(crate) struct Address(Option<String>);

impl Address {
    /// Reads a path; `None` for one that is not the endpoint's.
    ///
    /// # Errors
    /// The name is no UTF-8 once it is decoded.
    pub(crate) fn read(path: &str) -> Option<Result<Self, Utf8Error>> {
        let rest = path.strip_prefix("/mcp")?;
        if rest.is_empty() {
            return Some(Ok(Self(None)));
        }
        let name = rest.strip_prefix('/').filter(|it| !it.is_empty() && !it.contains('/'))?;
        let name = percent_decode_str(name).decode_utf8();
        Some(name.map(|name| Self(Some(name.into_owned()))))
    }

    fn owner(self) -> Result<Owner, Fault> {
        let Self(Some(name)) = self else { return Ok(Owner::Store) };
        AgentId::new(&name).map(Owner::Agent).map_err(|_| {
            let text = format!("unknown agent {name:?}");
            Fault::with_status(404, code::INVALID_PARAMS, text)
        })
    }
}

/// Who calls.
fn caller(owner: Owner) -> Caller {
    Caller {
        principal: Principal::local(),
        owner,
        session: None,
        client: None,
        trace: Context::default(),
        headers: None,
    }
}

fn version(headers: &HeaderMap) -> Option<&str> {
    headers.get(headers::VERSION)?.to_str().ok()
}

/// Whether a GET or DELETE concerns a legacy session; the modern era has neither.
fn is_of_session(headers: &HeaderMap) -> bool {
    headers.contains_key(header::SESSION_ID) && era(version(headers), None, None) == Era::Legacy
}

/// Reads a body within the listener's limit.
async fn read(body: Body, limit: usize) -> Result<Bytes, Fault> {
    let refused = |status, text: &str| Fault::with_status(status, code::INVALID_REQUEST, text);
    match timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(refused(413, "the body is too long; limits.body_bytes bounds it"))
        }
        Ok(Err(_)) => Err(refused(400, "the body is broken")),
        Err(_) => Err(refused(408, "the body did not arrive in time")),
    }
}
