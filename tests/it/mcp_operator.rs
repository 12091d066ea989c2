//! What an operator asks: health over HTTP, and the control socket.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use futures::future::{BoxFuture, FutureExt as _};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use switchboard::{
    access::Gate,
    error::Kind,
    face::{
        control::{ControlError, ControlSocket, SOCKET},
        http::{HttpFace, HttpFaceConfig, HttpFaceError},
        operator::{AddServer, Done, Operator, Refusal, RemoveServer},
    },
    id::{Owner, ServerName},
};
use tempfile::TempDir;

use crate::{
    mcp_host::{BODY_BYTES, Host, modern, runtime},
    support::{script::Script, wait::PATIENCE},
};

/// An instance whose configuration never changes.
#[derive(Debug)]
struct Fixed;

impl Operator for Fixed {
    fn reload(&self) -> BoxFuture<'_, Done> {
        refused()
    }

    fn add(&self, _: AddServer) -> BoxFuture<'_, Done> {
        refused()
    }

    fn remove(&self, _: RemoveServer) -> BoxFuture<'_, Done> {
        refused()
    }

    fn defined(&self, _: &Owner, _: &ServerName) -> Option<String> {
        None
    }
}

fn refused() -> BoxFuture<'static, Done> {
    let text = "it is fixed".to_owned();
    std::future::ready(Err(Refusal { kind: Kind::Invalid, code: Some("fixed"), text })).boxed()
}

async fn control(directory: &Path, gate: &Arc<Gate>) -> Result<ControlSocket, ControlError> {
    let config = HttpFaceConfig::default();
    ControlSocket::start(directory, &config, BODY_BYTES, Arc::clone(gate), Arc::new(Fixed)).await
}

fn http(directory: &TempDir) -> reqwest::Client {
    let socket = directory.path().join(SOCKET);
    reqwest::Client::builder().no_proxy().unix_socket(socket).build().unwrap()
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let expected = if status == 200 { "application/json" } else { "application/problem+json" };
    assert_eq!(kind, expected);
    (status, response.json().await.unwrap())
}

#[tokio::test]
async fn health_says_whether_to_send_traffic() {
    let host = Host::start(Script::new().echo()).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| {
        let response = http.get(host.url(path)).send().await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store");
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap())
    };
    let (status, body) = get("/health").await;
    assert_eq!(status, 200);
    for (key, expected) in [
        ("status", json!("healthy")),
        ("services_count", json!(1)),
        ("tools_count", json!(1)),
        ("active_connections", json!(1)),
        ("total_requests", json!(0)),
    ] {
        assert_eq!(body[key], expected, "{key}");
    }
    assert!(body.get("servers").is_none());
    assert_eq!(get("/health/live").await.0, 200);
    assert_eq!(get("/health/ready").await.0, 200);
    let (_, detailed) = get("/health/detailed").await;
    assert_eq!(detailed["servers"][0]["server"], "demo");
    host.runtime.drain(PATIENCE).await;
    assert_eq!(get("/health").await.0, 200);
    assert_eq!(get("/health/live").await.0, 200);
    let (status, body) = get("/health/ready").await;
    assert_eq!((status, &body["status"]), (503, &json!("draining")));
    assert_eq!(get("/health/detailed").await.0, 503);
    host.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_a_remedy() {
    let host = Host::start(Script::new()).await;
    let port = host.url("").rsplit(':').next().unwrap().parse().unwrap();
    let config = HttpFaceConfig { port, ..HttpFaceConfig::default() };
    let error = HttpFace::bind(&config).await.unwrap_err();
    assert!(matches!(error, HttpFaceError::Bind { .. }));
    let text = error.to_string();
    assert!(text.contains(&port.to_string()) && text.contains("--port"), "{text}");
    host.stop().await;
}

#[tokio::test]
async fn the_control_socket_answers_the_command_line() {
    let (_runtime, gate) = runtime(&Script::new().echo(), 1000).await;
    let directory = tempfile::tempdir().unwrap();
    let socket = control(directory.path(), &gate).await.unwrap();
    let mode = std::fs::metadata(socket.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let http = http(&directory);
    let url = |path: &str| format!("http://localhost{path}");

    let (status, body) = answer(http.get(url("/status"))).await;
    assert_eq!((status, &body["servers"][0]["server"]), (200, &json!("demo")));
    let (_, body) = answer(http.get(url("/tools"))).await;
    assert_eq!(body["tools"][0]["name"], "demo_echo");
    let (_, body) = answer(http.get(url("/tools?agent=research"))).await;
    assert_eq!(body, json!({"tools": []}));
    let call = json!({"tool": "demo_echo", "arguments": {"a": 1}, "timeout_ms": 60000});
    let (status, body) = answer(http.post(url("/call")).json(&call)).await;
    assert_eq!((status, &body["content"][0]["text"]), (200, &json!(r#"{"a":1}"#)));
    let (status, _) = answer(http.post(url("/restart")).json(&json!({"server": "demo"}))).await;
    assert_eq!(status, 200);

    for (request, status, code) in [
        (http.get(url("/tools?agent=nobody")), 404, "not_found"),
        (http.get(url("/tools?agents=x")), 400, "invalid"),
        (http.post(url("/call")).json(&json!({"tool": "nothing"})), 404, "not_found"),
        (http.post(url("/call")).json(&json!({"tol": "typo"})), 400, "invalid"),
        (http.post(url("/restart")).json(&json!({"server": "nobody"})), 404, "not_found"),
    ] {
        let request = request.header("x-request-id", "r-7");
        let (found, problem) = answer(request).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{problem}");
        assert_eq!(problem["request_id"], "r-7");
        assert_eq!(problem["status"], status);
    }

    let list =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": modern(json!({}))});
    let post = http
        .post(url("/mcp"))
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list");
    let (status, body) = answer(post.json(&list)).await;
    assert_eq!((status, &body["result"]["tools"][0]["name"]), (200, &json!("demo_echo")));
    socket.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_socket_is_taken_over_only_if_nobody_answers() {
    let (_runtime, gate) = runtime(&Script::new(), 1000).await;
    let directory = tempfile::tempdir().unwrap();
    let first = control(directory.path(), &gate).await.unwrap();
    let second = control(directory.path(), &gate).await;
    assert!(matches!(second, Err(ControlError::InUse(_))));
    assert_eq!(answer(http(&directory).get("http://localhost/status")).await.0, 200);
    first.stop(PATIENCE).await;
    assert!(!directory.path().join(SOCKET).exists());

    drop(std::os::unix::net::UnixListener::bind(directory.path().join(SOCKET)).unwrap());
    let third = control(directory.path(), &gate).await.unwrap();
    assert_eq!(answer(http(&directory).get("http://localhost/status")).await.0, 200);
    third.stop(PATIENCE).await;
}
