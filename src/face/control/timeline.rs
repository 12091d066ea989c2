//! What an operator asks when something is wrong: why a server is as it is, and what happened.
//!
//! Served at the control socket alone, because a server's error output may stand in the answers.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, future::ready, stream};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{body, owner};
use crate::{
    access::{Gate, Heard, Principal, Story},
    face::{
        operator::Operator,
        problem::{Problem, RequestId},
    },
    id::{ServerName, SessionKey},
};

/// What these routes need.
#[derive(Clone)]
struct Sources {
    gate: Arc<Gate>,
    operator: Arc<dyn Operator>,
    stopping: CancellationToken,
}

/// The routes. Streams end with `stopping`.
pub(super) fn routes(
    gate: Arc<Gate>,
    operator: Arc<dyn Operator>,
    stopping: CancellationToken,
) -> Router {
    Router::new().route("/why", post(why)).route("/events", post(events)).with_state(Sources {
        gate,
        operator,
        stopping,
    })
}

/// Which connection is asked about: a server's common one, or a session's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    server: ServerName,
    agent: Option<String>,
    session: Option<SessionKey>,
}

/// Which events are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those of this server alone, whoever owns the connection.
    server: Option<ServerName>,
    /// Those to come as well.
    #[serde(default)]
    follow: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    story: Story,
    /// Where the server is defined, such as `team.toml: mcpServers.github`.
    defined: Option<String>,
}

async fn why(State(sources): State<Sources>, request: Request) -> Response {
    let id = RequestId::of(&request);
    let told = async {
        let Named { server, agent, session } = body(request).await?;
        let owner = owner(agent.as_deref())?;
        let story = sources.gate.why(&Principal::local(), &owner, &server, session.as_ref())?;
        let defined = sources.operator.defined(&owner, &server);
        Ok(Json(Answer { story, defined }).into_response())
    };
    told.await.unwrap_or_else(|problem: Problem| problem.respond(&id))
}

/// One event a line, as JSON.
async fn events(State(sources): State<Sources>, request: Request) -> Response {
    let id = RequestId::of(&request);
    match body::<Wanted>(request).await {
        Ok(wanted) => {
            let lines = Body::from_stream(lines(&sources, wanted));
            ([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response()
        }
        Err(problem) => problem.respond(&id),
    }
}

fn lines(
    sources: &Sources,
    wanted: Wanted,
) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let Wanted { server, follow } = wanted;
    let (kept, next) = sources.gate.follow(&Principal::local());
    let next = if follow { next.boxed() } else { stream::empty().boxed() };
    let is_wanted = move |heard: &Heard| match (heard, &server) {
        (Heard::Event(event), Some(server)) => event.server == *server,
        (Heard::Lost { .. }, _) | (_, None) => true,
    };
    stream::iter(kept.into_iter().map(Heard::Event))
        .chain(next)
        .filter(move |heard| ready(is_wanted(heard)))
        .take_until(sources.stopping.clone().cancelled_owned())
        .filter_map(|heard| ready(line(&heard).map(Ok)))
}

fn line(heard: &Heard) -> Option<Bytes> {
    let mut line = serde_json::to_vec(heard).ok()?;
    line.push(b'\n');
    Some(line.into())
}
