//! The relay against instances that misbehave; a good one stands in the tests of the program.

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use futures::stream;
use serde_json::{Value, json};
use tokio::{net::UnixListener, task::JoinSet};

use super::{relay, *};
use crate::{app::state::StateDir, face::control::SOCKET};

/// Everything that a client reads, and how the relay ends.
async fn converse(instance: Option<Router>, lines: &[Value]) -> (Vec<Value>, Result<()>) {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = JoinSet::new();
    if let Some(instance) = instance {
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        serving.spawn(axum::serve(listener, instance).into_future());
    }
    let state = StateDir::locate(Some(folder.path()), None).unwrap();
    let input = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let mut output = Vec::new();
    let ended = relay(input.as_bytes(), &mut output, Control::of(&state), "/mcp".to_owned()).await;
    let lines = String::from_utf8(output).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), ended)
}

fn modern_call() -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "t",
        "arguments": {"region": "größe"},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
    }})
}

fn legacy_call() -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "t"}})
}

#[tokio::test]
async fn a_call_whose_tool_wants_headers_is_sent_again_with_them() {
    async fn mcp(headers: HeaderMap) -> Response {
        match headers.get("mcp-param-region") {
            None => {
                let error = json!({"code": -32020, "message": "the header is missing"});
                let body = Json(json!({"jsonrpc": "2.0", "id": null, "error": error}));
                (StatusCode::BAD_REQUEST, body).into_response()
            }
            Some(value) => {
                let result = json!({"said": value.to_str().unwrap()});
                Json(json!({"jsonrpc": "2.0", "id": 7, "result": result})).into_response()
            }
        }
    }
    let schema = json!({"properties": {"region": {"x-mcp-header": "Region"}}});
    let tools = Json(json!({"tools": [{"name": "s"}, {"name": "t", "inputSchema": schema}]}));
    let instance = Router::new().route("/mcp", post(mcp)).route("/tools", get(async move || tools));
    let (lines, ended) = converse(Some(instance), &[modern_call()]).await;
    assert_eq!(lines[0]["result"]["said"], "=?base64?Z3LDtsOfZQ==?=");
    assert!(ended.is_ok() && lines.len() == 1, "{lines:#?}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_leaves_an_unknown_outcome() {
    async fn mcp() -> Response {
        let progress = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
        let pieces = [Ok::<_, std::io::Error>(progress), Err(std::io::Error::other("gone"))];
        let body = Body::from_stream(stream::iter(pieces));
        ([("content-type", "text/event-stream")], body).into_response()
    }
    let instance = Router::new().route("/mcp", post(mcp));
    let (lines, ended) = converse(Some(instance), &[modern_call()]).await;
    let (last, before) = lines.split_last().unwrap();
    assert_eq!((&last["id"], &last["error"]["code"]), (&json!(7), &json!(-31005)));
    assert!(before.iter().all(|line| line["method"] == "notifications/progress"));
    assert!(ended.is_err());
}

#[tokio::test]
async fn a_forgotten_session_is_told_and_ends_the_relay() {
    async fn mcp(headers: HeaderMap) -> Response {
        if headers.contains_key("mcp-session-id") {
            let error = json!({"code": -32600, "message": "no such session"});
            let body = Json(json!({"jsonrpc": "2.0", "id": null, "error": error}));
            return (StatusCode::NOT_FOUND, body).into_response();
        }
        let result = json!({"protocolVersion": "2025-11-25"});
        let body = Json(json!({"jsonrpc": "2.0", "id": 1, "result": result}));
        ([("mcp-session-id", "s")], body).into_response()
    }
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
    let instance = Router::new().route("/mcp", post(mcp));
    let (lines, ended) = converse(Some(instance), &[hello, legacy_call()]).await;
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert_eq!((&lines[1]["id"], &lines[1]["error"]["code"]), (&json!(7), &json!(-31001)));
    assert!(ended.unwrap_err().to_string().contains("no longer knows"));
}

#[tokio::test]
async fn a_request_to_nobody_was_not_sent() {
    let (lines, ended) = converse(None, &[modern_call()]).await;
    assert_eq!(lines[0]["error"]["code"], -31001);
    assert!(lines.len() == 1 && ended.is_err(), "{lines:#?}");
}

#[tokio::test]
async fn a_refusal_of_nobodys_message_is_given_to_its_sender() {
    async fn mcp() -> Response {
        let error = json!({"code": -32600, "message": "the body is too long"});
        let body = Json(json!({"jsonrpc": "2.0", "id": null, "error": error}));
        (StatusCode::PAYLOAD_TOO_LARGE, body).into_response()
    }
    let instance = Router::new().route("/mcp", post(mcp));
    let (lines, ended) = converse(Some(instance), &[legacy_call()]).await;
    let told = json!({"code": -32600, "message": "the body is too long"});
    assert_eq!((&lines[0]["id"], &lines[0]["error"]), (&json!(7), &told));
    assert!(ended.is_ok(), "the conversation goes on");
}

#[tokio::test]
async fn a_refused_batch_is_answered_and_a_batch_of_notifications_is_not() {
    async fn mcp(body: String) -> Response {
        if body.contains("notifications/") {
            return StatusCode::ACCEPTED.into_response();
        }
        let error = json!({"code": -32600, "message": "no batches"});
        let body = Json(json!({"jsonrpc": "2.0", "id": null, "error": error}));
        (StatusCode::BAD_REQUEST, body).into_response()
    }
    let told = json!([{"jsonrpc": "2.0", "method": "notifications/x"}]);
    let array = json!(["2.0", 1, "ping"]);
    let instance = Router::new().route("/mcp", post(mcp));
    let (heard, ended) = converse(Some(instance), &[told, array]).await;
    let [answer] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32600)));
    ended.unwrap();
}
