//! The legacy era over HTTP: sessions, their streams, resumption, batches, cancellation.

use std::sync::Arc;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use switchboard::{face::http::HttpFaceConfig, wire::Revision};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use crate::{
    mcp_host::{Events, Host},
    mcp_modern::step,
    support::{
        http::{Session, single},
        script::{Script, text},
        tap::tapped,
        wait::PATIENCE,
    },
};

const LEGACY: [Revision; 4] =
    [Revision::V2024_11_05, Revision::V2025_03_26, Revision::V2025_06_18, Revision::V2025_11_25];

/// A tool that reports progress, waits for a permit, then answers.
pub fn gated(gate: &Arc<Semaphore>) -> Script {
    let gate = Arc::clone(gate);
    Script::new().tool("gated", move |call| {
        let gate = Arc::clone(&gate);
        async move {
            let token = call.context.meta.get_progress_token().unwrap();
            let params = rmcp::model::ProgressNotificationParam::new(token, 1.0);
            call.context.peer.notify_progress(params).await.unwrap();
            gate.acquire().await.unwrap().forget();
            Ok(text("through"))
        }
    })
}

fn request(id: u64, method: &str, params: impl Into<Value>) -> Value {
    let params = params.into();
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn progressing(tool: &str) -> Value {
    json!({"name": tool, "_meta": {"progressToken": 7}})
}

/// What a session's requests carry, on any method and with any further header.
pub fn of_session(session: &Session<'_>, method: reqwest::Method, url: &str) -> RequestBuilder {
    let template = session.post().build().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.request(method, url).headers(template.headers().clone())
}

fn stream(session: &Session<'_>, host: &Host) -> RequestBuilder {
    of_session(session, reqwest::Method::GET, &host.url("/mcp"))
}

#[tokio::test]
async fn every_legacy_revision_is_agreed_on_and_served() {
    let host = Host::start(Script::new().echo()).await;
    let client = host.client();
    for revision in LEGACY {
        let session = client.initialize(revision).await;
        assert_eq!(session.server["protocolVersion"], json!(revision));
        let mut offered = json!({
            "logging": {},
            "tools": {"listChanged": true},
            "prompts": {"listChanged": true},
            "resources": {"listChanged": true, "subscribe": true},
            "completions": {},
        });
        if revision == Revision::V2025_11_25 {
            let calls = json!({"tools": {"call": {}}});
            offered["tasks"] = json!({"list": {}, "cancel": {}, "requests": calls});
        }
        assert_eq!(session.server["capabilities"], offered);
        assert_eq!(session.request("ping", json!({})).await.result(), &json!({}));
        let listed = session.request("tools/list", json!({})).await;
        assert_eq!(listed.result()["tools"][0]["name"], "demo_echo");
        assert!(listed.result().get("ttlMs").is_none());
        let called = session.call("demo_echo", json!({"a": 1})).await;
        assert_eq!(called.text(), r#"{"a":1}"#);
        assert!(called.result().get("resultType").is_none());
        for unknown in ["server/nothing", "subscriptions/nothing"] {
            let reply = session.request(unknown, json!({})).await;
            assert_eq!((reply.status, &reply.error()["code"]), (200, &json!(-32601)));
        }
        assert_eq!(session.call("git_log", json!({})).await.error()["code"], -32602);
        assert_eq!(session.end().await, 204);
    }
    let params = json!({"protocolVersion": "2026-07-28", "capabilities": {}, "clientInfo": {}});
    let reply = client.post().json(&request(1, "initialize", params)).send().await.unwrap();
    let reply = single(Revision::LATEST_LEGACY, reply).await;
    assert_eq!(reply["result"]["protocolVersion"], "2025-11-25");
    host.stop().await;
}

#[tokio::test]
async fn a_session_is_required_and_belongs_to_its_address() {
    let host = Host::start(Script::new().echo()).await;
    let client = host.client();
    let session = client.initialize(Revision::V2025_06_18).await;
    let list = request(1, "tools/list", json!({}));
    let url = host.url("/mcp");
    let post = |url: &str| of_session(&session, reqwest::Method::POST, url).json(&list);
    let status = async |request: RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(post(&url)).await, 200);
    assert_eq!(status(post(&host.url("/mcp/research"))).await, 404);
    assert_eq!(status(client.post().json(&list)).await, 400);
    assert_eq!(status(client.post().header("mcp-session-id", "guess").json(&list)).await, 404);
    let stray = post(&url).header("mcp-protocol-version", "1.0");
    assert_eq!(status(stray).await, 400);
    let get = of_session(&session, reqwest::Method::GET, &url);
    assert_eq!(status(get.header("last-event-id", "9_9")).await, 400);
    let ended = of_session(&session, reqwest::Method::DELETE, &url);
    assert_eq!(session.end().await, 204);
    assert_eq!(status(ended).await, 404);
    host.stop().await;
}

#[tokio::test]
async fn sessions_have_a_cap() {
    let config = HttpFaceConfig { max_sessions: 1, ..HttpFaceConfig::default() };
    let host = Host::with(Script::new().echo(), config, 1000).await;
    let client = host.client();
    let session = client.initialize(Revision::V2025_06_18).await;
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {}});
    let open = || client.post().json(&request(1, "initialize", params.clone())).send();
    assert_eq!(open().await.unwrap().status().as_u16(), 503);
    session.end().await;
    assert_eq!(open().await.unwrap().status().as_u16(), 200);
    host.stop().await;
}

#[tokio::test]
async fn batches_are_served_where_the_revision_has_them() {
    let host = Host::start(Script::new().echo()).await;
    let client = host.client();
    let batch = json!([
        request(1, "ping", json!({})),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        request(2, "tools/call", json!({"name": "demo_echo", "arguments": {"a": 1}})),
        {"nonsense": true},
    ]);
    let modern = client.post().header("mcp-protocol-version", Revision::LATEST.as_str());
    let refused: Value = modern.json(&batch).send().await.unwrap().json().await.unwrap();
    let why = refused["error"]["message"].as_str().unwrap();
    assert!(why.starts_with("revision 2026-07-28 has no batches"), "{refused}");
    for revision in LEGACY {
        let session = client.initialize(revision).await;
        let response = session.post().json(&batch).send().await.unwrap();
        if !revision.has_batches() {
            assert_eq!(response.status().as_u16(), 400);
            continue;
        }
        let answers = single(revision, response).await;
        let answers = answers.as_array().unwrap();
        assert_eq!(answers.len(), 3, "{answers:?}");
        let of = |id: Value| answers.iter().find(|answer| answer["id"] == id).unwrap();
        assert_eq!(of(json!(1))["result"], json!({}));
        assert_eq!(of(json!(2))["result"]["content"][0]["text"], r#"{"a":1}"#);
        assert_eq!(of(json!(null))["error"]["code"], -32600);
        let quiet = json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]);
        let response = session.post().json(&quiet).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 202);
        let empty = session.post().json(&json!([])).send().await.unwrap();
        assert_eq!(empty.status().as_u16(), 400);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_lost_connection_does_not_cancel_and_its_answer_is_resumed() {
    let gate = Arc::new(Semaphore::new(0));
    let host = Host::start(gated(&gate)).await;
    let client = host.client();
    for revision in LEGACY {
        let session = client.initialize(revision).await;
        let call = request(5, "tools/call", progressing("demo_gated"));
        let mut lost =
            Events::of(session.revision(), session.post().json(&call).send().await.unwrap());
        if revision == Revision::V2025_11_25 {
            let primer = lost.next().await.unwrap();
            assert!(primer.data.is_null() && primer.id.is_some());
        }
        let seen = lost.next().await.unwrap();
        assert_eq!(seen.data["params"]["progressToken"], 7);
        drop(lost);
        gate.add_permits(1);
        let resume = stream(&session, &host).header("last-event-id", seen.id.unwrap());
        let mut resumed = Events::of(session.revision(), resume.send().await.unwrap());
        let answer = resumed.message().await;
        assert_eq!(
            (&answer["id"], &answer["result"]["content"][0]["text"]),
            (&json!(5), &json!("through"))
        );
        assert!(resumed.next().await.is_none());
        session.end().await;
    }
    assert_eq!(host.script.calls().len(), LEGACY.len());
    host.stop().await;
}

#[tokio::test]
async fn progress_is_streamed_before_the_answer() {
    let host = Host::start(Script::new().tool("step", step)).await;
    let client = host.client();
    let session = client.initialize(Revision::V2025_06_18).await;
    let reply = session.request("tools/call", progressing("demo_step")).await;
    let progress = reply.notifications("notifications/progress");
    assert_eq!(progress.len(), 2);
    assert!(progress.iter().all(|message| message["params"]["progressToken"] == 7));
    assert_eq!(reply.text(), "stepped");
    host.stop().await;
}

#[tokio::test]
async fn a_call_is_cancelled_by_notification_and_by_the_sessions_end() {
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
    let session = client.initialize(Revision::V2025_03_26).await;
    let hang = request(9, "tools/call", json!({"name": "demo_hang"}));
    let call = session.post().json(&hang).send();
    let cancel = async {
        timeout(PATIENCE, starts.recv()).await.unwrap().unwrap();
        let again = session.post().json(&hang).send().await.unwrap();
        let again = single(session.revision(), again).await;
        assert_eq!(again["error"]["code"], -32600);
        let cancelled = json!({"requestId": 9, "reason": "changed my mind"});
        assert_eq!(session.notify("notifications/cancelled", cancelled).await, 202);
    };
    let (response, ()) = tokio::join!(call, cancel);
    assert!(Events::of(session.revision(), response.unwrap()).next().await.is_none());
    timeout(PATIENCE, ends.recv()).await.expect("cancelled").unwrap();

    let call = session.post().json(&hang).send();
    let end = of_session(&session, reqwest::Method::DELETE, &host.url("/mcp"));
    let delete = async {
        timeout(PATIENCE, starts.recv()).await.unwrap().unwrap();
        end.send().await.unwrap()
    };
    let (response, _) = tokio::join!(call, delete);
    let answer = response.unwrap().text().await.unwrap();
    assert!(answer.contains("-32600") && answer.contains("the session ended"), "{answer}");
    timeout(PATIENCE, ends.recv()).await.expect("cancelled").unwrap();
    host.stop().await;
}

#[tokio::test]
async fn a_change_is_told_on_one_stream_of_a_session_even_if_it_came_before_the_stream() {
    let host = Host::start(Script::new().echo()).await;
    let client = host.client();
    let session = client.initialize(Revision::V2025_11_25).await;
    host.grow("early").await;
    let mut first = Events::of(session.revision(), stream(&session, &host).send().await.unwrap());
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    assert_eq!(first.message().await, changed);
    let mut second = Events::of(session.revision(), stream(&session, &host).send().await.unwrap());
    let primer = second.next().await.unwrap();
    assert!(primer.data.is_null());
    host.grow("late").await;
    let (told, quiet) = tokio::select! {
        message = first.message() => (message, second),
        message = second.message() => (message, first),
    };
    assert_eq!(told, changed);
    host.stop().await;
    let mut quiet = quiet;
    assert!(quiet.next().await.is_none(), "told twice");
}

#[tokio::test]
async fn a_change_that_a_lost_stream_told_is_told_again_when_it_is_resumed() {
    let host = Host::start(Script::new().echo()).await;
    let client = host.client();
    let session = client.initialize(Revision::V2025_11_25).await;
    let mut lost = Events::of(session.revision(), stream(&session, &host).send().await.unwrap());
    let primer = lost.next().await.unwrap().id.unwrap();
    host.grow("more").await;
    lost.message().await;
    drop(lost);
    let resume = || stream(&session, &host).header("last-event-id", &primer);
    let mut resumed = Events::of(session.revision(), resume().send().await.unwrap());
    assert_eq!(resumed.message().await["method"], "notifications/tools/list_changed");
    host.grow("still more").await;
    assert_eq!(resumed.message().await["method"], "notifications/tools/list_changed");
    host.stop().await;
}

#[tokio::test]
async fn a_server_that_is_away_is_told_to_the_model_in_every_era() {
    let host = Host::start(Script::new().echo()).await;
    let (server, store) = (switchboard::id::ServerName::new("demo").unwrap(), host.runtime.store());
    let client = host.client();
    let session = client.initialize(Revision::V2025_06_18).await;
    let config = switchboard::runtime::ServerConfig {
        timeout: Some(std::time::Duration::from_millis(50)),
        ..switchboard::runtime::ServerConfig::new(switchboard::upstream::TransportConfig::InProcess)
    };
    store.remove(&server).await.unwrap();
    let script = Script::new().hang();
    store.add_connector(server.clone(), config, tapped(&script)).await.unwrap();
    store.wait_ready(&server, PATIENCE).await.unwrap();
    for reply in
        [client.call("demo_hang", json!({})).await, session.call("demo_hang", json!({})).await]
    {
        let result = reply.result();
        assert_eq!(result["isError"], true);
        assert!(result.get("structuredContent").is_none());
        let failure = &result["_meta"]["io.switchboard/failure"];
        assert_eq!((&failure["kind"], &failure["sent"]), (&json!("timeout"), &json!(true)));
        assert_eq!(failure["server"], "demo");
    }
    host.stop().await;
}
