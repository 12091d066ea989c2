//! What callers and operators are told when something goes away, or never was: a server that is
//! removed, a session that ends, a run of the program before this one.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{
    error::{Classify as _, Kind},
    restart::State,
    runtime::{CallRequest, Runtime, RuntimeConfig},
    wire::Revision,
};

use crate::support::{
    binary::{PROGRAM, Switchboard},
    flaky::{Attempt, Flaky},
    script::Script,
    wait::{PATIENCE, until},
};

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_removed_server_is_told_so() {
    for then in [Attempt::Hangs, Attempt::FailsAfter(Duration::from_secs(50)), Attempt::Fails] {
        for known in [false, true] {
            let script = Script::new().echo().crash();
            let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
            let plan: &[Attempt] = if known { &[Attempt::Works] } else { &[] };
            let server = Flaky::new(&script, plan, then).add(&runtime, "a").await;
            let store = runtime.store();
            if known {
                store.wait_ready(&server, PATIENCE).await.unwrap();
                store.call(CallRequest::new("a_crash", &json!({}))).await.unwrap_err();
            }
            until("it is away", async || {
                let state = store.server(&server)?.state;
                matches!(state, State::Connecting | State::Backoff).then_some(())
            })
            .await;
            let request = CallRequest::new("a_echo", &json!({}));
            let (outcome, removed) = tokio::join!(store.call(request), async {
                tokio::time::timeout(Duration::from_millis(10), std::future::pending::<()>())
                    .await
                    .unwrap_err();
                store.remove(&server).await
            });
            removed.unwrap();
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), Kind::Unavailable, "{then:?} {known}: {error}");
            assert_eq!(error.to_string(), "a was removed; the call was not sent");
            runtime.stop().await;
        }
    }
}

fn demo(isolation: &str) -> Value {
    let demo = json!({ "command": PROGRAM, "args": ["demo-server"], "isolation": isolation });
    json!({ "mcpServers": { "demo": demo } })
}

async fn shown(switchboard: &Switchboard, arguments: &[&str]) -> String {
    let output = switchboard.command(arguments).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_call_whose_session_ends_is_cancelled_and_says_so() {
    let switchboard = Switchboard::serve(&demo("agent")).await;
    let client = switchboard.client();
    for revision in [Revision::V2025_03_26, Revision::V2025_11_25] {
        let session = client.initialize(revision).await;
        let mut delete = session.post().build().unwrap();
        *delete.method_mut() = reqwest::Method::DELETE;
        let in_flight = async || {
            let status = switchboard.status().await;
            status["servers"][0]["in_flight"].as_u64().unwrap()
        };
        let (reply, ended) = tokio::join!(session.call("demo_slow", json!({ "seconds": 600 })), {
            async {
                until("it runs", async || (in_flight().await == 1).then_some(())).await;
                reqwest::Client::new().execute(delete).await.unwrap().status()
            }
        });
        assert!(ended.is_success(), "{ended}");
        assert!(reply.error()["message"].as_str().unwrap().contains("session ended"), "{reply:?}");
        until("it is over", async || (in_flight().await == 0).then_some(())).await;
    }
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_sessions_own_connection_is_explained_by_its_key() {
    let switchboard = Switchboard::serve(&demo("session")).await;
    let client = switchboard.client();
    let session = client.initialize(Revision::V2025_11_25).await;
    session.call("demo_echo", json!({ "text": "on" })).await;
    let status = switchboard.status().await;
    let servers = status["servers"].as_array().unwrap();
    let key = servers.iter().find_map(|server| server["session"].as_str()).unwrap();
    let told = shown(&switchboard, &["why", "demo", "--session", key]).await;
    assert!(told.starts_with(&format!("demo (session {key}) is ready (life #1, ")), "{told}");
    assert!(shown(&switchboard, &["why", "demo"]).await.starts_with("demo is ready"));
    let other = switchboard.command(&["why", "demo", "--session", "000000000000"]).await;
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn what_happened_before_a_restart_is_marked_and_explains_nothing() {
    let switchboard = Switchboard::serve(&demo("agent")).await;
    let client = switchboard.client();
    client.call("demo_crash", json!({})).await;
    until("it is back", async || {
        let server = switchboard.status().await["servers"][0].take();
        (server["state"] == "ready" && server["incarnation"] == 2).then_some(())
    })
    .await;
    let status = shown(&switchboard, &["status"]).await;
    assert!(status.contains(": 1 connection, 1 ready, ") && status.contains(" ago: "), "{status}");
    let told = shown(&switchboard, &["why", "demo"]).await;
    assert!(told.contains("  why ") && !told.contains("an earlier run"), "{told}");

    let switchboard = switchboard.restart().await;
    until("it is ready", async || {
        (switchboard.status().await["servers"][0]["state"] == "ready").then_some(())
    })
    .await;
    let told = shown(&switchboard, &["why", "demo"]).await;
    assert!(told.contains("Z  (an earlier run) demo #1  ready > backoff"), "{told}");
    assert!(!told.contains("  why "), "{told}");
    let events = shown(&switchboard, &["events"]).await;
    assert!(
        events.contains("Z  demo #1  ") && events.contains("(an earlier run) demo"),
        "{events}"
    );
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn parameters_of_any_depth_are_answered_at_once() {
    let switchboard = Switchboard::serve(&demo("agent")).await;
    let client = switchboard.client();
    let session = client.initialize(Revision::V2025_11_25).await;
    for (depth, refused) in [(90, false), (10_000, true), (200_000, true)] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"demo_echo","arguments":{{"text":{deep}}}}}}}"#
        );
        let post = session.post().header("content-type", "application/json").body(body);
        let answer = post.send().await.unwrap().text().await.unwrap();
        assert_eq!(answer.contains("at most 100 levels deep"), refused, "{depth}: {answer}");
        assert!(answer.contains(if refused { "-32602" } else { "isError" }), "{depth}: {answer}");
    }
    assert_eq!(client.call("demo_echo", json!({ "text": "on" })).await.text(), "on");
    assert!(switchboard.stop().await.success());
}
