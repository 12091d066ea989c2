//! What random runs found, each as a small test of its own.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use switchboard::{
    error::{Classify as _, Kind},
    id::{AgentId, ServerName},
    restart::State,
    runtime::{
        AgentConfig, CallError, CallRequest, Runtime, RuntimeConfig, RuntimeHandle, ServerConfig,
    },
    upstream::{TransportConfig, stdio::StdioConfig},
};
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    flaky::{Attempt, Flaky},
    script::Script,
    wait::until,
};

const MINUTE: Duration = Duration::from_mins(1);

fn name(text: &str) -> ServerName {
    ServerName::new(text).unwrap()
}

fn request(tool: &str) -> CallRequest {
    CallRequest::new(tool, &json!({}))
}

/// A runtime whose agent `one` was granted the servers, which are added to the store later.
async fn granting(servers: &[&str]) -> RuntimeHandle {
    let placeholder = ServerConfig {
        enabled: false,
        ..ServerConfig::new(TransportConfig::Stdio(StdioConfig::new("-")))
    };
    let granted = servers.iter().map(|server| name(server)).collect();
    let agent = AgentConfig { servers: granted, ..AgentConfig::default() };
    Runtime::spawn(RuntimeConfig {
        servers: servers.iter().map(|server| (name(server), placeholder.clone())).collect(),
        agents: [(AgentId::new("one").unwrap(), agent)].into(),
        ..RuntimeConfig::default()
    })
    .await
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_first_listing_is_part_of_the_deadline() {
    let script = Script::new().hang();
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    Flaky::new(&script, &[Attempt::Fails; 4], Attempt::Works).add(&runtime, "a").await;
    let mut call = request("a_hang");
    call.timeout = Some(Duration::from_secs(10));
    let began = Instant::now();
    let late = runtime.store().call(call).await.unwrap_err();
    assert_eq!((late.kind(), began.elapsed().as_secs()), (Kind::Timeout, 10));
    assert_eq!(script.calls(), ["hang"], "it was listed, then called");
}

#[tokio::test(start_paused = true)]
async fn calls_that_waited_go_on_in_their_order() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let script = Script::new().crash().tool("note", move |call| {
        seen.lock().unwrap().push(call.arguments["at"].as_u64().unwrap());
        std::future::ready(Ok(crate::support::script::text("noted")))
    });
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let server = Flaky::new(&script, &[Attempt::Works, Attempt::Fails], Attempt::Works)
        .add_with(&runtime, "a", |config| config.max_in_flight = std::num::NonZeroU32::new(100))
        .await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    store.call(request("a_crash")).await.unwrap_err();
    until("it is down", async || (store.server(&server)?.state == State::Backoff).then_some(()))
        .await;
    let mut calls = JoinSet::new();
    for at in 0..100 {
        let caller = store.clone();
        let note = CallRequest::new("a_note", &json!({ "at": at }));
        calls.spawn(async move { caller.call(note).await.unwrap() });
    }
    calls.join_all().await;
    let noted = order.lock().unwrap().clone();
    assert_eq!(noted, (0..100).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn a_granted_server_serves_again_after_its_agents_supervisor_died() {
    let (script, runtime) = (Script::new().echo(), granting(&["shared"]).await);
    let shared = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "shared").await;
    let (store, one) = (runtime.store(), runtime.agent("one").unwrap());
    store.wait_ready(&shared, MINUTE).await.unwrap();
    one.call(request("shared_echo")).await.unwrap();

    let bugs = Flaky::new(&script, &[Attempt::Panics; 6], Attempt::Works);
    let config = ServerConfig::new(TransportConfig::InProcess);
    one.add_connector(name("private"), config, Arc::new(bugs)).await.unwrap();
    until("a supervisor began anew", async || {
        (one.server(&name("private"))?.state == State::Ready).then_some(())
    })
    .await;
    assert_eq!(one.server(&shared).unwrap().state, State::Idle);
    let began = Instant::now();
    let answer = one.call(request("shared_echo")).await.unwrap();
    assert_eq!((answer.incarnation.0, began.elapsed()), (2, Duration::ZERO));
    let events = one.history(&shared);
    let [bug, anew] = &*events.iter().filter(|it| it.to == State::Idle).collect::<Vec<_>>() else {
        panic!("{events:#?}");
    };
    assert!(bug.cause.starts_with("its supervisor ended, a bug of Switchboard: "), "{bug:?}");
    assert_eq!(&*anew.cause, "supervised anew");
}

#[tokio::test(start_paused = true)]
async fn a_granted_server_is_started_by_a_call_after_its_definition_changed() {
    let (script, runtime) = (Script::new().echo(), granting(&["shared"]).await);
    let shared = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "shared").await;
    let one = runtime.agent("one").unwrap();
    runtime.store().wait_ready(&shared, MINUTE).await.unwrap();
    one.call(request("shared_echo")).await.unwrap();

    // The store's own connection takes the new definition up at once, the agent's by a call.
    let other = TransportConfig::Stdio(StdioConfig::new("/no/such/program"));
    runtime.store().update(shared.clone(), ServerConfig::new(other)).await.unwrap();
    until("the agent's waits for a call", async || {
        (one.server(&shared)?.state == State::Idle).then_some(())
    })
    .await;
    let Err(CallError::Failed(failure)) = one.call(request("shared_echo")).await else {
        panic!("it cannot be called");
    };
    assert_eq!(failure.kind, Kind::Unavailable, "{}", failure.text);
    assert_eq!(one.server(&shared).unwrap().state, State::Failed);
}

#[tokio::test(start_paused = true)]
async fn an_agent_learns_of_a_granted_server_that_never_came_up_what_the_store_knows() {
    let (script, runtime) = (Script::new().echo(), granting(&["down", "up"]).await);
    let down = Flaky::new(&script, &[], Attempt::Fatal).add(&runtime, "down").await;
    let up = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "up").await;
    let (store, one) = (runtime.store(), runtime.agent("one").unwrap());
    store.wait_ready(&up, MINUTE).await.unwrap();
    store.wait_ready(&down, MINUTE).await.unwrap_err();

    let began = Instant::now();
    let Err(CallError::Failed(failure)) = one.call(request("down_echo")).await else {
        panic!("it cannot be called");
    };
    assert_eq!((failure.kind, began.elapsed()), (Kind::Unavailable, Duration::ZERO));
    assert!(failure.text.contains("failed"), "{}", failure.text);

    let unknown = one.call(request("up_nothing")).await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound, "a listed server's names are known");
    assert_eq!(one.server(&up).unwrap().tools, 1, "tools of the catalog that it serves");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_server_are_refused_when_it_is_disabled() {
    let (script, runtime) =
        (Script::new().echo(), Runtime::spawn(RuntimeConfig::default()).await.unwrap());
    let flaky = Flaky::new(&script, &[Attempt::Works], Attempt::Hangs);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    store.restart(&server).await.unwrap();
    let caller = store.clone();
    let mut calls = JoinSet::new();
    calls.spawn(async move { caller.call(request("a_echo")).await });
    until("it hangs", async || (flaky.under_way() == 1).then_some(())).await;
    let disabled = ServerConfig {
        enabled: false,
        ..ServerConfig::new(TransportConfig::Stdio(StdioConfig::new("-")))
    };
    let began = Instant::now();
    store.update(server, disabled).await.unwrap();
    let Err(CallError::Failed(failure)) = calls.join_next().await.unwrap().unwrap() else {
        panic!("it cannot be called");
    };
    assert_eq!(failure.kind, Kind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
