//! A running instance follows its configuration: files, signals, commands. The real program.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Output};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    binary::{PROGRAM, Switchboard},
    process,
    wait::until,
};

fn demo(description: &str) -> Value {
    json!({ "command": PROGRAM, "args": ["demo-server"], "description": description })
}

fn servers(names: &[&str]) -> Value {
    let entries: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), demo(name))).collect();
    json!({ "mcpServers": entries })
}

/// The life of every connection, once all of them are ready.
async fn lives(switchboard: &Switchboard, count: usize) -> BTreeMap<String, u64> {
    until("everything is ready", async || {
        let status = switchboard.status().await;
        let servers = status["servers"].as_array().unwrap().clone();
        let ready = servers.iter().filter(|server| server["state"] == "ready").count();
        (servers.len() == count && ready == count).then(|| {
            servers
                .iter()
                .map(|server| {
                    let name = server["server"].as_str().unwrap().to_owned();
                    (name, server["incarnation"].as_u64().unwrap())
                })
                .collect()
        })
    })
    .await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn reload(switchboard: &Switchboard) -> Value {
    let output = switchboard.command(&["reload", "--json"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn of_many_servers_only_the_changed_one_is_started_anew() {
    let names: Vec<String> = (0..30).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut config = servers(&names);
    let switchboard = Switchboard::serve(&config).await;
    lives(&switchboard, 30).await;

    config["mcpServers"]["s3"]["description"] = json!("another");
    config["mcpServers"]["s7"]["env"] = json!({ "ANOTHER": "1" });
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let client = switchboard.client();
        calls.spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..20 {
                answers
                    .push(client.call("s9_echo", json!({ "text": "on" })).await.text().to_owned());
            }
            answers
        });
    }
    switchboard.configure(&config);
    let done = reload(&switchboard).await;
    let changes = &done["changes"];
    // The file's change may have been seen before it was asked for.
    let seen = switchboard.log().contains("restarted: s7; changed in place: s3");
    assert!(
        seen || (changes["restarted"] == json!(["s7"]) && changes["in_place"] == json!(["s3"]))
    );
    let after = lives(&switchboard, 30).await;
    let restarted: Vec<&String> =
        after.iter().filter(|(_, life)| **life > 1).map(|(name, _)| name).collect();
    assert_eq!(restarted, ["s7"]);
    for answers in calls.join_all().await {
        assert!(answers.iter().all(|answer| answer == "on"));
    }
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_file_is_followed_however_it_is_saved() {
    let switchboard = Switchboard::serve(&servers(&["a"])).await;
    lives(&switchboard, 1).await;
    let file = switchboard.config();

    // Written in place.
    fs::write(&file, servers(&["a", "b"]).to_string()).unwrap();
    lives(&switchboard, 2).await;
    // Replaced by another file, as editors do.
    let beside = file.with_extension("swp");
    fs::write(&beside, servers(&["a", "b", "c"]).to_string()).unwrap();
    fs::rename(&beside, &file).unwrap();
    lives(&switchboard, 3).await;
    // A link to another file, as clusters mount configurations.
    let mounted = file.with_extension("mounted");
    fs::write(&mounted, servers(&["a"]).to_string()).unwrap();
    let link = file.with_extension("link");
    std::os::unix::fs::symlink(&mounted, &link).unwrap();
    fs::rename(&link, &file).unwrap();
    lives(&switchboard, 1).await;
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_why() {
    let switchboard = Switchboard::serve(&servers(&["a"])).await;
    let before = lives(&switchboard, 1).await;
    switchboard.configure(&json!({ "mcpServers": { "a": { "command": "" } }, "monitorin": {} }));
    let output = switchboard.command(&["reload"]).await;
    assert_eq!(output.status.code(), Some(78));
    let said = text(&output.stderr);
    assert!(said.contains("monitorin") && said.contains("did you mean"), "{said}");
    assert!(said.contains("mcpServers.a.command"), "{said}");
    fs::remove_file(switchboard.config()).unwrap();
    assert_eq!(switchboard.command(&["reload"]).await.status.code(), Some(78));
    assert_eq!(lives(&switchboard, 1).await, before);
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn what_cannot_change_while_it_runs_is_named() {
    let mut config = servers(&["a"]);
    let switchboard = Switchboard::serve(&config).await;
    config["server"] = json!({ "public_url": "https://example.com" });
    config["telemetry"] = json!({ "log": { "level": "debug" } });
    config["monitoring"] = json!({ "health_check_seconds": 5 });
    switchboard.configure(&config);
    let done = reload(&switchboard).await;
    assert_eq!(done["restart_needed"], json!(["server.public_url"]));
    switchboard.client().call("a_echo", json!({ "text": "x" })).await;
    until("the log follows its level", async || switchboard.log().contains("DEBUG").then_some(()))
        .await;
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_hangup_reloads_an_instance_without_a_terminal() {
    let switchboard = Switchboard::serve(&servers(&["a"])).await;
    let mut config = servers(&["a"]);
    config["agents"] =
        json!({ "research": { "servers": ["a"], "tools": { "allow": ["*_echo"] } } });
    let hangs_up = async || process::signal(switchboard.pid(), Signal::HUP);
    switchboard.configure(&config);
    hangs_up().await;
    until("the agent is there", async || {
        let listed = switchboard.command(&["tools", "--agent", "research", "--json"]).await;
        let tools: Value = serde_json::from_slice(&listed.stdout).ok()?;
        (tools.to_string().matches("a_").count() == 1).then_some(())
    })
    .await;
    assert!(switchboard.stop().await.success());
}

fn code(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stderr))
}

#[tokio::test]
async fn a_server_that_is_added_stays_until_it_is_removed() {
    let switchboard = Switchboard::serve(&servers(&["a"])).await;
    let add = |name: &'static str, more: &[&'static str]| {
        let mut arguments = vec!["add", name];
        arguments.extend(more);
        arguments.extend(["--env", "TOKEN=${HOME}", "--", PROGRAM, "demo-server"]);
        arguments
    };
    let added = switchboard.command(&add("later", &[])).await;
    assert_eq!((code(&added).0, text(&added.stdout).trim()), (Some(0), "added: later"));
    assert_eq!(switchboard.client().call("later_echo", json!({ "text": "x" })).await.text(), "x");
    let managed = fs::read_to_string(switchboard.state().join("managed.toml")).unwrap();
    assert!(managed.contains("[mcpServers.later]") && managed.contains("${HOME}"), "{managed}");

    let (again, why) = code(&switchboard.command(&add("later", &[])).await);
    assert!(again == Some(1) && why.contains("--replace"), "{why}");
    assert_eq!(code(&switchboard.command(&add("later", &["--replace"])).await).0, Some(0));
    let (defined, why) = code(&switchboard.command(&add("a", &["--replace"])).await);
    assert!(defined == Some(78) && why.contains("config.json; change it there"), "{why}");
    let (refused, why) = code(&switchboard.command(&["add", "bad", "--url", "nowhere"]).await);
    assert!(refused == Some(78) && why.contains("mcpServers.bad.url"), "{why}");
    let (unknown, _) = code(&switchboard.command(&["remove", "nobody"]).await);
    assert_eq!(unknown, Some(1));

    let switchboard = switchboard.restart().await;
    lives(&switchboard, 2).await;
    let removed = switchboard.command(&["remove", "later"]).await;
    assert_eq!(text(&removed.stdout).trim(), "removed: later");
    lives(&switchboard, 1).await;
    let managed: PathBuf = switchboard.state().join("managed.toml");
    assert!(!fs::read_to_string(managed).unwrap().contains("later"));
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn many_wishes_at_once_are_carried_out_one_after_another() {
    let switchboard = Switchboard::serve(&servers(&["a"])).await;
    let mut adding = JoinSet::new();
    for number in 0..8 {
        let name = format!("n{number}");
        let mut command = switchboard.program(&["add", &name, "--", PROGRAM, "demo-server"]);
        adding.spawn(async move { command.output().await.unwrap() });
    }
    for output in adding.join_all().await {
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    lives(&switchboard, 9).await;
    let health = switchboard.status().await["ready"].clone();
    assert_eq!(health, json!(true));
    assert!(switchboard.stop().await.success());
}
