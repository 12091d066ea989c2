//! What happens to a call that may have run when its connection is lost: nothing more, unless
//! policy says that running it again does no harm.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use switchboard::{
    error::Kind,
    runtime::{
        CallError, CallRequest, Delivery, Failure, Retry, Runtime, RuntimeConfig, RuntimeHandle,
        Scope, ServerConfig, ToolRule,
    },
};

use crate::support::{
    flaky::{Attempt, Flaky},
    script::{Script, text},
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
