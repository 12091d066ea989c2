//! Servers over streamable HTTP: both eras, every mode of rmcp's own server, a server from npm, and
//! everything that goes wrong between here and there.

mod params;
mod refusals;
mod versions;

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use futures::{FutureExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use rmcp::transport::StreamableHttpServerConfig;
use serde_json::{Value, json};
use switchboard::{
    error::{Classify as _, Kind},
    id::ServerName,
    restart::State,
    runtime::{
        Answer, CallError, CallRequest, Delivery, Failure, ProgressSink, Runtime, RuntimeConfig,
        RuntimeHandle, Scope, ServerConfig,
    },
    secret::Secret,
    upstream::{TransportConfig, http::HttpConfig},
    wire::{Era, Revision},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::Notify,
    task::JoinSet,
};

use crate::{
    servers,
    support::{
        binary::Switchboard,
        script::{Script, text},
        upstream::{Asked, Upstream, faulty, json_response, rmcp},
        wait::{PATIENCE, until},
    },
};

fn name(text: &str) -> ServerName {
    ServerName::new(text).unwrap()
}

fn http(url: impl Into<String>) -> ServerConfig {
    let headers = BTreeMap::from([("X-Api-Key".to_owned(), Secret::from("hush-hush"))]);
    ServerConfig::new(TransportConfig::Http(HttpConfig { url: url.into(), headers }))
}

async fn runtime(servers: &[(&str, ServerConfig)]) -> RuntimeHandle {
    let servers = servers.iter().map(|(server, config)| (name(server), config.clone())).collect();
    Runtime::spawn(RuntimeConfig { servers, ..RuntimeConfig::default() }).await.unwrap()
}

async fn call(scope: &Scope, tool: &str, arguments: &Value) -> Result<Answer, CallError> {
    scope.call(CallRequest::new(tool, arguments)).await
}

async fn failure(scope: &Scope, tool: &str) -> Failure {
    match call(scope, tool, &json!({})).await {
        Err(CallError::Failed(failure)) => failure,
        other => panic!("{tool}: {other:?}"),
    }
}

fn echo() -> Script {
    Script::new()
        .tool("echo", async |call| Ok(text(call.arguments["text"].as_str().unwrap_or_default())))
}

fn said(answer: &Answer) -> String {
    let result: Value = serde_json::from_str(answer.result.get()).unwrap();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

async fn in_state(scope: &Scope, server: &str, state: State) -> String {
    let server = name(server);
    until(&format!("{server} is {state}"), async || {
        let status = scope.server(&server)?;
        (status.state == state).then_some(status.cause.unwrap_or_default())
    })
    .await
}

fn modes() -> Vec<(&'static str, StreamableHttpServerConfig)> {
    let config = StreamableHttpServerConfig::default;
    vec![
        ("sessions", config()),
        ("stateless", config().with_legacy_session_mode(false)),
        ("json", config().with_legacy_session_mode(false).with_json_response(true)),
    ]
}

#[tokio::test]
async fn both_eras_are_spoken_in_every_mode_of_a_server() {
    for (mode, config) in modes() {
        for (era, script) in [(Era::Modern, echo()), (Era::Legacy, echo().legacy())] {
            let script = script.tool("steps", |call| async move {
                let token = call.context.meta.get_progress_token().unwrap();
                for step in 1..=3 {
                    let params =
                        rmcp::model::ProgressNotificationParam::new(token.clone(), f64::from(step));
                    call.context.peer.notify_progress(params).await.unwrap();
                }
                Ok(text("walked"))
            });
            let upstream = Upstream::serve(rmcp(&script, config.clone())).await;
            let runtime = runtime(&[("a", http(upstream.url()))]).await;
            let store = runtime.store();
            store.wait_ready(&name("a"), PATIENCE).await.unwrap();
            let status = store.server(&name("a")).unwrap();
            assert_eq!((status.era, status.transport), (Some(era), "tcp"), "{mode}");
            let answer =
                call(&store, "a_echo", &json!({ "text": "Grüße, 世界 🌍" })).await.unwrap();
            assert_eq!(said(&answer), "Grüße, 世界 🌍", "{mode} {era:?}");

            let (sink, mut progress) = ProgressSink::new(8);
            let request = CallRequest::new("a_steps", &json!({}));
            let answer = store.call(CallRequest { progress: Some(sink), ..request }).await.unwrap();
            assert_eq!(said(&answer), "walked");
            let mut steps = Vec::new();
            while let Ok(step) = progress.try_recv() {
                let params: Value = serde_json::from_str(step.params.get()).unwrap();
                steps.push(params["progress"].as_f64().unwrap());
            }
            assert_eq!(steps, [1.0, 2.0, 3.0], "{mode} {era:?}");
            runtime.stop().await;
        }
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_and_no_call_that_waited_fails() {
    for script in [echo(), echo().legacy()] {
        let mode = StreamableHttpServerConfig::default;
        let upstream = Upstream::serve(rmcp(&script, mode())).await;
        let runtime = runtime(&[("a", http(upstream.url()))]).await;
        let store = runtime.store();
        call(&store, "a_echo", &json!({ "text": "before" })).await.unwrap();

        let address = upstream.kill().await;
        let mut waiting = JoinSet::new();
        for _ in 0..20 {
            let store = store.clone();
            waiting
                .spawn(async move { call(&store, "a_echo", &json!({ "text": "during" })).await });
        }
        in_state(&store, "a", State::Backoff).await;
        let _upstream = Upstream::serve_at(address, rmcp(&script, mode())).await;
        for answer in waiting.join_all().await {
            assert_eq!(said(&answer.unwrap()), "during");
        }
        assert_eq!(script.calls().len(), 21, "each was executed once");
        runtime.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_was_down_is_picked_up_when_it_comes() {
    let script = echo();
    let free = Upstream::serve(rmcp(&script, StreamableHttpServerConfig::default())).await;
    let address = free.kill().await;
    let runtime = runtime(&[("a", http(format!("http://{address}/mcp")))]).await;
    let store = runtime.store();
    let cause = in_state(&store, "a", State::Backoff).await;
    assert!(cause.contains("not reached") && cause.contains("refused"), "{cause}");
    let _upstream =
        Upstream::serve_at(address, rmcp(&script, StreamableHttpServerConfig::default())).await;
    let answer = call(&store, "a_echo", &json!({ "text": "there" })).await.unwrap();
    assert_eq!(said(&answer), "there");
    runtime.stop().await;
}

#[tokio::test]
async fn a_lost_session_is_a_new_life_with_a_new_list_and_the_call_goes_on_there() {
    let script = echo().legacy();
    let sessions = Arc::new(Mutex::new(rmcp(&script, StreamableHttpServerConfig::default())));
    let current = Arc::clone(&sessions);
    let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let router = current.lock().unwrap().clone();
        tower::ServiceExt::oneshot(router, request)
    });
    let upstream = Upstream::serve(router).await;
    let runtime = runtime(&[("a", http(upstream.url()))]).await;
    let store = runtime.store();
    call(&store, "a_echo", &json!({ "text": "one" })).await.unwrap();
    let listed = script.listings();

    // The server forgets its sessions, as after a deployment behind the same address.
    *sessions.lock().unwrap() = rmcp(&script, StreamableHttpServerConfig::default());
    let answer = call(&store, "a_echo", &json!({ "text": "two" })).await.unwrap();
    assert_eq!((said(&answer).as_str(), answer.incarnation.0), ("two", 2));
    assert!(script.listings() > listed, "what it offers is listed anew");
    assert_eq!(script.calls().len(), 2);
    let causes: Vec<String> =
        store.history(&name("a")).iter().map(|event| event.cause.to_string()).collect();
    assert!(causes.iter().any(|cause| cause.contains("ended the session")), "{causes:?}");
    runtime.stop().await;
}

#[tokio::test]
async fn changed_tools_of_a_legacy_server_are_heard_of_on_its_standing_stream() {
    let script = echo().legacy();
    let upstream = Upstream::serve(rmcp(&script, StreamableHttpServerConfig::default())).await;
    let runtime = runtime(&[("a", http(upstream.url()))]).await;
    let store = runtime.store();
    store.wait_ready(&name("a"), PATIENCE).await.unwrap();
    let script = script.tool("another", async |_| Ok(text("new")));
    until("the change is heard of", async || {
        script.announce().await;
        store.tools().unwrap().resolve("a_another").is_some().then_some(())
    })
    .await;
    runtime.stop().await;
}

#[tokio::test]
async fn changed_tools_of_a_modern_server_are_heard_of_by_subscription() {
    let changed = Arc::new(Notify::new());
    let (told, listed) = (Arc::clone(&changed), Arc::new(AtomicUsize::new(0)));
    let lists = Arc::clone(&listed);
    let (_upstream, runtime, _) = working(true, move |_, asked| match asked.method() {
        "server/discover" => Some(asked.result(&json!({
            "supportedVersions": ["2026-07-28"], "capabilities": { "tools": { "listChanged": true } },
        }))),
        "tools/list" => {
            let tool = |name| json!({ "name": name, "inputSchema": { "type": "object" } });
            let more = lists.fetch_add(1, Ordering::SeqCst) > 0;
            let tools = if more { vec![tool("work"), tool("another")] } else { vec![tool("work")] };
            Some(asked.result(&json!({ "tools": tools })))
        }
        "subscriptions/listen" => {
            let told = Arc::clone(&told);
            let event = |method: &str| {
                let message = json!({ "jsonrpc": "2.0", "method": method, "params": {} });
                Ok::<_, std::io::Error>(format!("data: {message}\n\n"))
            };
            let first = event("notifications/subscriptions/acknowledged");
            let then = event("notifications/tools/list_changed");
            let later = futures::stream::once(async move {
                told.notified().await;
                then
            });
            let stream = futures::stream::iter([first]).chain(later);
            let body = Body::from_stream(stream.chain(futures::stream::pending()));
            Some(([("content-type", "text/event-stream")], body).into_response())
        }
        _ => None,
    })
    .await;
    changed.notify_one();
    until("the change is heard of", async || {
        runtime.store().tools().unwrap().resolve("a_another").is_some().then_some(())
    })
    .await;
    assert_eq!(listed.load(Ordering::SeqCst), 2);
    runtime.stop().await;
}

/// What a server that answers every connect attempt like this is taken for.
async fn refused(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> (State, String) {
    let upstream = Upstream::serve(faulty(true, move |asked| {
        let answer = answer(asked);
        Some(async move { answer }.boxed())
    }))
    .await;
    let url = format!("{}?key=in-the-url", upstream.url());
    let runtime = runtime(&[("a", http(url))]).await;
    let store = runtime.store();
    let (state, cause) = until("it has failed", async || {
        let status = store.server(&name("a"))?;
        matches!(status.state, State::Backoff | State::Open | State::Failed)
            .then(|| (status.state, status.cause.unwrap_or_default()))
    })
    .await;
    assert!(!cause.contains("hush") && !cause.contains("in-the-url"), "{cause}");
    runtime.stop().await;
    (state, cause)
}

#[tokio::test]
async fn why_a_server_is_not_connected_is_told_apart() {
    let status =
        |status: u16| move |_: &Asked| StatusCode::from_u16(status).unwrap().into_response();
    for (code, state, words) in [
        (401, State::Failed, "refused the credentials"),
        (403, State::Failed, "denies us access"),
        (404, State::Backoff, "many answer at /mcp"),
        (405, State::Backoff, "HTTP+SSE"),
        (429, State::Backoff, "too many requests"),
        (500, State::Backoff, "the server failed (500)"),
        (503, State::Backoff, "the server failed (503)"),
    ] {
        let (found, cause) = refused(status(code)).await;
        assert!(found == state && cause.contains(words), "{code}: {found} {cause}");
        assert!(cause.matches("transport failed").count() < 2, "{cause}");
    }
    let redirect = |_: &Asked| {
        let place = "https://elsewhere.example/mcp?token=in-the-url";
        (StatusCode::PERMANENT_REDIRECT, [("location", place)]).into_response()
    };
    let (_, cause) = refused(redirect).await;
    assert!(cause.contains("redirects to https://elsewhere.example/mcp;"), "{cause}");
    let page = |_: &Asked| axum::response::Html("<html>Sign in</html>").into_response();
    let (state, cause) = refused(page).await;
    assert!(state == State::Backoff && cause.contains("a web page"), "{state} {cause}");
    let quota =
        |_: &Asked| (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "40")]).into_response();
    let (_, cause) = refused(quota).await;
    assert!(cause.contains("left alone for 40s"), "{cause}");
}

#[tokio::test]
async fn a_server_behind_a_proxy_that_answers_with_a_page_for_a_while_is_connected_after_it() {
    let pages = Arc::new(AtomicUsize::new(0));
    let shown = Arc::clone(&pages);
    let upstream = Upstream::serve(faulty(true, move |_| {
        let page = axum::response::Html("<html>Be right back</html>").into_response();
        (shown.fetch_add(1, Ordering::SeqCst) < 2).then(|| async move { page }.boxed())
    }))
    .await;
    let runtime = runtime(&[("a", http(upstream.url()))]).await;
    runtime.store().wait_ready(&name("a"), PATIENCE).await.unwrap();
    assert!(pages.load(Ordering::SeqCst) > 2);
    runtime.stop().await;
}

#[tokio::test]
async fn tls_that_fails_says_so() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key =
        tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let secure = Upstream::serve_tls(acceptor, faulty(true, |_| None)).await;
    let plain = Upstream::serve(faulty(true, |_| None)).await;
    let url = |upstream: &Upstream| format!("https://localhost:{}/mcp", upstream.address().port());
    let runtime = runtime(&[
        ("unknown", http(url(&secure))),
        ("plain", http(url(&plain))),
        ("nowhere", http("http://no-such-host.invalid/mcp")),
    ])
    .await;
    let store = runtime.store();
    let cause = in_state(&store, "unknown", State::Backoff).await;
    assert!(cause.contains("TLS failed") && cause.contains("UnknownIssuer"), "{cause}");
    let cause = in_state(&store, "plain", State::Backoff).await;
    assert!(cause.contains("TLS failed"), "{cause}");
    let cause = in_state(&store, "nowhere", State::Backoff).await;
    assert!(cause.contains("cannot be resolved"), "{cause}");
    runtime.stop().await;
}

/// A server that decides about each call of its tool, and counts them.
async fn working(
    modern: bool,
    decide: impl Fn(usize, &Asked) -> Option<Response> + Send + Sync + 'static,
) -> (Upstream, RuntimeHandle, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let router = faulty(modern, move |asked| {
        let count = match asked.method() {
            "tools/call" => counted.fetch_add(1, Ordering::SeqCst) + 1,
            _ => counted.load(Ordering::SeqCst),
        };
        let answer = decide(count, asked)?;
        Some(async move { answer }.boxed())
    });
    let upstream = Upstream::serve(router).await;
    let runtime = runtime(&[("a", http(upstream.url()))]).await;
    runtime.store().wait_ready(&name("a"), PATIENCE).await.unwrap();
    (upstream, runtime, calls)
}

#[tokio::test]
async fn what_was_not_executed_is_sent_again_and_what_may_have_run_is_not() {
    let is_call = |asked: &Asked| asked.method() == "tools/call";
    let (_upstream, runtime, calls) = working(true, move |count, asked| {
        let busy = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response();
        (is_call(asked) && count == 1).then_some(busy)
    })
    .await;
    let answer = call(&runtime.store(), "a_work", &json!({})).await.unwrap();
    assert_eq!((said(&answer).as_str(), answer.incarnation.0), ("done", 1));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    runtime.stop().await;

    for status in [500, 502, 503, 504] {
        let (_upstream, runtime, calls) = working(true, move |_, asked| {
            let status = StatusCode::from_u16(status).unwrap();
            is_call(asked).then(|| status.into_response())
        })
        .await;
        let lost = failure(&runtime.store(), "a_work").await;
        assert_eq!((lost.kind, lost.phase), (Kind::OutcomeUnknown, Delivery::Written));
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{status}: never twice");
        assert_eq!(runtime.store().server(&name("a")).unwrap().state, State::Ready);
        runtime.stop().await;
    }

    let (_upstream, runtime, _) = working(true, move |_, asked| {
        is_call(asked).then(|| StatusCode::PAYLOAD_TOO_LARGE.into_response())
    })
    .await;
    let refused = failure(&runtime.store(), "a_work").await;
    assert_eq!((refused.kind, refused.phase), (Kind::Upstream, Delivery::Queued));
    assert!(refused.text.contains("too large"), "{}", refused.text);
    runtime.stop().await;

    let (_upstream, runtime, _) = working(true, move |_, asked| {
        let quota = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")]);
        is_call(asked).then(|| quota.into_response())
    })
    .await;
    let busy = failure(&runtime.store(), "a_work").await;
    assert_eq!((busy.kind, busy.phase), (Kind::Unavailable, Delivery::Queued));
    assert_eq!(busy.retry_after, Some(Duration::from_hours(1)));
    runtime.stop().await;

    let (_upstream, runtime, _) = working(true, move |_, asked| {
        is_call(asked).then(|| StatusCode::UNAUTHORIZED.into_response())
    })
    .await;
    let refused = failure(&runtime.store(), "a_work").await;
    assert_eq!((refused.kind, refused.phase), (Kind::Unavailable, Delivery::Queued));
    in_state(&runtime.store(), "a", State::Failed).await;
    runtime.stop().await;
}

#[tokio::test]
async fn a_session_that_is_unknown_by_other_words_is_lost_too() {
    let (_upstream, runtime, calls) = working(false, |count, asked| {
        let unknown = json!({
            "jsonrpc": "2.0", "id": null,
            "error": { "code": -32000, "message": "Bad Request: No valid session ID provided" },
        });
        let is_lost = matches!(asked.method(), "tools/call" | "ping") && count == 1;
        is_lost.then(|| json_response(400, &unknown))
    })
    .await;
    let answer = call(&runtime.store(), "a_work", &json!({})).await.unwrap();
    assert_eq!((said(&answer).as_str(), answer.incarnation.0), ("done", 2));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    runtime.stop().await;
}

#[tokio::test]
async fn a_forbidden_call_says_nothing_of_the_others() {
    let (_upstream, runtime, _) = working(true, |count, asked| {
        let forbidden = asked.method() == "tools/call" && count == 1;
        forbidden.then(|| StatusCode::FORBIDDEN.into_response())
    })
    .await;
    let refused = failure(&runtime.store(), "a_work").await;
    assert_eq!((refused.kind, refused.phase), (Kind::Upstream, Delivery::Queued));
    let answer = call(&runtime.store(), "a_work", &json!({})).await.unwrap();
    assert_eq!((said(&answer).as_str(), answer.incarnation.0), ("done", 1));
    runtime.stop().await;
}

/// Events as they are cut off by a connection that breaks.
fn broken_stream(events: &str) -> Response {
    let start = futures::stream::iter([Ok::<_, std::io::Error>(events.to_owned())]);
    let end = futures::stream::iter([Err(std::io::Error::other("cut off"))]);
    let body = Body::from_stream(start.chain(end));
    ([("content-type", "text/event-stream")], body).into_response()
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_resumed_where_its_era_can() {
    let (_upstream, runtime, calls) = working(true, |_, asked| {
        let is_call = asked.method() == "tools/call";
        is_call.then(|| broken_stream("id: 7\nretry: 1\ndata: \n\n"))
    })
    .await;
    let lost = failure(&runtime.store(), "a_work").await;
    assert_eq!(lost.kind, Kind::OutcomeUnknown);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    runtime.stop().await;

    let id = Arc::new(Mutex::new(Value::Null));
    let (_upstream, runtime, calls) = working(false, move |_, asked| {
        assert_eq!(asked.headers["x-api-key"], "hush-hush", "the configured header goes up");
        let place = asked.headers.get("last-event-id");
        match (&asked.verb, place) {
            (&Method::GET, Some(place)) => {
                assert_eq!(place, "7");
                assert_eq!(asked.headers["mcp-session-id"], "the-session");
                assert_eq!(asked.headers["mcp-protocol-version"], "2025-11-25");
                let result = json!({ "content": [{ "type": "text", "text": "after all" }] });
                let id = id.lock().unwrap().clone();
                let message = json!({ "jsonrpc": "2.0", "id": id, "result": result });
                let event = format!("id: 8\ndata: {message}\n\n");
                Some(([("content-type", "text/event-stream")], event).into_response())
            }
            (&Method::POST, _) if asked.method() == "tools/call" => {
                *id.lock().unwrap() = asked.message["id"].clone();
                let primer = "id: 7\nretry: 1\ndata: \n\n";
                Some(([("content-type", "text/event-stream")], primer).into_response())
            }
            _ => None,
        }
    })
    .await;
    let answer = call(&runtime.store(), "a_work", &json!({})).await.unwrap();
    assert_eq!(said(&answer), "after all");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    runtime.stop().await;
}

#[tokio::test]
async fn a_tool_that_wants_its_arguments_as_headers_gets_them() {
    let schema = json!({ "type": "object", "properties": {
        "region": { "type": "string", "x-mcp-header": "Region" },
    }});
    let (_upstream, runtime, _) = working(true, move |_, asked| match asked.method() {
        "tools/list" => {
            let tool = json!({ "name": "work", "inputSchema": schema });
            let list = json!({ "type": "array", "x-mcp-header": "List" });
            let schema = json!({ "type": "object", "properties": { "list": list } });
            let impossible = json!({ "name": "impossible", "inputSchema": schema });
            Some(asked.result(&json!({ "tools": [impossible, tool] })))
        }
        "tools/call" => {
            let headers = ["mcp-name", "mcp-method", "mcp-param-region", "mcp-protocol-version"];
            let found = headers.map(|name| asked.headers.get(name)?.to_str().ok());
            let said =
                [Some("work"), Some("tools/call"), Some("=?base64?Z3LDtsOf?="), Some("2026-07-28")];
            (found != said).then(|| {
                json_response(
                    400,
                    &json!({
                        "jsonrpc": "2.0", "id": asked.message["id"],
                        "error": { "code": -32020, "message": format!("{found:?}") },
                    }),
                )
            })
        }
        _ => None,
    })
    .await;
    let answer = call(&runtime.store(), "a_work", &json!({ "region": "größ" })).await.unwrap();
    assert_eq!(said(&answer), "done");
    let view = runtime.store().tools().unwrap();
    let names: Vec<&str> = view.tools().iter().map(|tool| &*tool.exposed).collect();
    assert_eq!(names, ["a_work"], "a tool that no client may call is left out, and only that");
    runtime.stop().await;
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_cancelled_in_the_way_of_its_era() {
    for script in [Script::new().hang(), Script::new().hang().legacy()] {
        let upstream = Upstream::serve(rmcp(&script, StreamableHttpServerConfig::default())).await;
        let runtime = runtime(&[("a", http(upstream.url()))]).await;
        let store = runtime.store();
        store.wait_ready(&name("a"), PATIENCE).await.unwrap();
        let request = CallRequest::new("a_hang", &json!({}));
        let late = store.call(CallRequest { timeout: Some(Duration::from_millis(300)), ..request });
        assert_eq!(late.await.unwrap_err().kind(), Kind::Timeout);
        until("the server heard of it", async || (script.cancelled() == 1).then_some(())).await;
        runtime.stop().await;
    }
}

#[tokio::test]
async fn a_socket_of_this_machine_is_an_address_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.sock");
    let script = echo();
    let mode = StreamableHttpServerConfig::default().disable_allowed_hosts();
    let _upstream = Upstream::serve_unix(&path, rmcp(&script, mode));
    let runtime = runtime(&[("a", http(format!("unix://{}#/mcp", path.display())))]).await;
    let answer = call(&runtime.store(), "a_echo", &json!({ "text": "near" })).await.unwrap();
    assert_eq!(said(&answer), "near");
    runtime.stop().await;
}

/// A public server over HTTP, as a process of its own.
struct Everything {
    child: Child,
    port: u16,
}

impl Everything {
    async fn start(port: u16) -> Self {
        let program = servers::installed("node_modules/.bin/mcp-server-everything");
        let mut child = Command::new(program)
            .arg("streamableHttp")
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("listening") {
                    return;
                }
            }
            panic!("the server ended");
        };
        tokio::time::timeout(PATIENCE, listening).await.unwrap();
        Self { child, port }
    }

    async fn kill(mut self) -> u16 {
        self.child.kill().await.unwrap();
        self.port
    }
}

#[tokio::test]
async fn a_public_server_that_is_restarted_serves_the_same_downstream_session() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let everything = Everything::start(free).await;
    let url = format!("http://127.0.0.1:{free}/mcp");
    // However long it takes to come back, its circuit stays closed.
    let patient = json!({ "web": { "servers": ["all"], "intensity": 1000 } });
    let config = json!({ "mcpServers": { "all": { "url": url } }, "groups": patient });
    let switchboard = Switchboard::serve(&config).await;
    let client = switchboard.client();
    let session = client.initialize(Revision::V2025_11_25).await;
    let said = json!({ "message": "Grüße" });
    assert_eq!(session.call("all_echo", said.clone()).await.text(), "Echo: Grüße");
    assert_eq!(client.call("all_echo", said.clone()).await.text(), "Echo: Grüße");

    let port = everything.kill().await;
    let waiting = session.call("all_echo", said.clone());
    let back = async {
        until("the loss is seen", async || {
            let state = switchboard.status().await["servers"][0]["state"].clone();
            (state != "ready").then_some(())
        })
        .await;
        Everything::start(port).await
    };
    let (answer, _everything) = tokio::join!(waiting, back);
    assert_eq!(answer.text(), "Echo: Grüße", "the call only waited");
    assert_eq!(session.call("all_echo", said).await.text(), "Echo: Grüße");
    assert!(switchboard.stop().await.success());
}
