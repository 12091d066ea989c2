//! `isolation = "session"`: every session has a connection of its own to a server with state.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use switchboard::{
    error::{Classify as _, Kind},
    id::{AgentId, Owner, ServerName, SessionKey},
    restart::State,
    runtime::{
        AgentConfig, Answer, CallError, CallRequest, Isolation, Runtime, RuntimeConfig,
        RuntimeHandle, Scope, ServerConfig, ServerStatus,
    },
    upstream::{TransportConfig, stdio::StdioConfig},
    wire::Revision,
};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use crate::support::{
    binary::{PROGRAM, Switchboard},
    flaky::{Attempt, Flaky},
    process,
    script::{Script, text},
    wait::{PATIENCE, until},
};

fn session(name: &str) -> SessionKey {
    SessionKey::of(name)
}

async fn call(scope: &Scope, tool: &str, of: &str) -> Result<Answer, CallError> {
    let request = CallRequest::new(tool, &json!({}));
    scope.call(CallRequest { session: Some(session(of)), ..request }).await
}

/// A runtime with one server whose connections are told apart by their lives.
async fn isolated(script: &Script, config: RuntimeConfig) -> (RuntimeHandle, ServerName) {
    let runtime = Runtime::spawn(config).await.unwrap();
    let flaky = Flaky::new(script, &[], Attempt::Works);
    let server =
        flaky.add_with(&runtime, "a", |config| config.isolation = Isolation::Session).await;
    runtime.store().wait_ready(&server, PATIENCE).await.unwrap();
    (runtime, server)
}

/// The sessions that have a connection, with its state.
fn own(scope: &Scope) -> BTreeMap<SessionKey, ServerStatus> {
    let own = scope.servers().into_iter();
    own.filter_map(|status| Some((status.session.clone()?, status))).collect()
}

#[tokio::test(start_paused = true)]
async fn each_session_has_its_own_connection_until_it_is_over() {
    let script = Script::new().echo().crash();
    let (runtime, _) = isolated(&script, RuntimeConfig::default()).await;
    let store = runtime.store();
    assert_eq!(script.lives(), 1, "the common one, which lists");
    for _ in 0..2 {
        call(&store, "a_echo", "one").await.unwrap();
        call(&store, "a_echo", "two").await.unwrap();
        store.call(CallRequest::new("a_echo", &json!({}))).await.unwrap();
    }
    assert_eq!(script.lives(), 3);
    assert_eq!(script.listings(), 1, "a session's connection lists nothing");

    // One that dies comes back, and no other session notices.
    call(&store, "a_crash", "one").await.unwrap_err();
    assert_eq!(call(&store, "a_echo", "one").await.unwrap().incarnation.0, 2);
    assert_eq!(call(&store, "a_echo", "two").await.unwrap().incarnation.0, 1);

    runtime.release(&Owner::Store, &session("one"));
    until("its connection is gone", async || (own(&store).len() == 1).then_some(())).await;
    assert!(own(&store).contains_key(&session("two")));
    assert_eq!(runtime.status().servers.len(), 2);
    assert_eq!(call(&store, "a_echo", "one").await.unwrap().incarnation.0, 1, "a new one");
    runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_sessions_connection_is_restarted_and_no_other() {
    let (runtime, server) = isolated(&Script::new().echo(), RuntimeConfig::default()).await;
    let store = runtime.store();
    let lives = async || {
        let one = call(&store, "a_echo", "one").await.unwrap().incarnation.0;
        (one, call(&store, "a_echo", "two").await.unwrap().incarnation.0)
    };
    let (one, two) = lives().await;
    let common = store.server(&server).unwrap().incarnation;
    store.restart_of(&server, &session("one")).await.unwrap();
    assert_eq!(lives().await, (one + 1, two));
    assert_eq!(store.server(&server).unwrap().incarnation, common);
    assert!(store.restart_of(&server, &session("three")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_is_closed_and_the_next_call_makes_another() {
    let script = Script::new().echo();
    let (runtime, _) = isolated(&script, RuntimeConfig::default()).await;
    let store = runtime.store();
    call(&store, "a_echo", "one").await.unwrap();
    let idle = Duration::from_mins(31);
    tokio::time::timeout(idle, std::future::pending::<()>()).await.unwrap_err();
    until("it is idle", async || (own(&store)[&session("one")].state == State::Idle).then_some(()))
        .await;
    assert!(runtime.status().ready);
    assert_eq!(call(&store, "a_echo", "one").await.unwrap().incarnation.0, 2);
    runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_the_longest_unused_gives_way_but_never_one_in_use() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let script = Script::new().echo().tool("held", move |_| {
        let gate = Arc::clone(&held);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(text("through"))
        }
    });
    let mut config = RuntimeConfig::default();
    config.limits.session_connections = 2;
    let (runtime, _) = isolated(&script, config).await;
    let store = runtime.store();
    let mut holding = JoinSet::new();
    let hold = |of: &'static str| {
        let store = store.clone();
        async move { call(&store, "a_held", of).await.map(drop) }
    };
    holding.spawn(hold("one"));
    until("it runs", async || script.calls().contains(&"held".to_owned()).then_some(())).await;
    call(&store, "a_echo", "two").await.unwrap();
    call(&store, "a_echo", "three").await.unwrap();
    let sessions: Vec<SessionKey> = own(&store).into_keys().collect();
    assert!(sessions.contains(&session("one")) && sessions.contains(&session("three")));

    holding.spawn(hold("three"));
    until("both are in use", async || {
        own(&store).values().all(|status| status.in_flight == 1).then_some(())
    })
    .await;
    let refused = call(&store, "a_echo", "four").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Overloaded);
    assert!(refused.to_string().contains("limits.session_connections"), "{refused}");
    gate.add_permits(2);
    for held in holding.join_all().await {
        held.unwrap();
    }
    call(&store, "a_echo", "four").await.unwrap();
    runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_sessions_gets_as_many_connections_as_it_may_and_each_serves_its_own() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let script = Script::new().echo().tool("held", move |_| {
        let gate = Arc::clone(&held);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(text("through"))
        }
    });
    let mut config = RuntimeConfig::default();
    config.limits.session_connections = 3;
    let (runtime, _) = isolated(&script, config).await;
    let store = runtime.store();
    let mut burst = JoinSet::new();
    for number in 0..20 {
        let store = store.clone();
        burst.spawn(async move { call(&store, "a_held", &format!("s{number}")).await });
    }
    // All seats are asked for before the first of them was called.
    for _ in 0..17 {
        let refused = burst.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(refused.kind(), Kind::Overloaded, "{refused}");
        assert!(refused.to_string().contains("limits.session_connections"), "{refused}");
    }
    until("three are called", async || (script.calls().len() == 3).then_some(())).await;
    assert_eq!((own(&store).len(), script.lives()), (3, 1 + 3));
    gate.add_permits(3);
    for answer in burst.join_all().await {
        assert_eq!(answer.unwrap().incarnation.0, 1, "no seat was taken from the one who got it");
    }
    runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_never_called_is_kept_for_its_first_call_but_not_for_long() {
    let script = Script::new().echo();
    let mut config = RuntimeConfig::default();
    config.limits.session_connections = 1;
    let (runtime, _) = isolated(&script, config).await;
    let store = runtime.store();
    {
        let mut left = Box::pin(call(&store, "a_echo", "left"));
        assert!(futures::poll!(&mut left).is_pending(), "it has asked for a seat");
    }
    until("there is a seat", async || (own(&store).len() == 1).then_some(())).await;
    let began = Instant::now();
    let refused = call(&store, "a_echo", "other").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Overloaded, "{refused}");
    until("it gave way", async || call(&store, "a_echo", "other").await.ok()).await;
    let kept = began.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(6)).contains(&kept), "{kept:?}");
    runtime.stop().await;
}

#[tokio::test]
async fn an_agents_sessions_follow_the_servers_isolation() {
    let with = |isolation| {
        let mut command = StdioConfig::new(PROGRAM);
        command.args = vec!["demo-server".to_owned()];
        let mut server = ServerConfig::new(TransportConfig::Stdio(command));
        server.isolation = isolation;
        let name = ServerName::new("a").unwrap();
        let granted = AgentConfig { servers: vec![name.clone()], ..AgentConfig::default() };
        RuntimeConfig {
            servers: BTreeMap::from([(name, server)]),
            agents: BTreeMap::from([(AgentId::new("research").unwrap(), granted)]),
            ..RuntimeConfig::default()
        }
    };
    let runtime = Runtime::spawn(with(Isolation::Session)).await.unwrap();
    let research = runtime.agent("research").unwrap();
    call(&research, "a_now", "one").await.unwrap();
    call(&research, "a_now", "two").await.unwrap();
    assert_eq!(own(&research).len(), 2);
    assert!(own(&runtime.store()).is_empty());

    for (isolation, expected) in [(Isolation::Agent, 0), (Isolation::Session, 1)] {
        runtime.commit(runtime.prepare(with(isolation)).unwrap()).await;
        call(&research, "a_now", "one").await.unwrap();
        until("the sessions' connections are as configured", async || {
            (own(&research).len() == expected).then_some(())
        })
        .await;
    }
    runtime.stop().await;
}

fn config() -> Value {
    json!({
        "mcpServers": {
            "own": { "command": PROGRAM, "args": ["demo-server"], "isolation": "session" },
            "all": { "command": PROGRAM, "args": ["demo-server"] },
        },
        "agents": { "research": { "servers": ["own"] } },
    })
}

/// The processes behind the connections that sessions have for themselves.
async fn processes(switchboard: &Switchboard) -> Vec<(String, u32)> {
    let status = switchboard.status().await;
    let servers = status["servers"].as_array().unwrap().clone();
    let own = servers.into_iter().filter(|server| server["session"].is_string());
    own.filter_map(|server| {
        let pid = u32::try_from(server["pid"].as_u64()?).unwrap();
        Some((server["owner"].as_str().unwrap().to_owned(), pid))
    })
    .collect()
}

#[tokio::test]
async fn a_legacy_session_takes_its_process_with_it_and_modern_calls_share_one() {
    let switchboard = Switchboard::serve(&config()).await;
    let client = switchboard.client();
    let said = json!({ "text": "hello" });
    let one = client.initialize(Revision::V2025_11_25).await;
    let two = client.initialize(Revision::V2025_06_18).await;
    for legacy in [&one, &two, &one] {
        assert_eq!(legacy.call("own_echo", said.clone()).await.text(), "hello");
        assert_eq!(legacy.call("all_echo", said.clone()).await.text(), "hello");
    }
    let of_sessions = processes(&switchboard).await;
    assert_eq!(of_sessions.len(), 2, "{of_sessions:?}");
    for _ in 0..2 {
        assert_eq!(client.call("own_echo", said.clone()).await.text(), "hello");
    }
    assert_eq!(processes(&switchboard).await.len(), 3);
    let (owner, modern) = processes(&switchboard)
        .await
        .into_iter()
        .find(|process| !of_sessions.contains(process))
        .unwrap();
    assert_eq!(owner, "store");

    assert!(one.end().await < 300);
    assert!(two.end().await < 300);
    for (_, pid) in of_sessions {
        until("the session's process is gone", async || (!process::is_alive(pid)).then_some(()))
            .await;
    }
    assert!(process::is_alive(modern));
    assert!(switchboard.stop().await.success());
    assert!(!process::is_alive(modern));
}
