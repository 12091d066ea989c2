//! A server's connection is replaced without an interruption: the next life is made beside the
//! present one, takes over when it is good, and leaves everything as it was when it is not.

mod binary;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use switchboard::{
    restart::State,
    runtime::{Answer, CallError, CallRequest, Runtime, RuntimeConfig, RuntimeHandle},
};
use tokio::{sync::Notify, task::JoinSet};

use crate::support::{
    flaky::{Attempt, Flaky},
    script::{Script, text},
    wait::until,
};

const MINUTE: Duration = Duration::from_mins(1);

async fn runtime() -> RuntimeHandle {
    Runtime::spawn(RuntimeConfig::default()).await.unwrap()
}

async fn call(runtime: &RuntimeHandle, tool: &str) -> Result<Answer, CallError> {
    runtime.store().call(CallRequest::new(tool, &json!({}))).await
}

/// Adds `slow`, which answers when it is released.
fn slow(script: Script) -> (Script, Arc<Notify>) {
    let release = Arc::new(Notify::new());
    let waits = Arc::clone(&release);
    let script = script.tool("slow", move |_| {
        let waits = Arc::clone(&waits);
        async move {
            waits.notified().await;
            Ok(text("late"))
        }
    });
    (script, release)
}

#[tokio::test(start_paused = true)]
async fn the_next_life_takes_new_calls_and_the_one_before_finishes_its_own() {
    let ((script, release), runtime) = (slow(Script::new().echo()), runtime().await);
    let server = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    let version = *store.changes().unwrap().borrow();
    let mut calls = JoinSet::new();
    let caller = runtime.clone();
    calls.spawn(async move { call(&caller, "a_slow").await });
    until("the call is under way", async || (script.calls() == ["slow"]).then_some(())).await;

    let serves = store.hand_over(&server).await.unwrap().unwrap();
    assert_eq!(serves.0, 2);
    assert_eq!(call(&runtime, "a_echo").await.unwrap().incarnation.0, 2);
    assert_eq!(store.server(&server).unwrap().state, State::Ready);
    release.notify_one();
    let answer = calls.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(answer.incarnation.0, 1, "by the life that it was sent to");
    assert_eq!(*store.changes().unwrap().borrow(), version, "nobody is told of the same tools");
    assert_eq!(script.calls(), ["slow", "echo"]);
}

#[tokio::test(start_paused = true)]
async fn a_life_that_fails_leaves_the_present_one_and_says_why() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[Attempt::Works, Attempt::Fails], Attempt::Works);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();

    let why = store.hand_over(&server).await.unwrap_err();
    assert!(why.starts_with("#2 did not take over, #1 serves on: "), "{why}");
    assert!(why.contains("as planned"), "{why}");
    assert_eq!(call(&runtime, "a_echo").await.unwrap().incarnation.0, 1);
    let status = store.server(&server).unwrap();
    assert_eq!((status.state, status.incarnation.0), (State::Ready, 1));
    assert!(status.cause.unwrap().contains("did not take over"));

    script.remove("echo");
    let why = store.hand_over(&server).await.unwrap_err();
    assert!(why.contains("no tools"), "{why}");
    assert_eq!(store.server(&server).unwrap().tools, 1, "its tools stay");

    let script = script.echo();
    assert_eq!(store.hand_over(&server).await.unwrap().unwrap().0, 4, "no number is given twice");
    assert_eq!(call(&runtime, "a_echo").await.unwrap().incarnation.0, 4);
    assert_eq!(script.lives(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_present_life_that_ends_meanwhile_is_followed_as_ever() {
    let (script, runtime) = (Script::new().echo().crash(), runtime().await);
    let flaky = Flaky::new(&script, &[Attempt::Works, Attempt::Hangs], Attempt::Works);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    let (handed, crashed) =
        tokio::join!(store.hand_over(&server), async { call(&runtime, "a_crash").await });
    assert!(handed.unwrap_err().contains("ended first"));
    crashed.unwrap_err();
    let expected = "#2 is not to take over any more: the present life ended first";
    assert!(store.history(&server).iter().any(|event| *event.cause == *expected));
    assert_eq!(call(&runtime, "a_echo").await.unwrap().incarnation.0, 3);
    until("the attempt that hung is ended", async || (flaky.under_way() == 0).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_serve_is_restarted_instead() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[], Attempt::Fatal);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    until("a failed", async || (store.server(&server)?.state == State::Failed).then_some(())).await;
    flaky.then(Attempt::Works);
    assert_eq!(store.hand_over(&server).await.unwrap(), None, "restarted");
    store.wait_ready(&server, MINUTE).await.unwrap();
}
