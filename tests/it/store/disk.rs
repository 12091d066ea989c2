//! The real program and a disk that fails it: damage, no space, an end in the middle of writing.

use std::{fs, path::Path};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};

use super::binary::{DEMO_TOOLS, listed};
use crate::support::{
    binary::{PROGRAM, Switchboard},
    wait::until,
};

fn config() -> Value {
    json!({ "mcpServers": {
        "demo": { "command": PROGRAM, "args": ["demo-server"], "startup": "lazy" },
    } })
}

fn aside(state: &Path) -> Vec<String> {
    let names = fs::read_dir(state).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|it| it.starts_with("state.db.damaged-") && !it.ends_with("-wal")).collect()
}

/// Why the state is kept in memory only, if it is.
async fn problem(instance: &Switchboard) -> Option<String> {
    let status = instance.status().await;
    status.get("state_problem").map(|why| why.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_damaged_state_is_set_aside_with_one_warning() {
    let instance = Switchboard::serve(&config()).await;
    listed(&instance, DEMO_TOOLS).await;
    let state = instance.state();
    let folder = instance.kill().await;
    // The log would bring the pages back.
    fs::remove_file(state.join("state.db-wal")).unwrap();
    fs::write(state.join("state.db"), "garbage".repeat(5000)).unwrap();

    let instance = Switchboard::serve_in(folder, &config(), &[]).await;
    listed(&instance, DEMO_TOOLS).await;
    let [name] = &aside(&state)[..] else { panic!("{:?}", aside(&state)) };
    let log = instance.log();
    let warnings = log.lines().filter(|line| line.contains("WARN") && line.contains("state.db"));
    let warnings: Vec<&str> = warnings.collect();
    assert!(matches!(&warnings[..], [one] if one.contains(name)), "{log}");
    assert_eq!(problem(&instance).await, None);
}

/// A process may not write beyond a size, which to it is a disk that is full, until it may again.
#[tokio::test]
async fn without_space_it_serves_from_memory_and_writes_when_there_is_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let instance = Switchboard::serve_without_space(folder, &config(), 16).await;
    listed(&instance, DEMO_TOOLS).await;
    let why = until("it says so", async || problem(&instance).await).await;
    assert!(!why.is_empty());
    let told = |log: &str| log.matches("state is kept in memory until").count();
    assert_eq!(told(&instance.log()), 1, "{}", instance.log());
    let text = instance.command(&["status"]).await;
    assert!(String::from_utf8_lossy(&text.stdout).contains("state is kept in memory only"));
    let client = instance.client();
    assert_eq!(client.call("demo_echo", json!({ "text": "on" })).await.text(), "on");

    let pid = Pid::from_raw(instance.pid().try_into().unwrap());
    let limit = Rlimit { current: None, maximum: getrlimit(Resource::Fsize).maximum };
    prlimit(pid, Resource::Fsize, limit).unwrap();
    until("it is written again", async || problem(&instance).await.is_none().then_some(())).await;
    assert_eq!(told(&instance.log()), 1);

    let instance = Switchboard::serve_in(instance.kill().await, &config(), &[]).await;
    assert_eq!(instance.client().tools().await.len(), DEMO_TOOLS, "known without a start");

    // What there is can be read where nothing can be written.
    let folder = instance.leave().await;
    let instance = Switchboard::serve_without_space(folder, &config(), 16).await;
    assert!(problem(&instance).await.is_some(), "{}", instance.log());
    assert_eq!(instance.client().tools().await.len(), DEMO_TOOLS, "known without a start");
}

#[tokio::test]
async fn an_end_in_the_middle_of_writing_harms_nothing() {
    let mut config = config();
    // It writes all the time: each life of it is an event.
    config["mcpServers"]["restless"] = json!({ "command": "true" });
    let instance = Switchboard::serve(&config).await;
    listed(&instance, DEMO_TOOLS).await;
    // In order, so that the list is kept from here on.
    let mut instance = Switchboard::serve_in(instance.leave().await, &config, &[]).await;
    let state = instance.state();
    for round in 0..20 {
        let servers: serde_json::Map<String, Value> = (0..20)
            .map(|number| (format!("r{round}x{number}"), json!({ "command": "true" })))
            .collect();
        let mut next = config.clone();
        next["mcpServers"].as_object_mut().unwrap().extend(servers);
        let folder = instance.kill().await;
        instance = Switchboard::serve_in(folder, &next, &[]).await;
        assert_eq!(instance.client().tools().await.len(), DEMO_TOOLS, "round {round}");
        assert_eq!(aside(&state), [""; 0], "round {round}: {}", instance.log());
    }
    assert_eq!(problem(&instance).await, None);
}

#[tokio::test]
async fn a_state_directory_that_is_removed_is_made_anew_with_one_warning() {
    let instance = Switchboard::serve(&config()).await;
    listed(&instance, DEMO_TOOLS).await;
    let added = instance.command(&["add", "late", "--", "true"]).await;
    assert!(added.status.success(), "{added:?}");
    let state = instance.state();
    // It may be writing a file at this moment.
    until("the directory is gone", async || fs::remove_dir_all(&state).ok()).await;
    until("commands reach it again", async || {
        instance.command(&["status"]).await.status.success().then_some(())
    })
    .await;
    until("what it remembers is written again", async || {
        state.join("state.db").metadata().is_ok_and(|file| file.len() > 0).then_some(())
    })
    .await;
    let log = instance.log();
    assert_eq!(log.matches("was removed, or files in it").count(), 1, "{log}");
    // What was added at run time is there again, and nothing is in the way of a reload.
    assert!(fs::read_to_string(state.join("managed.toml")).unwrap().contains("[mcpServers.late]"));
    let reloaded = instance.command(&["reload"]).await;
    assert!(reloaded.status.success(), "{reloaded:?}");
    let second = instance.config();
    let second = instance.command(&["serve", "--config", second.to_str().unwrap()]).await;
    assert_eq!(second.status.code(), Some(75), "the lock holds: {second:?}");
    assert_eq!(problem(&instance).await, None);

    let folder = instance.kill().await;
    let instance = Switchboard::serve_in(folder, &config(), &[]).await;
    listed(&instance, DEMO_TOOLS).await;
    let servers = instance.status().await["servers"].clone();
    let named = |name| {
        let mut all = servers.as_array().unwrap().iter();
        all.find(|server| server["server"] == name).unwrap_or_else(|| panic!("{name}: {servers}"))
    };
    let server = named("demo");
    assert_eq!((&server["state"], &server["incarnation"]), (&json!("idle"), &json!(0)));
    named("late");
    assert!(instance.stop().await.success());
}
