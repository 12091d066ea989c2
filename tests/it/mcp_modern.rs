//! The modern era over HTTP: stateless requests, their headers and statuses, streams.

use rmcp::model::{ProgressNotificationParam, ProgressToken};
use serde_json::{Value, json};
use switchboard::{face::http::HttpFaceConfig, wire::Revision};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    mcp_host::{BODY_BYTES, Events, Host, modern, modern_post, talkative},
    support::{
        http::{Client, single},
        schema::assert_valid,
        script::{Call, Script, text},
        wait::PATIENCE,
    },
};

/// A tool that reports progress twice, then answers.
pub async fn step(call: Call) -> Result<rmcp::model::CallToolResult, rmcp::ErrorData> {
    let token: ProgressToken = call.context.meta.get_progress_token().unwrap();
    for progress in [1.0, 2.0] {
        let params = ProgressNotificationParam::new(token.clone(), progress);
        call.context.peer.notify_progress(params).await.unwrap();
    }
    Ok(text("stepped"))
}

/// Sends a request and gives status, error code and body.
async fn refused(request: reqwest::RequestBuilder) -> (u16, Option<i64>, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["error"]["code"].as_i64(), body)
}

#[tokio::test]
async fn a_modern_client_discovers_lists_and_calls() {
    let host = Host::start(Script::new().echo()).await;
    let client = host.client();
    let discovered = client.modern("server/discover", json!({})).await;
    let result = discovered.result();
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(
        result["capabilities"],
        json!({
            "logging": {},
            "tools": {"listChanged": true},
            "prompts": {"listChanged": true},
            "resources": {"listChanged": true, "subscribe": true},
            "completions": {},
            "extensions": {"io.modelcontextprotocol/tasks": {}},
        })
    );
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "switchboard");

    let listed = client.modern("tools/list", json!({})).await;
    assert_eq!(listed.result()["tools"][0]["name"], "demo_echo");
    assert_eq!(listed.result()["cacheScope"], "private");

    let called = client.call("demo_echo", json!({"a": 1})).await;
    assert_eq!(called.text(), r#"{"a":1}"#);
    assert_eq!(called.headers["content-type"], "application/json");
    assert!(called.headers.contains_key("x-request-id"));
    let result = called.result();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "switchboard");
    host.stop().await;
}

#[tokio::test]
async fn a_list_comes_in_pages_that_go_on_by_name() {
    let mut script = Script::new();
    for tool in ["a", "b", "c", "d", "e"] {
        script = script.tool(tool, async |_| Ok(text("x")));
    }
    let host = Host::with(script, HttpFaceConfig::default(), 2).await;
    let client = host.client();
    let names = |tools: &[Value]| {
        let names = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&client.tools().await), ["demo_a", "demo_b", "demo_c", "demo_d", "demo_e"]);
    let first = client.modern("tools/list", json!({})).await;
    let cursor = first.result()["nextCursor"].clone();
    host.grow("bb").await;
    let second = client.modern("tools/list", json!({ "cursor": cursor })).await;
    let second = second.result()["tools"].as_array().unwrap().clone();
    assert_eq!(names(&second), ["demo_bb", "demo_c"]);
    for unusable in [json!("nonsense"), json!(""), json!(7), json!(null)] {
        let reply = client.modern("tools/list", json!({ "cursor": unusable })).await;
        assert_eq!(reply.error()["code"], -32602, "{unusable}");
    }
    let elsewhere = Client::new(host.url("/mcp/research"));
    let reply = elsewhere.modern("tools/list", json!({ "cursor": cursor })).await;
    assert_eq!(reply.error()["code"], -32602);
    host.stop().await;
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_with_the_rules_status_and_code() {
    let host = Host::start(Script::new().echo()).await;
    let client = host.client();
    let call = json!({"name": "demo_echo", "arguments": {}});
    let bare = || client.post();
    let message = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    let name = ("mcp-name", "demo_echo");
    let with = |headers: &[(&'static str, &'static str)], body: Value| {
        headers.iter().fold(bare(), |post, (key, value)| post.header(*key, *value)).json(&body)
    };
    let whole = message("tools/call", modern(call.clone()));
    let unsupported = {
        let mut params = modern(call.clone());
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
        message("tools/call", params)
    };
    let future = ("mcp-protocol-version", "2099-01-01");
    let bare_meta = {
        let mut params = modern(call.clone());
        let meta = params["_meta"].as_object_mut().unwrap();
        meta.remove("io.modelcontextprotocol/clientCapabilities");
        message("tools/call", params)
    };
    for (request, status, code) in [
        (with(&[version, name], whole.clone()), 400, -32020),
        (with(&[version, method], whole.clone()), 400, -32020),
        (with(&[method, name], whole.clone()), 400, -32020),
        (with(&[version, method, ("mcp-name", "other")], whole.clone()), 400, -32020),
        (with(&[version, ("mcp-method", "tools/list"), name], whole.clone()), 400, -32020),
        (with(&[("mcp-protocol-version", "2025-11-25"), method, name], whole), 400, -32020),
        (with(&[future, method, name], unsupported), 400, -32022),
        (with(&[version, method, name], message("tools/call", call.clone())), 400, -32602),
        (with(&[version, method, name], bare_meta), 400, -32602),
        (with(&[], message("server/discover", json!({}))), 400, -32602),
        (modern_post(&client, &json!(1), "ping", json!({})), 404, -32601),
        (modern_post(&client, &json!(1), "resources/subscribe", json!({})), 404, -32601),
        (modern_post(&client, &json!(1), "tools/call", json!({"name": "git_log"})), 200, -32602),
        (modern_post(&client, &json!(1), "tools/call", json!({})), 200, -32602),
        (modern_post(&client, &json!(1), "subscriptions/listen", json!({})), 200, -32602),
        (bare().body("{").header("content-type", "application/json"), 400, -32700),
        (bare().json(&json!({"id": 1, "method": "x"})), 400, -32600),
    ] {
        let (found, found_code, body) = refused(request).await;
        assert_eq!((found, found_code), (status, Some(code)), "{body}");
        assert_valid(Revision::LATEST, "JSONRPCErrorResponse", &without_null_id(body));
    }
    host.stop().await;
}

/// The schema knows errors without an id, JSON-RPC those with a null one.
fn without_null_id(mut body: Value) -> Value {
    if body["id"].is_null() {
        body.as_object_mut().unwrap().remove("id");
    }
    body
}

#[tokio::test]
async fn the_http_around_a_message_is_checked_too() {
    let host = Host::start(Script::new().echo()).await;
    let client = host.client();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = host.url("/mcp");
    let list = || modern_post(&client, &json!(1), "tools/list", json!({}));
    let plain = |accept: &str, kind: &str| {
        http.post(&url).header("accept", accept).header("content-type", kind).body("{}")
    };
    let long = json!({"name": "demo_echo", "arguments": {"a": "x".repeat(BODY_BYTES)}});
    for (what, request, status) in [
        ("GET", http.get(&url), 405),
        ("DELETE", http.delete(&url), 405),
        ("PUT", http.put(&url), 405),
        ("accept", plain("application/json", "application/json"), 406),
        ("kind", plain("application/json, text/event-stream", "text/plain"), 415),
        ("length", modern_post(&client, &json!(1), "tools/call", long), 413),
        ("host", list().header("host", "evil.example.com"), 403),
        ("origin", list().header("origin", "https://evil.example.com"), 403),
        ("null origin", list().header("origin", "null"), 403),
        ("own origin", list().header("origin", "http://localhost:5173"), 200),
        ("local name", list().header("host", "localhost"), 200),
        ("session", list().header("mcp-session-id", "ignored"), 200),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{what}");
    }
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/cancelled"});
    let post = client.post().header("mcp-protocol-version", "2026-07-28");
    let told =
        post.header("mcp-method", "notifications/cancelled").json(&notification).send().await;
    assert_eq!(told.unwrap().status().as_u16(), 202);
    let nobody = Client::new(host.url("/mcp/nobody"));
    let (status, code, _) = refused(modern_post(&nobody, &json!(1), "tools/list", json!({}))).await;
    assert_eq!((status, code), (404, Some(-32602)));
    let denied = list().header("host", "evil.example.com").send().await.unwrap();
    assert_eq!(denied.headers()["content-type"], "application/problem+json");
    let problem: Value = denied.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&json!("denied"), &json!(403)));
    host.stop().await;
}

#[tokio::test]
async fn an_agent_sees_and_calls_only_what_is_its_own() {
    let host = Host::start(Script::new().echo()).await;
    let research = Client::new(host.url("/mcp/research"));
    assert!(research.tools().await.is_empty());
    let reply = research.call("demo_echo", json!({})).await;
    let unknown = research.call("demo_nothing", json!({})).await;
    let message = |reply: &Value| reply["message"].as_str().unwrap().replace("nothing", "echo");
    assert_eq!(reply.error()["code"], -32602);
    assert_eq!(message(reply.error()), message(unknown.error()));
    assert!(host.script.calls().is_empty());
    host.stop().await;
}

#[tokio::test]
async fn progress_is_streamed_with_the_clients_own_token_before_the_answer() {
    let host = Host::start(Script::new().tool("step", step)).await;
    let client = host.client();
    let params = json!({"name": "demo_step", "_meta": {"progressToken": "mine"}});
    let response = modern_post(&client, &json!("call-1"), "tools/call", params).send().await;
    let mut events = Events::of(Revision::LATEST, response.unwrap());
    for progress in [1.0, 2.0] {
        let message = events.message().await;
        assert_valid(Revision::LATEST, "ProgressNotification", &message);
        assert_eq!(message["params"]["progressToken"], "mine");
        assert_eq!(message["params"]["progress"].as_f64(), Some(progress));
    }
    let answer = events.message().await;
    assert_eq!(answer["id"], "call-1");
    assert_eq!(answer["result"]["content"][0]["text"], "stepped");
    assert!(events.next().await.is_none());
    host.stop().await;
}

#[tokio::test]
async fn a_slow_answer_gets_its_head_early_and_signs_of_life() {
    let (release, held) = mpsc::channel::<()>(1);
    let held = std::sync::Arc::new(tokio::sync::Mutex::new(held));
    let script = Script::new().tool("slow", move |_| {
        let held = std::sync::Arc::clone(&held);
        async move {
            held.lock().await.recv().await;
            Ok(text("at last"))
        }
    });
    let host = Host::with(script, talkative(), 1000).await;
    let client = host.client();
    let params = json!({"name": "demo_slow"});
    let response = modern_post(&client, &json!(1), "tools/call", params).send().await;
    let mut response = response.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let alive = timeout(PATIENCE, response.chunk()).await.unwrap().unwrap().unwrap();
    assert_eq!(&*alive, b": keep-alive\n\n");
    release.send(()).await.unwrap();
    let answer = Events::of(Revision::LATEST, response).message().await;
    assert_eq!(answer["result"]["content"][0]["text"], "at last");
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_call() {
    let (started, mut starts) = mpsc::channel(1);
    let (ended, mut ends) = mpsc::channel(1);
    let script = Script::new().tool("hang", move |call| {
        let (started, ended) = (started.clone(), ended.clone());
        async move {
            started.send(()).await.unwrap();
            call.context.ct.cancelled().await;
            ended.send(()).await.unwrap();
            Ok(text("nobody reads this"))
        }
    });
    let host = Host::start(script).await;
    let client = host.client();
    let params = json!({"name": "demo_hang"});
    let mut call = Box::pin(modern_post(&client, &json!(1), "tools/call", params).send());
    tokio::select! {
        _ = &mut call => panic!("the call hangs"),
        started = timeout(PATIENCE, starts.recv()) => started.unwrap().unwrap(),
    }
    drop(call);
    timeout(PATIENCE, ends.recv()).await.expect("cancelled").unwrap();
    host.stop().await;
}

#[tokio::test]
async fn a_listener_is_acknowledged_told_of_changes_and_ended_with_a_result() {
    let host = Host::start(Script::new().echo()).await;
    let client = host.client();
    let filter = json!({"notifications": {"toolsListChanged": true, "unheardOf": true}});
    let response = modern_post(&client, &json!("l-1"), "subscriptions/listen", filter).send().await;
    let mut events = Events::of(Revision::LATEST, response.unwrap());
    let subscription = "io.modelcontextprotocol/subscriptionId";
    let acknowledged = events.message().await;
    assert_valid(Revision::LATEST, "SubscriptionsAcknowledgedNotification", &acknowledged);
    assert_eq!(acknowledged["params"]["notifications"], json!({"toolsListChanged": true}));
    assert_eq!(acknowledged["params"]["_meta"][subscription], "l-1");
    host.grow("more").await;
    let changed = events.message().await;
    assert_valid(Revision::LATEST, "ToolListChangedNotification", &changed);
    assert_eq!(changed["params"]["_meta"][subscription], "l-1");
    host.stop().await;
    let ended = events.message().await;
    assert_valid(Revision::LATEST, "SubscriptionsListenResultResponse", &ended);
    assert_eq!(ended["result"]["_meta"][subscription], "l-1");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_runtime_that_drains_sends_its_callers_elsewhere() {
    let host = Host::start(Script::new().echo()).await;
    assert_eq!(host.runtime.drain(PATIENCE).await, 0);
    let client = host.client();
    let params = json!({"name": "demo_echo"});
    let response = modern_post(&client, &json!(1), "tools/call", params).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let body = single(Revision::LATEST, response).await;
    assert_eq!(body["error"]["code"], -31003);
    host.stop().await;
}

#[tokio::test]
async fn a_path_that_is_no_text_is_a_problem() {
    let host = Host::start(Script::new().echo()).await;
    let url = host.url("/mcp/%ff");
    let response = reqwest::Client::new().post(url).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].clone();
    let problem: Value = response.json().await.unwrap();
    assert_eq!(
        (problem["code"].as_str(), problem["request_id"].as_str()),
        (Some("invalid"), id.to_str().ok())
    );
    host.stop().await;
}
