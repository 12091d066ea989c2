//! Real child processes under supervision: stopped, crashing in loops, many at once.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Map, Value, json};
use switchboard::{
    catalog::ToolFilter,
    id::{AgentId, ServerName},
    restart::State,
    runtime::{
        AgentConfig, CallRequest, Isolation, MonitoringConfig, Runtime, RuntimeConfig,
        ServerConfig, TimeoutsConfig,
    },
    upstream::{TransportConfig, stdio::StdioConfig},
};

use crate::support::{
    binary::{PROGRAM, Switchboard},
    process::{self, children, descriptors},
    wait::{PATIENCE, until},
};

fn demo() -> ServerConfig {
    let stdio = StdioConfig { args: vec!["demo-server".to_owned()], ..StdioConfig::new(PROGRAM) };
    ServerConfig::new(TransportConfig::Stdio(stdio))
}

#[tokio::test]
async fn a_process_that_is_stopped_is_found_out_and_replaced() {
    let config = RuntimeConfig {
        monitoring: MonitoringConfig { health_check_seconds: 1, ..MonitoringConfig::default() },
        timeouts: TimeoutsConfig {
            health_check: Duration::from_millis(200),
            ..TimeoutsConfig::default()
        },
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::spawn(config).await.unwrap();
    let (store, server) = (runtime.store(), ServerName::new("demo").unwrap());
    store.add(server.clone(), demo()).await.unwrap();
    store.wait_ready(&server, PATIENCE).await.unwrap();
    let first = store.server(&server).unwrap().pid.unwrap();
    process::signal(first, Signal::STOP);
    until("the second life", async || {
        let now = store.server(&server)?;
        (now.state == State::Ready && now.incarnation.0 == 2).then_some(())
    })
    .await;
    let now = store.server(&server).unwrap();
    assert!(now.cause.unwrap().contains("no sign of life"), "the cause stays on show");
    until("the first process is gone", async || (!process::is_alive(first)).then_some(())).await;
    let hello = json!({ "text": "hello" });
    store.call(CallRequest::new("demo_echo", &hello)).await.unwrap();
    runtime.stop().await;
}

#[tokio::test]
async fn a_hundred_crash_loops_leave_no_zombie_and_no_descriptor() {
    let mut servers = Map::new();
    for at in 0..100 {
        servers.insert(format!("loop{at}"), json!({ "command": "false" }));
    }
    servers.insert("demo".to_owned(), json!({ "command": PROGRAM, "args": ["demo-server"] }));
    let switchboard = Switchboard::serve(&json!({
        "mcpServers": servers,
        "limits": { "connects_per_agent": 16 },
    }))
    .await;
    let pid = switchboard.pid();
    let standing = async || -> Option<Value> {
        let status = switchboard.status().await;
        let all = status["servers"].as_array()?;
        let open = all.iter().filter(|server| server["state"] == "open").count();
        (open == 100).then(|| status.clone())
    };
    let status = until("every circuit is open", standing).await;
    for server in status["servers"].as_array().unwrap() {
        if server["state"] == "open" {
            let lives = server["incarnation"].as_u64().unwrap();
            assert!((6..=9).contains(&lives), "{server}");
            assert!(server["cause"].as_str().unwrap().contains("exited with code 1"), "{server}");
        }
    }
    let rest = async || (children(pid) == (2, 0)).then_some(());
    until("only the good server and the guard have a process", rest).await;
    // Its own, the guard's, the listener's, the control socket's, and three pipes of the one child.
    let open = descriptors(pid);
    assert!(open < 40, "{open} descriptors");
    let echo = switchboard.client().call("demo_echo", json!({ "text": "undisturbed" })).await;
    assert!(echo.text().contains("undisturbed"));
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_granted_server_is_the_agents_own_process_unless_it_is_shared() {
    let name = |text: &str| ServerName::new(text).unwrap();
    let mut shared = demo();
    shared.isolation = Isolation::Shared;
    let agent = AgentConfig {
        servers: vec![name("own"), name("shared")],
        tools: ToolFilter { deny: vec!["*_crash".to_owned()], ..ToolFilter::default() },
        ..AgentConfig::default()
    };
    let runtime = Runtime::spawn(RuntimeConfig {
        servers: [(name("own"), demo()), (name("shared"), shared)].into(),
        agents: [(AgentId::new("research").unwrap(), agent)].into(),
        ..RuntimeConfig::default()
    })
    .await
    .unwrap();
    let (store, research) = (runtime.store(), runtime.agent("research").unwrap());
    for server in ["own", "shared"] {
        store.wait_ready(&name(server), PATIENCE).await.unwrap();
    }
    assert_eq!(store.tools().unwrap().tools().len(), 10);
    assert_eq!(research.tools().unwrap().tools().len(), 8, "without the two that crash");
    assert_eq!(research.server(&name("own")).unwrap().state, State::Idle, "until its first call");

    let hello = json!({ "text": "hello" });
    for tool in ["own_echo", "shared_echo"] {
        research.call(CallRequest::new(tool, &hello)).await.unwrap();
    }
    let of_store = store.server(&name("own")).unwrap().pid.unwrap();
    let of_agent = research.server(&name("own")).unwrap().pid.unwrap();
    assert_ne!(of_store, of_agent);
    assert!(research.server(&name("shared")).is_none(), "served by the store's connection");
    assert_eq!(store.server(&name("shared")).unwrap().calls, 1);
    let denied = research.call(CallRequest::new("own_crash", &hello)).await.unwrap_err();
    assert_eq!(denied.to_string(), "unknown tool \"own_crash\"");

    process::kill(of_agent);
    until("the agent's process is gone", async || process::is_reaped(of_agent).then_some(())).await;
    research.call(CallRequest::new("own_echo", &hello)).await.unwrap();
    assert_eq!(research.server(&name("own")).unwrap().incarnation.0, 2);
    assert_eq!(store.server(&name("own")).unwrap().pid, Some(of_store), "the store's is untouched");
    runtime.stop().await;
    assert!(!process::is_alive(of_store));
}
