//! The real program over its restarts: what it lists, what it starts, whom it lets in.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use switchboard::store::{SqliteStore, Store as _};
use tokio::time::Instant;

use crate::support::{
    binary::{PROGRAM, Switchboard},
    process,
    wait::until,
};

fn demo(startup: &str) -> Value {
    json!({ "command": PROGRAM, "args": ["demo-server"], "startup": startup })
}

fn config(servers: impl IntoIterator<Item = (String, Value)>) -> Value {
    json!({ "mcpServers": servers.into_iter().collect::<Map<_, _>>() })
}

/// Exposed names in their order, once there are as many.
pub(super) async fn listed(instance: &Switchboard, count: usize) -> Vec<String> {
    let client = instance.client();
    until(&format!("{count} tools"), async || {
        let tools = client.tools().await;
        (tools.len() == count).then(|| names(&tools))
    })
    .await
}

fn names(tools: &[Value]) -> Vec<String> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// Tools of one demonstration server.
pub(super) const DEMO_TOOLS: usize = 5;

#[tokio::test]
async fn a_cold_start_lists_fifty_lazy_servers_at_once_and_starts_no_process() {
    let lazy = |number| (format!("s{number:02}"), demo("lazy"));
    let config = config((0..50).map(lazy));
    let instance = Switchboard::serve(&config).await;
    let before = listed(&instance, 50 * DEMO_TOOLS).await;
    let folder = instance.leave().await;

    let began = Instant::now();
    let instance = Switchboard::serve_in(folder, &config, &[]).await;
    let ready = began.elapsed();
    let client = instance.client();
    let tools = client.tools().await;
    println!("{} tools: ready after {ready:?}, listed after {:?}", tools.len(), began.elapsed());
    assert_eq!(names(&tools), before);
    assert_eq!(process::children(instance.pid()).0, 0);
    let status = instance.status().await;
    let idle = status["servers"].as_array().unwrap().iter();
    assert_eq!(idle.filter(|it| it["state"] == "idle" && it["incarnation"] == 0).count(), 50);

    let reply = client.call("s07_echo", json!({ "text": "awake" })).await;
    let (server, guard) = (1, 1);
    assert_eq!((reply.text(), process::children(instance.pid()).0), ("awake", server + guard));
    assert!(instance.stop().await.success());
}

#[tokio::test]
async fn names_stay_with_who_had_them_over_a_restart() {
    let never = |servers: &[&str]| {
        let entries = servers.iter().map(|name| ((*name).to_owned(), demo("eager")));
        let mut config = config(entries);
        config["catalog"] = json!({ "prefix": "never" });
        config
    };
    let instance = Switchboard::serve(&never(&["second"])).await;
    let first = listed(&instance, DEMO_TOOLS).await;
    instance.configure(&never(&["second", "a_first"]));
    let instance = instance.restart().await;
    let both = listed(&instance, 2 * DEMO_TOOLS).await;
    let newcomers: BTreeSet<_> = both.iter().filter(|name| !first.contains(name)).collect();
    assert_eq!(newcomers.len(), DEMO_TOOLS, "{both:?}");
    assert_eq!(both[DEMO_TOOLS..], first, "the newcomer sorts first and takes no name");
    let instance = instance.restart().await;
    assert_eq!(listed(&instance, 2 * DEMO_TOOLS).await, both);
}

#[tokio::test]
async fn what_happened_before_a_restart_is_known_after_it() {
    let config = config([("demo".to_owned(), demo("eager"))]);
    let instance = Switchboard::serve(&config).await;
    instance.client().call("demo_crash", json!({})).await;
    let cause = until("it is back", async || {
        let status = instance.status().await;
        let server = &status["servers"][0];
        (server["state"] == "ready" && server["incarnation"] == 2)
            .then(|| server["cause"].as_str().unwrap_or_default().to_owned())
    })
    .await;
    assert!(!cause.is_empty());
    let state = instance.state();
    let _folder = instance.restart().await.leave().await;

    let store = SqliteStore::open(state.join("state.db")).await;
    let events = store.take_events();
    let told: Vec<&str> = events.iter().map(|event| &*event.json).collect();
    assert!(told.iter().any(|event| event.contains(r#""to":"backoff""#)), "{told:#?}");
    // Two runs: each connected for the first time once.
    let first = told.iter().filter(|event| event.contains(r#""cause":"configured""#));
    assert_eq!(first.count(), 2, "{told:#?}");
}

#[tokio::test]
async fn a_second_instance_is_refused_and_any_number_of_clients_work_beside_one() {
    let config = config([("demo".to_owned(), demo("lazy"))]);
    let instance = Switchboard::serve(&config).await;
    listed(&instance, DEMO_TOOLS).await;
    let file = instance.config();
    let file = file.to_str().unwrap();
    let second = instance.command(&["serve", "--config", file, "--port", "0"]).await;
    assert_eq!(second.status.code(), Some(75), "{second:?}");
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(words.contains(&format!("(process {})", instance.pid())), "{words}");

    let clients = (0..3).map(|_| async {
        let output = instance.command(&["stdio", "--config", file]).await;
        assert!(output.status.success(), "{output:?}");
    });
    futures::future::join_all(clients).await;
    assert_eq!(listed(&instance, DEMO_TOOLS).await.len(), DEMO_TOOLS);
    assert!(instance.stop().await.success());
}
