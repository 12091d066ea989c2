//! The tools that we answer ourselves: what an agent may know about the servers that it sees.
//!
//! Sentences of our own and plain facts: no error output and no other word of a server stands in
//! them. Answered from memory, so they work while everything else does not.

use std::sync::LazyLock;

use serde::Serialize;

use super::{Answer, CallError, CallRequest, Health, Scope, Story};
use crate::{
    catalog::OwnTool,
    id::{Incarnation, ServerName, SessionKey},
    restart::State,
    wire::{Object, RawValue, raw},
};

/// The result of a tool.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolResult<S> {
    content: [Text; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<S>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_error: bool,
}

#[derive(Serialize)]
struct Text {
    r#type: &'static str,
    text: String,
}

/// What is told of one server.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    server: &'a ServerName,
    state: State,
    health: Health,
    incarnation: Incarnation,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_ms: Option<u64>,
    waiting: usize,
    explanation: &'a str,
}

impl<'a> Told<'a> {
    fn of(story: &'a Story) -> Self {
        let Story { status, explanation, .. } = story;
        let millis =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            server: &status.server,
            state: status.state,
            health: status.health,
            incarnation: status.incarnation,
            next_try_ms: status.next_try.map(millis),
            waiting: status.waiting,
            explanation: &explanation.brief,
        }
    }
}

/// Answers one of our own tools for whoever has this scope.
pub(super) fn answer(
    scope: &Scope,
    tool: OwnTool,
    request: &CallRequest,
) -> Result<Answer, CallError> {
    let session = request.session.as_ref();
    let result = match tool {
        OwnTool::Status => status(scope, session),
        OwnTool::Why => why(scope, session, &wanted(&request.params)?),
    };
    Ok(Answer::of(OURSELVES.clone(), result))
}

/// Who answers, in traces and logs.
static OURSELVES: LazyLock<ServerName> = LazyLock::new(ServerName::ourselves);

fn status(scope: &Scope, session: Option<&SessionKey>) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Servers<'a> {
        servers: Vec<Told<'a>>,
    }
    let seen = scope.seen();
    let stories: Vec<Story> =
        seen.iter().filter_map(|server| scope.story(server, session)).collect();
    let lines: Vec<&str> = stories.iter().map(|story| &*story.explanation.brief).collect();
    let text = if lines.is_empty() { "There are no servers.".to_owned() } else { lines.join("\n") };
    result(text, Some(Servers { servers: stories.iter().map(Told::of).collect() }), false)
}

fn why(scope: &Scope, session: Option<&SessionKey>, wanted: &str) -> Box<RawValue> {
    let story = ServerName::new(wanted).ok().and_then(|server| scope.story(&server, session));
    if let Some(story) = story {
        return result(story.explanation.brief.clone(), Some(Told::of(&story)), false);
    }
    let seen = scope.seen();
    let names: Vec<&str> = seen.iter().map(ServerName::as_str).collect();
    let text = format!("There is no server {wanted:?}; yours are: {}.", names.join(", "));
    result(text, None::<Told<'_>>, true)
}

fn result(text: String, structured: Option<impl Serialize>, is_error: bool) -> Box<RawValue> {
    let content = [Text { r#type: "text", text }];
    raw(&ToolResult { content, structured_content: structured, is_error })
}

/// The server that is asked about.
fn wanted(params: &RawValue) -> Result<String, CallError> {
    let params = Object::read(params);
    let arguments = params.as_ref().and_then(|params| Object::read(params.get("arguments")?));
    let server = arguments.as_ref().and_then(|arguments| arguments.text("server"));
    let missing = || CallError::Invalid("`arguments.server` is not a text".to_owned());
    server.map(std::borrow::Cow::into_owned).ok_or_else(missing)
}
