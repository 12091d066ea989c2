//! What outlives a restart, shown with paused time and a store that two runtimes share, one after
//! the other.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use switchboard::{
    id::ServerName,
    restart::State,
    runtime::{
        CallRequest, MemoryStore, MonitoringConfig, Runtime, RuntimeConfig, RuntimeHandle,
        ServerConfig, Startup,
    },
    upstream::{TransportConfig, stdio::StdioConfig},
};

use crate::support::{
    flaky::{Attempt, Flaky},
    script::Script,
    wait::until,
};

mod binary;
mod disk;

const MINUTE: Duration = Duration::from_mins(1);

async fn pass(time: Duration) {
    tokio::time::timeout(time, std::future::pending::<()>()).await.unwrap_err();
}

async fn runtime(store: &Arc<MemoryStore>) -> RuntimeHandle {
    // Listing again on reconnection is off: what is known from before a restart is listed anyway.
    let monitoring =
        MonitoringConfig { update_tools_on_reconnection: false, ..MonitoringConfig::default() };
    let config = RuntimeConfig { monitoring, ..RuntimeConfig::default() };
    Runtime::builder().store(Arc::<MemoryStore>::clone(store)).spawn(config).await.unwrap()
}

/// A server that looks like a program: only of those is anything kept.
async fn add(
    runtime: &RuntimeHandle,
    flaky: &Flaky,
    change: impl FnOnce(&mut ServerConfig),
) -> ServerName {
    let program = |config: &mut ServerConfig| {
        config.transport = TransportConfig::Stdio(StdioConfig::new("program"));
        change(config);
    };
    flaky.add_with(runtime, "a", program).await
}

fn tools(runtime: &RuntimeHandle) -> Vec<String> {
    let view = runtime.store().tools().unwrap();
    view.tools().iter().map(|tool| tool.exposed.to_string()).collect()
}

fn lazy(config: &mut ServerConfig) {
    config.startup = Startup::Lazy;
}

/// A runtime that has listed the server and ended.
async fn listed(store: &Arc<MemoryStore>, script: &Script) {
    let runtime = runtime(store).await;
    let server = add(&runtime, &Flaky::new(script, &[], Attempt::Works), lazy).await;
    runtime.store().wait_ready(&server, MINUTE).await.unwrap();
    runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lazy_server_with_known_tools_is_listed_and_waits_for_its_first_call() {
    let (store, script) = (Arc::default(), Script::new().echo());
    listed(&store, &script).await;

    let runtime = runtime(&store).await;
    let flaky = Flaky::new(&script, &[], Attempt::Works);
    let server = add(&runtime, &flaky, lazy).await;
    assert_eq!(tools(&runtime), ["a_echo"]);
    pass(MINUTE).await;
    let status = runtime.store().server(&server).unwrap();
    assert_eq!((status.state, status.incarnation.0, status.tools), (State::Idle, 0, 1));
    assert!(flaky.attempts().is_empty());
    let mut changes = runtime.store().changes().unwrap();
    changes.mark_unchanged();
    runtime.store().call(CallRequest::new("a_echo", &json!({}))).await.unwrap();
    assert_eq!(flaky.attempts().len(), 1);
    assert!(!changes.has_changed().unwrap(), "its tools are the same");
}

#[tokio::test(start_paused = true)]
async fn a_changed_command_has_its_tools_learnt_anew() {
    let (store, script) = (Arc::default(), Script::new().echo());
    listed(&store, &script).await;

    let runtime = runtime(&store).await;
    let flaky = Flaky::new(&script, &[], Attempt::Works);
    add(&runtime, &flaky, |config| {
        lazy(config);
        config.transport = TransportConfig::Stdio(StdioConfig::new("another"));
    })
    .await;
    pass(MINUTE).await;
    assert_eq!((tools(&runtime), flaky.attempts().len()), (vec!["a_echo".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn an_eager_server_tells_of_a_change_only_if_its_tools_differ() {
    let (store, script) = (Arc::default(), Script::new().echo());
    listed(&store, &script).await;
    // What is known is one change of an empty list, before the server is ready.
    for (expected, script) in [(1, script), (2, Script::new().echo().crash())] {
        let runtime = runtime(&store).await;
        let mut changes = runtime.store().changes().unwrap();
        let before = changes.borrow_and_update().tools;
        let server = add(&runtime, &Flaky::new(&script, &[], Attempt::Works), |_| {}).await;
        runtime.store().wait_ready(&server, MINUTE).await.unwrap();
        assert_eq!(changes.borrow_and_update().tools, before + expected);
        runtime.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn tools_of_a_server_that_never_comes_back_are_withdrawn_once_after_the_grace() {
    let (store, script) = (Arc::default(), Script::new().echo());
    listed(&store, &script).await;

    let one = runtime(&store).await;
    add(&one, &Flaky::new(&script, &[], Attempt::Fails), |_| {}).await;
    let mut changes = one.store().changes().unwrap();
    changes.mark_unchanged();
    pass(9 * MINUTE).await;
    assert_eq!(tools(&one), ["a_echo"]);
    assert!(!changes.has_changed().unwrap());
    let before = changes.borrow_and_update().tools;
    pass(60 * MINUTE).await;
    assert!(tools(&one).is_empty());
    assert_eq!(changes.borrow_and_update().tools, before + 1, "told once");
    one.stop().await;

    // Withdrawn is withdrawn: a lazy one is asked again.
    let two = runtime(&store).await;
    let flaky = Flaky::new(&script, &[], Attempt::Works);
    add(&two, &flaky, lazy).await;
    pass(MINUTE).await;
    assert_eq!((tools(&two), flaky.attempts().len()), (vec!["a_echo".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn a_lazy_server_that_cannot_be_started_any_more_is_withdrawn_after_the_grace() {
    let (store, script) = (Arc::default(), Script::new().echo());
    listed(&store, &script).await;
    let runtime = runtime(&store).await;
    add(&runtime, &Flaky::new(&script, &[], Attempt::Fails), lazy).await;
    pass(60 * MINUTE).await;
    assert_eq!(tools(&runtime), ["a_echo"], "nobody has tried");
    runtime.store().call(CallRequest::new("a_echo", &json!({}))).await.unwrap_err();
    assert_eq!(tools(&runtime), ["a_echo"]);
    pass(11 * MINUTE).await;
    assert!(tools(&runtime).is_empty());
}

#[tokio::test(start_paused = true)]
async fn fifty_flaps_tell_of_no_change() {
    let (store, script) = (Arc::default(), Script::new().echo().crash());
    let runtime = runtime(&store).await;
    let flaky = Flaky::new(&script, &[], Attempt::Works);
    let server = add(&runtime, &flaky, |_| {}).await;
    runtime.store().wait_ready(&server, MINUTE).await.unwrap();
    let before = tools(&runtime);
    let mut changes = runtime.store().changes().unwrap();
    changes.mark_unchanged();
    for flap in 1..=50 {
        runtime.store().call(CallRequest::new("a_crash", &json!({}))).await.unwrap_err();
        assert_eq!(tools(&runtime), before, "flap {flap}");
        until("it is back", async || (script.lives() == flap + 1).then_some(())).await;
        runtime.store().wait_ready(&server, 10 * MINUTE).await.unwrap();
    }
    assert_eq!(flaky.attempts().len(), 51);
    assert!(!changes.has_changed().unwrap());
    assert_eq!(tools(&runtime), before);
}
