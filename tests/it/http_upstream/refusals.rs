//! What a server's refusal may cost: one execution, one caller's session, and no secret.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use switchboard::{
    error::{Classify as _, Kind},
    restart::State,
    runtime::CallError,
};
use tokio::{sync::Notify, task::JoinSet};

use super::{call, failure, http, name, runtime, said, working};
use crate::support::{
    binary::Switchboard,
    upstream::{Asked, Upstream, faulty, json_response, plain},
    wait::until,
};

fn is_call(asked: &Asked) -> bool {
    asked.method() == "tools/call"
}

/// An error without an id, as servers give it that did not look at the request, or say so.
fn error(status: u16, message: &str) -> Response {
    let error = json!({ "code": -32000, "message": message });
    json_response(status, &json!({ "jsonrpc": "2.0", "id": null, "error": error }))
}

#[tokio::test]
async fn a_refusal_that_mentions_sessions_is_no_lost_session_and_is_not_sent_twice() {
    for (status, message) in [
        (400, "booked, but the session of the other participant is full"),
        (400, "paid; then: the browser session has expired"),
        (409, "session not found"),
        (422, "Invalid session"),
    ] {
        let (_upstream, runtime, calls) =
            working(false, move |_, asked| is_call(asked).then(|| error(status, message))).await;
        match call(&runtime.store(), "a_work", &json!({})).await {
            Err(CallError::Server { error, .. }) => assert_eq!(error.message(), message),
            other => panic!("{status} {message}: {other:?}"),
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{status} {message}: never twice");
        let status = runtime.store().server(&name("a")).unwrap();
        assert_eq!((status.state, status.incarnation.0), (State::Ready, 1));
        runtime.stop().await;
    }

    let (_upstream, runtime, calls) = working(false, |_, asked| {
        is_call(asked).then(|| (StatusCode::BAD_REQUEST, "session not found").into_response())
    })
    .await;
    let unknown = failure(&runtime.store(), "a_work").await;
    assert_eq!(unknown.kind, Kind::OutcomeUnknown, "{}", unknown.text);
    assert_eq!(calls.load(Ordering::SeqCst), 1, "words that are no JSON-RPC mean nothing");
    runtime.stop().await;
}

#[tokio::test]
async fn a_call_that_is_always_answered_with_404_costs_nobody_the_session() {
    let opened = Arc::new(AtomicUsize::new(0));
    let doomed = Arc::new(AtomicUsize::new(0));
    let (opens, dooms) = (Arc::clone(&opened), Arc::clone(&doomed));
    let (_upstream, runtime, calls) = working(false, move |_, asked| {
        if asked.method() == "initialize" {
            opens.fetch_add(1, Ordering::SeqCst);
        }
        let is_doomed = asked.message["params"]["arguments"]["doomed"] == true;
        is_doomed.then(|| {
            dooms.fetch_add(1, Ordering::SeqCst);
            StatusCode::NOT_FOUND.into_response()
        })
    })
    .await;
    let store = runtime.store();
    let mut others = JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        others.spawn(async move {
            for _ in 0..25 {
                let answer = call(&store, "a_work", &json!({})).await.unwrap();
                assert_eq!(said(&answer), "done");
            }
        });
    }
    let refused = call(&store, "a_work", &json!({ "doomed": true })).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Upstream);
    assert!(refused.to_string().contains("404, as if its session were unknown"), "{refused}");
    for _ in 0..7 {
        call(&store, "a_work", &json!({ "doomed": true })).await.unwrap_err();
    }
    others.join_all().await;
    assert_eq!(doomed.load(Ordering::SeqCst), 8, "never twice");
    assert_eq!(calls.load(Ordering::SeqCst), 108, "each of the others was executed once");
    assert_eq!(call(&store, "a_work", &json!({})).await.unwrap().incarnation.0, 1);
    assert_eq!(opened.load(Ordering::SeqCst), 1);
    runtime.stop().await;
}

/// A server that forgets its session at a call, once; `ping` is answered as the test says.
fn forgetting(
    ping: impl Fn() -> Option<Response> + Send + Sync + 'static,
) -> impl Fn(&Asked) -> Option<Response> + Send + Sync + 'static {
    let (forgot, done) = (AtomicBool::new(false), AtomicBool::new(false));
    move |asked| {
        if asked.method() == "initialize" {
            forgot.store(false, Ordering::SeqCst);
            return None;
        }
        if is_call(asked) && !done.swap(true, Ordering::SeqCst) {
            forgot.store(true, Ordering::SeqCst);
        }
        if !forgot.load(Ordering::SeqCst) {
            return None;
        }
        let unknown = || StatusCode::NOT_FOUND.into_response();
        Some(if asked.method() == "ping" { ping().unwrap_or_else(unknown) } else { unknown() })
    }
}

#[tokio::test]
async fn a_session_that_is_unknown_to_a_ping_too_is_lost_and_the_call_goes_on_in_a_new_one() {
    let pings: [fn() -> Option<Response>; 2] =
        [|| None, || Some(StatusCode::BAD_GATEWAY.into_response())];
    for ping in pings {
        let decide = forgetting(ping);
        let (_upstream, runtime, calls) = working(false, move |_, asked| decide(asked)).await;
        let answer = call(&runtime.store(), "a_work", &json!({})).await.unwrap();
        assert_eq!((said(&answer).as_str(), answer.incarnation.0), ("done", 2));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        runtime.stop().await;
    }
}

#[tokio::test]
async fn a_call_under_way_is_answered_though_its_session_ends_meanwhile() {
    let (held, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (holds, goes) = (Arc::clone(&held), Arc::clone(&go));
    let forgets = forgetting(|| None);
    let upstream = Upstream::serve(faulty(false, move |asked| {
        if asked.message["params"]["arguments"]["held"] == true {
            let (holds, goes) = (Arc::clone(&holds), Arc::clone(&goes));
            let answer = plain(false, asked);
            return Some(
                async move {
                    holds.notify_one();
                    goes.notified().await;
                    answer
                }
                .boxed(),
            );
        }
        let answer = forgets(asked)?;
        Some(async move { answer }.boxed())
    }))
    .await;
    let runtime = runtime(&[("a", http(upstream.url()))]).await;
    let store = runtime.store();
    let caller = store.clone();
    let mut calls = JoinSet::new();
    calls.spawn(async move { call(&caller, "a_work", &json!({ "held": true })).await });
    held.notified().await;
    assert_eq!(call(&store, "a_work", &json!({})).await.unwrap().incarnation.0, 2);
    go.notify_one();
    let answer = calls.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!((said(&answer).as_str(), answer.incarnation.0), ("done", 1));
    runtime.stop().await;
}

/// Everything secret that the servers below were given, as they repeat it.
const TOKEN: &str = "c4n4ry-token";
const PARAMETER: &str = "c4n4ry-parameter";
const ENCODED: &str = "c4n4ry parameter";
const SEGMENT: &str = "c4n4ry-segment-of-a-path";

/// A server of the store at this address, with a token.
fn secretive(upstream: &Upstream) -> Value {
    let url = format!(
        "http://{}/{SEGMENT}/mcp?key={PARAMETER}&more=c4n4ry%20parameter",
        upstream.address()
    );
    json!({ "url": url, "headers": { "Authorization": format!("Bearer {TOKEN}") } })
}

fn babble() -> String {
    format!("no entry for {TOKEN} nor {PARAMETER} nor {ENCODED} at {SEGMENT}")
}

#[tokio::test]
async fn parts_of_what_a_server_was_given_are_told_to_nobody() {
    let refusing = |answer: fn() -> Response| {
        Upstream::serve(faulty(false, move |_| Some(async move { answer() }.boxed())))
    };
    let words = refusing(|| error(400, &babble())).await;
    let media = refusing(|| {
        let media = format!("text/x-{TOKEN}");
        ([("content-type", media)], "?").into_response()
    })
    .await;
    let redirect = refusing(|| {
        let place = "//ada:c4n4ry-password@elsewhere.example/mcp?key=c4n4ry-target";
        (StatusCode::TEMPORARY_REDIRECT, [("location", place)]).into_response()
    })
    .await;
    let listing = Upstream::serve(faulty(false, |asked| {
        let answer = (asked.method() == "tools/list").then(|| error(200, &babble()));
        answer.map(|answer| async move { answer }.boxed())
    }))
    .await;
    let late = Upstream::serve(faulty(false, |asked| {
        let answer = if is_call(asked) {
            ([("content-type", "application/json")], babble()).into_response()
        } else {
            plain(false, asked)
        };
        Some(async move { answer }.boxed())
    }))
    .await;
    let upstreams = [
        ("words", &words),
        ("media", &media),
        ("redirect", &redirect),
        ("listing", &listing),
        ("late", &late),
    ];
    let servers: BTreeMap<_, _> =
        upstreams.map(|(server, upstream)| (server, secretive(upstream))).into();
    let config = json!({ "mcpServers": servers, "telemetry": { "log": { "level": "trace" } } });
    let switchboard = Switchboard::serve(&config).await;

    let reply = switchboard.client().call("late_work", json!({})).await.response().to_string();
    assert!(reply.contains("no entry for *** nor *** nor *** at ***"), "{reply}");
    let status = until("four have failed", async || {
        let status = switchboard.status().await;
        let servers = status["servers"].as_array().unwrap();
        let failed = servers.iter().filter(|server| server["cause"].is_string());
        (failed.count() == 4).then_some(status)
    })
    .await;
    let told = status.to_string();
    assert!(told.contains("no entry for *** nor *** nor *** at ***"), "{told}");
    assert!(told.contains("text/x-***") && told.contains("redirects to another place"), "{told}");
    let mut said = vec![reply, told];
    for (server, _) in upstreams {
        let why = switchboard.command(&["why", server]).await;
        let call = switchboard.command(&["call", &format!("{server}_work")]).await;
        for output in [why.stdout, why.stderr, call.stdout, call.stderr] {
            said.push(String::from_utf8(output).unwrap());
        }
    }
    said.push(switchboard.log());
    for words in said {
        let secret = words.lines().find(|line| line.contains("c4n4ry"));
        assert!(secret.is_none(), "{}", secret.unwrap_or_default());
    }
    assert!(switchboard.stop().await.success());
}
