//! The control socket: how the command line reaches a running instance.
//!
//! HTTP over `control.sock` in the state directory, which only its owner can open. It serves
//! the MCP endpoint, so that `switchboard stdio` can relay, and a few questions of an operator.
//! It holds nothing of its own.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{FromRequest as _, Query, Request, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    fs,
    net::{UnixListener, UnixStream},
};

use super::{
    http::{HttpFaceConfig, Life, Served, Site},
    mcp::endpoint::Endpoint,
    operator::{Done, Operator},
    problem::{Problem, RequestId},
};
use crate::{
    access::{CallRequest, Gate, Principal, Subject},
    error::Kind,
    id::{AgentId, Incarnation, Owner, ServerName, SessionKey},
    wire::{Object, RawValue, into_text},
};

mod timeline;

/// The socket's name in the state directory.
pub const SOCKET: &str = "control.sock";

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another instance answers there.
    #[error("another instance answers at {0}; stop it or use another state directory")]
    InUse(PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen on {path}; choose another --state-dir, with a short path")]
    Bind {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A control socket that serves.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    site: Arc<Site>,
    served: Served,
}

impl ControlSocket {
    /// Listens in the state directory, which must exist. A socket that nobody answers at is
    /// replaced. `body_bytes` bounds the body of one request.
    ///
    /// # Errors
    /// [`ControlError`] when another instance is there or the socket cannot be made.
    pub async fn start(
        state_dir: &Path,
        config: &HttpFaceConfig,
        body_bytes: usize,
        gate: Arc<Gate>,
        operator: Arc<dyn Operator>,
    ) -> Result<Self, ControlError> {
        let path = state_dir.join(SOCKET);
        if UnixStream::connect(&path).await.is_ok() {
            return Err(ControlError::InUse(path));
        }
        let listener = listen(&path)
            .await
            .map_err(|source| ControlError::Bind { path: path.clone(), source })?;
        let life = Life::default();
        let endpoint = Endpoint::new(Arc::clone(&gate), config, &life);
        let stopping = life.stopping.clone();
        let told = timeline::routes(Arc::clone(&gate), Arc::clone(&operator), stopping);
        let routes = routes(gate).merge(wishes(operator)).merge(told);
        let site = Site::new(None, endpoint, routes, body_bytes);
        let served = Served::start(listener, Arc::clone(&site), life);
        Ok(Self { path, site, served })
    }

    /// Listens anew where somebody removed the socket; says whether that was so. Who is connected
    /// stays so.
    ///
    /// # Errors
    /// [`ControlError::Bind`] when the socket cannot be made.
    pub async fn restore(&mut self) -> Result<bool, ControlError> {
        if fs::symlink_metadata(&self.path).await.is_ok() {
            return Ok(false);
        }
        let listener = listen(&self.path)
            .await
            .map_err(|source| ControlError::Bind { path: self.path.clone(), source })?;
        self.served.also(listener, Arc::clone(&self.site));
        Ok(true)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stops like the HTTP face, within the time, and removes the socket.
    pub async fn stop(self, within: Duration) {
        // First of all, so that nobody finds a socket that no longer answers.
        fs::remove_file(&self.path).await.ok();
        self.served.stop(tokio::time::sleep(within)).await;
    }
}

/// Binds beside the place and moves the socket there once it is private, so that there is no
/// moment in which others could open it.
async fn listen(path: &Path) -> io::Result<UnixListener> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&beside)?;
    fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).await?;
    fs::rename(&beside, path).await?;
    Ok(listener)
}

fn routes(gate: Arc<Gate>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/tools", get(tools))
        .route("/call", post(call))
        .route("/restart", post(restart))
        .with_state(gate)
}

fn wishes(operator: Arc<dyn Operator>) -> Router {
    Router::new()
        .route("/reload", post(reload))
        .route("/servers/add", post(add))
        .route("/servers/remove", post(remove))
        .with_state(operator)
}

async fn reload(State(operator): State<Arc<dyn Operator>>, request: Request) -> Response {
    done(operator.reload().await, &RequestId::of(&request))
}

async fn add(State(operator): State<Arc<dyn Operator>>, request: Request) -> Response {
    let id = RequestId::of(&request);
    match body(request).await {
        Ok(server) => done(operator.add(server).await, &id),
        Err(problem) => problem.respond(&id),
    }
}

async fn remove(State(operator): State<Arc<dyn Operator>>, request: Request) -> Response {
    let id = RequestId::of(&request);
    match body(request).await {
        Ok(server) => done(operator.remove(server).await, &id),
        Err(problem) => problem.respond(&id),
    }
}

fn done(done: Done, id: &RequestId) -> Response {
    match done {
        Ok(done) => ([(CONTENT_TYPE, "application/json")], done.get().to_owned()).into_response(),
        Err(refusal) => Problem::from(refusal).respond(id),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    agent: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    tool: String,
    arguments: Option<Box<RawValue>>,
    agent: Option<String>,
    timeout_ms: Option<u64>,
}

async fn status(State(gate): State<Arc<Gate>>) -> Response {
    Json(gate.status(&Principal::local())).into_response()
}

async fn tools(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let id = RequestId::of(&request);
    let listed = || {
        let Query(scope) = Query::<Scope>::try_from_uri(request.uri()).map_err(|_| {
            Problem::new(Kind::Invalid, "the query may have `agent` and nothing else")
        })?;
        let view = gate.view(&Principal::local(), &owner(scope.agent.as_deref())?)?;
        let tools: Vec<_> = view.tools().iter().map(|tool| &*tool.raw).collect();
        Ok(Json(Listed { tools }).into_response())
    };
    listed().unwrap_or_else(|problem: Problem| problem.respond(&id))
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    tools: Vec<&'a RawValue>,
}

async fn call(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let id = RequestId::of(&request);
    let called = async {
        let call: Call = body(request).await?;
        let owner = owner(call.agent.as_deref())?;
        let mut params = Object::default();
        params.put("name", &call.tool);
        if let Some(arguments) = call.arguments.as_deref() {
            params.put("arguments", arguments);
        }
        let timeout = call.timeout_ms.map(Duration::from_millis);
        let request = CallRequest {
            timeout,
            ..CallRequest::about(Subject::Tool(call.tool), params.to_raw().into())
        };
        let answer = gate.call(&Principal::local(), &owner, request).await?;
        let json = [(CONTENT_TYPE, "application/json")];
        Ok((json, into_text(answer.result)).into_response())
    };
    called.await.unwrap_or_else(|problem: Problem| problem.respond(&id))
}

/// A server that is to be restarted, and whether its next life is made beside the present one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restart {
    server: ServerName,
    agent: Option<String>,
    /// Only this session's own connection.
    session: Option<SessionKey>,
    #[serde(default)]
    handover: bool,
}

/// How far a restart came: the life that took over, if it was a handover.
#[derive(Debug, Serialize)]
struct Restarted {
    server: ServerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<Incarnation>,
}

async fn restart(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let id = RequestId::of(&request);
    let restarted = async {
        let Restart { server, agent, session, handover } = body(request).await?;
        let (principal, owner) = (Principal::local(), owner(agent.as_deref())?);
        let incarnation = if handover {
            gate.hand_over(&principal, &owner, &server).await?
        } else {
            gate.restart(&principal, &owner, &server, session.as_ref()).await?;
            None
        };
        Ok(Json(Restarted { server, incarnation }).into_response())
    };
    restarted.await.unwrap_or_else(|problem: Problem| problem.respond(&id))
}

/// Whose view is meant: an agent's, or the store's.
fn owner(agent: Option<&str>) -> Result<Owner, Problem> {
    let Some(name) = agent else {
        return Ok(Owner::Store);
    };
    AgentId::new(name)
        .map(Owner::Agent)
        .map_err(|error| Problem::new(Kind::NotFound, error.to_string()))
}

async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let invalid = |why: String| Problem::new(Kind::Invalid, why);
    let bytes = Bytes::from_request(request, &())
        .await
        .map_err(|rejection| invalid(rejection.body_text()))?;
    serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))
}
