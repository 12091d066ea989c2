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
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{
    Router,
    extract::{FromRequest as _, FromRequestParts, Path, Request, State},
    http::{HeaderMap, request::Parts},
    response::{IntoResponse as _, Response},
    routing,
};
use bytes::Bytes;
use respond::Refusal;
use session::Sessions;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Caller, Fault, batch, era, is_batch, unreadable};
use crate::{
    access::{Gate, Principal},
    error::Kind,
    face::{
        http::{HttpFaceConfig, Life},
        problem::{Problem, RequestId},
    },
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

    /// The endpoint's routes.
    pub(crate) fn routes(self: Arc<Self>) -> Router {
        let methods = || {
            routing::post(
                |State(endpoint): State<Arc<Self>>, agent: Agent, request: Request| async move {
                    finish(endpoint.post(agent, request).await)
                },
            )
            .get(|State(endpoint): State<Arc<Self>>, agent: Agent, headers: HeaderMap| async move {
                finish(endpoint.get(agent, &headers))
            })
            .delete(
                |State(endpoint): State<Arc<Self>>, agent: Agent, headers: HeaderMap| async move {
                    finish(endpoint.delete(agent, &headers))
                },
            )
        };
        Router::new().route("/mcp", methods()).route("/mcp/{agent}", methods()).with_state(self)
    }

    async fn post(&self, agent: Agent, mut request: Request) -> Result<Response, Refusal> {
        let headers = std::mem::take(request.headers_mut());
        let headers = &headers;
        let caller = Caller { trace: trace(headers), ..caller(agent)? };
        headers::check_post(headers)?;
        let body = read(request).await?;
        if is_batch(&body) {
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

    fn get(&self, agent: Agent, headers: &HeaderMap) -> Result<Response, Refusal> {
        if !is_of_session(headers) {
            return Ok(respond::only_post());
        }
        if !headers::accepts(headers, headers::EVENTS) {
            let text = "`Accept` must list text/event-stream";
            return Err(Fault::with_status(406, code::INVALID_REQUEST, text).into());
        }
        let session = self.session(&caller(agent)?, headers)?;
        let last_event =
            headers.get(header::LAST_EVENT_ID).map(|value| value.to_str().unwrap_or_default());
        Ok(self.stream(&session, last_event)?)
    }

    fn delete(&self, agent: Agent, headers: &HeaderMap) -> Result<Response, Refusal> {
        if !is_of_session(headers) {
            return Ok(respond::only_post());
        }
        let session = self.session(&caller(agent)?, headers)?;
        self.sessions.end(&session);
        Ok(axum::http::StatusCode::NO_CONTENT.into_response())
    }
}

/// The last segment of the path, where there is one.
struct Agent(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Agent {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let segment = Option::<Path<String>>::from_request_parts(parts, state).await;
        segment.map(|segment| Self(segment.map(|Path(name)| name))).map_err(|_| {
            let problem = Problem::new(Kind::Invalid, "the path is no UTF-8 once it is decoded");
            problem.respond(&RequestId::among(&parts.extensions))
        })
    }
}

fn finish(answer: Result<Response, Refusal>) -> Response {
    answer.unwrap_or_else(Refusal::into_response)
}

/// Whose view the address names.
fn caller(agent: Agent) -> Result<Caller, Fault> {
    let owner = match agent.0 {
        None => Owner::Store,
        Some(name) => Owner::Agent(AgentId::new(&name).map_err(|_| {
            let text = format!("unknown agent {name:?}");
            Fault::with_status(404, code::INVALID_PARAMS, text)
        })?),
    };
    Ok(Caller {
        principal: Principal::local(),
        owner,
        session: None,
        client: None,
        trace: Context::default(),
        headers: None,
    })
}

/// The trace that a message belongs to, where its own metadata names none.
fn trace(headers: &HeaderMap) -> Context {
    Context::read(|key| headers.get(key)?.to_str().ok())
}

fn version(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::PROTOCOL_VERSION)?.to_str().ok()
}

/// Whether a GET or DELETE concerns a legacy session; the modern era has neither.
fn is_of_session(headers: &HeaderMap) -> bool {
    headers.contains_key(header::SESSION_ID) && era(version(headers), None, None) == Era::Legacy
}

/// Reads a body within the listener's limit.
async fn read(request: Request) -> Result<Bytes, Fault> {
    let refused = |status, text: &str| Fault::with_status(status, code::INVALID_REQUEST, text);
    match timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) => Err(refused(
            rejection.status().as_u16(),
            "the body is too long or broken; limits.body_bytes bounds it",
        )),
        Err(_) => Err(refused(408, "the body did not arrive in time")),
    }
}
