//! Another configuration for a tree that runs: only what differs is touched. Real processes.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use switchboard::{
    catalog::ToolFilter,
    id::{AgentId, Owner, ServerName},
    restart::State,
    runtime::{
        AgentConfig, CallRequest, Changes, Isolation, Runtime, RuntimeConfig, RuntimeHandle, Scope,
        ServerConfig, SpawnError,
    },
    secret::Secret,
    upstream::{TransportConfig, stdio::StdioConfig},
};

use crate::support::{
    binary::PROGRAM,
    flaky::{Attempt, Flaky},
    script::Script,
    wait::{PATIENCE, until},
};

fn name(text: &str) -> ServerName {
    ServerName::new(text).unwrap()
}

fn demo() -> ServerConfig {
    let mut command = StdioConfig::new(PROGRAM);
    command.args = vec!["demo-server".to_owned()];
    ServerConfig::new(TransportConfig::Stdio(command))
}

/// A demonstration server that must be started anew to be like this.
fn other() -> ServerConfig {
    let mut config = demo();
    if let TransportConfig::Stdio(command) = &mut config.transport {
        command.env.insert("ANOTHER".to_owned(), Secret::from("1"));
    }
    config
}

fn config(servers: &[(&str, ServerConfig)]) -> RuntimeConfig {
    let servers = servers.iter().map(|(server, config)| (name(server), config.clone())).collect();
    RuntimeConfig { servers, ..RuntimeConfig::default() }
}

async fn ready(scope: &Scope, servers: &[&str]) {
    for server in servers {
        scope.wait_ready(&name(server), PATIENCE).await.unwrap();
    }
}

/// The life and the process of each of these servers.
fn lives(scope: &Scope, servers: &[&str]) -> Vec<(u64, Option<u32>)> {
    let life = |server: &&str| {
        let status = scope.server(&name(server)).unwrap();
        (status.incarnation.0, status.pid)
    };
    servers.iter().map(life).collect()
}

async fn change(runtime: &RuntimeHandle, config: RuntimeConfig) -> Changes {
    runtime.commit(runtime.prepare(config).unwrap()).await
}

fn tools(scope: &Scope) -> Vec<String> {
    scope.tools().unwrap().tools().iter().map(|tool| tool.exposed.to_string()).collect()
}

async fn echo(scope: &Scope, tool: &str) -> u64 {
    let request = CallRequest::new(tool, &json!({ "text": "hello" }));
    scope.call(request).await.unwrap().incarnation.0
}

#[tokio::test]
async fn a_change_touches_what_differs_and_nothing_else() {
    let runtime = Runtime::spawn(config(&[("a", demo()), ("b", demo()), ("c", demo())])).await;
    let (runtime, all) = (runtime.unwrap(), ["a", "b", "c"]);
    let store = runtime.store();
    ready(&store, &all).await;
    let before = lives(&store, &all);

    let mut described = demo();
    described.description = Some("changed".to_owned());
    described.tools = ToolFilter { allow: vec!["echo".to_owned()], ..ToolFilter::default() };
    let wanted = config(&[("a", demo()), ("b", described), ("c", other()), ("d", demo())]);
    let changes = change(&runtime, wanted.clone()).await;
    assert_eq!(
        changes.to_string(),
        "added: d; connecting anew: c; changed in place: b",
        "what was done is said"
    );
    until("a new life has taken over", async || (echo(&store, "c_echo").await == 2).then_some(()))
        .await;
    ready(&store, &["d"]).await;
    assert_eq!(lives(&store, &["a", "b"]), before[..2]);
    assert_eq!(store.server(&name("b")).unwrap().description.as_deref(), Some("changed"));
    assert_eq!(tools(&store).iter().filter(|tool| tool.starts_with("b_")).count(), 1);

    assert!(change(&runtime, wanted).await.is_empty(), "the same again is no change");
    let changes = change(&runtime, config(&[("a", demo())])).await;
    assert_eq!(changes.removed, ["b", "c", "d"]);
    until("what was removed is gone", async || (store.servers().len() == 1).then_some(())).await;
    assert!(tools(&store).iter().all(|tool| tool.starts_with("a_")));
    assert_eq!(lives(&store, &["a"]), before[..1]);
    runtime.stop().await;
}

#[tokio::test]
async fn a_definition_that_changes_back_while_it_is_carried_out_is_carried_out_too() {
    let runtime = Runtime::spawn(config(&[("a", demo())])).await.unwrap();
    let store = runtime.store();
    ready(&store, &["a"]).await;
    change(&runtime, config(&[("a", other())])).await;
    change(&runtime, config(&[])).await;
    let changes = change(&runtime, config(&[("a", demo())])).await;
    assert_eq!(changes.added, ["a"]);
    until("the last configuration holds", async || {
        (store.wait_ready(&name("a"), PATIENCE).await.is_ok() && tools(&store).len() == 5)
            .then_some(())
    })
    .await;
    echo(&store, "a_echo").await;
    runtime.stop().await;
}

#[tokio::test]
async fn agents_come_change_what_they_see_and_go() {
    let agent = |config: AgentConfig, servers: RuntimeConfig| RuntimeConfig {
        agents: BTreeMap::from([(AgentId::new("research").unwrap(), config)]),
        ..servers
    };
    let two = || config(&[("a", demo()), ("b", demo())]);
    let runtime = Runtime::spawn(two()).await.unwrap();
    ready(&runtime.store(), &["a", "b"]).await;
    assert!(runtime.agent("research").is_none());

    let granted = AgentConfig { servers: vec![name("a")], ..AgentConfig::default() };
    assert_eq!(change(&runtime, agent(granted.clone(), two())).await.agents, ["research"]);
    let research = runtime.agent("research").unwrap();
    assert_eq!(tools(&research).len(), 5, "its view is there when the change is");
    assert_eq!(echo(&research, "a_echo").await, 1);
    let version = research.changes().unwrap();

    let filter = ToolFilter { allow: vec!["*_echo".to_owned()], ..ToolFilter::default() };
    let wanted = AgentConfig {
        servers: vec![name("b")],
        private: BTreeMap::from([(name("own"), demo())]),
        tools: filter,
    };
    let changes = change(&runtime, agent(wanted, two())).await;
    assert_eq!((changes.added, changes.agents.len()), (vec!["research/own".to_owned()], 1));
    assert!(version.has_changed().unwrap(), "its listeners are told");
    ready(&research, &["own"]).await;
    assert_eq!(tools(&research), ["b_echo", "own_echo"]);
    until("the revoked connection is gone", async || {
        research.server(&name("a")).is_none().then_some(())
    })
    .await;

    assert_eq!(change(&runtime, two()).await.agents, ["research"]);
    assert!(runtime.agent("research").is_none());
    until("its connections are gone", async || {
        let servers = runtime.status().servers;
        servers.iter().all(|server| server.owner == Owner::Store).then_some(())
    })
    .await;
    assert!(research.tools().is_err());
    assert_eq!(change(&runtime, agent(granted, two())).await.agents, ["research"]);
    assert_eq!(echo(&runtime.agent("research").unwrap(), "a_echo").await, 1);
    runtime.stop().await;
}

#[tokio::test]
async fn a_grant_that_becomes_shared_is_served_by_the_stores_connection() {
    let with = |isolation| {
        let mut server = demo();
        server.isolation = isolation;
        let granted = AgentConfig { servers: vec![name("a")], ..AgentConfig::default() };
        RuntimeConfig {
            agents: BTreeMap::from([(AgentId::new("research").unwrap(), granted)]),
            ..config(&[("a", server)])
        }
    };
    let runtime = Runtime::spawn(with(Isolation::Agent)).await.unwrap();
    let research = runtime.agent("research").unwrap();
    ready(&runtime.store(), &["a"]).await;
    echo(&research, "a_echo").await;
    assert_eq!(research.servers().len(), 1);
    assert_eq!(change(&runtime, with(Isolation::Shared)).await.in_place, ["a"]);
    until("its own connection is gone", async || research.servers().is_empty().then_some(())).await;
    echo(&research, "a_echo").await;
    change(&runtime, with(Isolation::Agent)).await;
    echo(&research, "a_echo").await;
    assert_eq!(research.servers().len(), 1);
    runtime.stop().await;
}

#[tokio::test]
async fn settings_hold_at_once_and_names_follow_them() {
    let runtime = Runtime::spawn(config(&[("a", demo())])).await.unwrap();
    let store = runtime.store();
    ready(&store, &["a"]).await;
    let mut wanted = config(&[("a", demo())]);
    wanted.catalog.separator = ".".to_owned();
    wanted.limits.page_size = 2;
    wanted.monitoring.health_check_seconds = 1;
    wanted.timeouts.call = Duration::from_secs(7);
    let changes = change(&runtime, wanted).await;
    assert_eq!(changes, Changes { settings: true, ..Changes::default() });
    assert_eq!(runtime.page_size(), 2);
    assert!(tools(&store).iter().all(|tool| tool.starts_with("a.")));
    assert_eq!(echo(&store, "a.echo").await, 1);
    runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn health_checks_follow_a_shorter_interval_at_once() {
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let mut slow = RuntimeConfig::default();
    slow.monitoring.health_check_seconds = 3600;
    change(&runtime, slow).await;
    let script = Script::new().echo();
    let server = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "a").await;
    runtime.store().wait_ready(&server, PATIENCE).await.unwrap();

    let mut quick = RuntimeConfig::default();
    quick.monitoring.health_check_seconds = 10;
    quick.monitoring.enable_tools_update = true;
    quick.monitoring.tools_update_hours = 0.01;
    let changes = change(&runtime, quick).await;
    assert!(changes.settings && changes.removed.is_empty(), "what was added stays: {changes}");
    let listed = script.listings();
    let began = tokio::time::Instant::now();
    until("the tools are listed on the new interval", async || {
        (script.listings() > listed).then_some(())
    })
    .await;
    assert!(began.elapsed() <= Duration::from_secs(37));
}

#[tokio::test]
async fn what_was_added_to_the_running_tree_is_never_replaced_by_a_configuration() {
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let script = Script::new().echo();
    let server = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "a").await;
    runtime.store().wait_ready(&server, PATIENCE).await.unwrap();
    let refused = runtime.prepare(config(&[("a", demo())])).unwrap_err();
    assert!(matches!(refused, SpawnError::Added { .. }), "{refused}");
    assert!(change(&runtime, config(&[])).await.is_empty());
    assert_eq!(echo(&runtime.store(), "a_echo").await, 1);
    runtime.stop().await;
}

#[tokio::test]
async fn a_server_that_is_leaving_leaves_once_however_often_the_rest_changes() {
    let runtime = Runtime::spawn(config(&[("a", demo())])).await.unwrap();
    let (store, server) = (runtime.store(), name("a"));
    ready(&store, &["a"]).await;
    let caller = store.clone();
    let mut calls = tokio::task::JoinSet::new();
    calls.spawn(async move {
        caller.call(CallRequest::new("a_slow", &json!({ "seconds": 1.5 }))).await
    });
    until("the call", async || (store.server(&server)?.in_flight > 0).then_some(())).await;
    for page_size in [0, 2, 3] {
        let mut wanted = config(&[]);
        if page_size > 0 {
            wanted.limits.page_size = page_size;
        }
        change(&runtime, wanted).await;
        assert_eq!(store.server(&server).unwrap().state, State::Draining);
    }
    calls.join_next().await.unwrap().unwrap().unwrap();
    let events = store.history(&server);
    let drained = events.iter().filter(|event| event.to == State::Draining);
    assert_eq!(drained.count(), 1);
    runtime.stop().await;
}
