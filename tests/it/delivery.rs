//! How often a call is carried out: one that may have run when its connection is lost is not sent
//! again unless policy says that this does no harm, and one idempotency key is one execution.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;
use switchboard::{
    access::{Gate, Principal},
    error::{Classify as _, Kind},
    id::Owner,
    restart::State,
    runtime::{
        CallError, CallRequest, Delivery, Failure, Retry, Runtime, RuntimeConfig, RuntimeHandle,
        Scope, ServerConfig, ToolRule,
    },
};

use tokio::sync::Notify;

use crate::support::{
    flaky::{Attempt, Flaky},
    script::{Script, text},
    wait::until,
};

async fn runtime() -> RuntimeHandle {
    Runtime::spawn(RuntimeConfig::default()).await.unwrap()
}

fn rule(tools: &str) -> impl FnOnce(&mut ServerConfig) {
    let rule = ToolRule { retry: Some(Retry::Safe), ..ToolRule::default() };
    let rules = BTreeMap::from([(tools.to_owned(), rule)]);
    |config| config.tool_rules = rules
}

async fn failure(scope: &Scope, tool: &str) -> Failure {
    match scope.call(CallRequest::new(tool, &json!({}))).await {
        Err(CallError::Failed(failure)) => failure,
        other => panic!("{tool}: {other:?}"),
    }
}

/// Adds tools that end their server in its first life and answer in every later one.
fn dying_once(script: Script, tools: &[&str]) -> Script {
    tools.iter().fold(script, |script, tool| {
        let lives = script.clone();
        script.tool(tool, move |_| {
            let first = lives.lives() == 1;
            async move {
                assert!(!first, "a scripted crash");
                Ok(text("done"))
            }
        })
    })
}

#[tokio::test(start_paused = true)]
async fn what_may_have_run_is_sent_again_only_where_a_rule_calls_that_safe() {
    let script = dying_once(Script::new(), &["get_one", "set_one"]);
    let runtime = runtime().await;
    let flaky = Flaky::new(&script, &[], Attempt::Works);
    flaky.add_with(&runtime, "a", rule("get_*")).await;
    let store = runtime.store();

    let answer = store.call(CallRequest::new("a_get_one", &json!({}))).await.unwrap();
    assert_eq!(answer.incarnation.0, 2);
    assert_eq!(script.calls(), ["get_one", "get_one"]);

    let script = dying_once(Script::new(), &["set_one"]);
    Flaky::new(&script, &[], Attempt::Works).add_with(&runtime, "b", rule("get_*")).await;
    let lost = failure(&store, "b_set_one").await;
    assert_eq!((lost.kind, lost.phase), (Kind::OutcomeUnknown, Delivery::Written));
    assert!(lost.written.is_some(), "{lost:?}");
    assert_eq!(script.calls(), ["set_one"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_kills_its_server_each_time_comes_to_an_end() {
    let (script, runtime) = (Script::new().crash(), runtime().await);
    Flaky::new(&script, &[], Attempt::Works).add_with(&runtime, "a", rule("*")).await;
    let lost = failure(&runtime.store(), "a_crash").await;
    assert_eq!((lost.kind, lost.phase), (Kind::OutcomeUnknown, Delivery::Written));
    assert_eq!(script.calls(), ["crash", "crash", "crash"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_come_back_leaves_the_outcome_unknown() {
    let (script, runtime) = (Script::new().crash(), runtime().await);
    let flaky = Flaky::new(&script, &[Attempt::Works], Attempt::Fails);
    flaky.add_with(&runtime, "a", rule("*")).await;
    let lost = failure(&runtime.store(), "a_crash").await;
    assert_eq!((lost.kind, lost.phase), (Kind::OutcomeUnknown, Delivery::Written));
    assert_eq!(lost.incarnation.0, 1, "the life in which it may have run");
    assert!(lost.written.unwrap() > Duration::from_secs(1), "{lost:?}");
    assert_eq!(script.calls(), ["crash"]);
}

/// A call under an idempotency key, as it comes from a face.
fn keyed(tool: &str, key: &str, number: u32) -> CallRequest {
    let mut request = CallRequest::new(tool, &json!({}));
    let params = json!({
        "name": tool,
        "arguments": { "number": number },
        "_meta": { "io.switchboard/idempotencyKey": key },
    });
    request.params = serde_json::value::to_raw_value(&params).unwrap().into();
    request
}

async fn gated(script: &Script) -> (RuntimeHandle, Arc<Gate>) {
    let runtime = runtime().await;
    let server = Flaky::new(script, &[], Attempt::Works).add(&runtime, "a").await;
    runtime.store().wait_ready(&server, Duration::from_mins(1)).await.unwrap();
    let gate = Gate::new(runtime.clone());
    (runtime, gate)
}

async fn through(gate: &Gate, request: CallRequest) -> Result<String, CallError> {
    let answer = gate.call(&Principal::local(), &Owner::Store, request).await?;
    Ok(answer.result.get().to_owned())
}

#[tokio::test(start_paused = true)]
async fn one_key_is_one_execution_for_ten_minutes() {
    let script = Script::new().echo();
    let (_runtime, gate) = gated(&script).await;
    let (first, second) = tokio::join!(
        through(&gate, keyed("a_echo", "k", 1)),
        through(&gate, keyed("a_echo", "k", 1)),
    );
    let first = first.unwrap();
    assert_eq!(first, second.unwrap(), "those who come at once join");
    assert_eq!(first, through(&gate, keyed("a_echo", "k", 1)).await.unwrap());
    assert_eq!(script.calls().len(), 1);

    let other = through(&gate, keyed("a_echo", "k", 2)).await.unwrap_err();
    assert!(other.to_string().contains("other arguments"), "{other}");
    through(&gate, keyed("a_echo", "another", 1)).await.unwrap();
    assert_eq!(script.calls().len(), 2);

    tokio::time::advance(Duration::from_mins(10)).await;
    through(&gate, keyed("a_echo", "k", 2)).await.unwrap();
    assert_eq!(script.calls().len(), 3);
    for bad in ["", &"x".repeat(257)] {
        let error = through(&gate, keyed("a_echo", bad, 1)).await.unwrap_err();
        assert!(matches!(error, CallError::Invalid(_)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_under_a_key_goes_on_without_its_caller_and_an_unknown_outcome_is_given_again() {
    let release = Arc::new(Notify::new());
    let gate_of_tool = Arc::clone(&release);
    let script = Script::new().crash().tool("slow", move |_| {
        let release = Arc::clone(&gate_of_tool);
        async move {
            release.notified().await;
            Ok(text("late"))
        }
    });
    let (_runtime, gate) = gated(&script).await;

    let left = through(&gate, keyed("a_slow", "k", 1));
    tokio::time::timeout(Duration::from_secs(1), left).await.unwrap_err();
    release.notify_one();
    let answer = through(&gate, keyed("a_slow", "k", 1)).await.unwrap();
    assert!(answer.contains("late"), "{answer}");

    for _ in 0..2 {
        let error = through(&gate, keyed("a_crash", "k", 1)).await.unwrap_err();
        let CallError::Failed(failure) = error else { panic!("{error:?}") };
        assert_eq!(failure.kind, Kind::OutcomeUnknown);
    }
    assert_eq!(script.calls(), ["slow", "crash"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_executed_leaves_its_key_free() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[], Attempt::Fatal);
    let server = flaky.add(&runtime, "a").await;
    let (store, gate) = (runtime.store(), Gate::new(runtime.clone()));
    until("a failed", async || (store.server(&server)?.state == State::Failed).then_some(())).await;
    let refused = through(&gate, keyed("a_echo", "k", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Unavailable, "{refused}");

    flaky.then(Attempt::Works);
    store.restart(&server).await.unwrap();
    store.wait_ready(&server, Duration::from_mins(1)).await.unwrap();
    through(&gate, keyed("a_echo", "k", 1)).await.unwrap();
}
