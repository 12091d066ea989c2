//! A running instance follows its configuration: files, signals, commands. The real program.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Output};

use rustix::{
    fs::{Mode, OFlags},
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
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
    let names: Vec<String> = (0..100).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut config = servers(&names);
    let switchboard = Switchboard::serve(&config).await;
    lives(&switchboard, 100).await;

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
    let seen = switchboard.log().contains("connecting anew: s7; changed in place: s3");
    assert!(
        seen || (changes["restarted"] == json!(["s7"]) && changes["in_place"] == json!(["s3"]))
    );
    let after = until("the changed server's next life", async || {
        let after = lives(&switchboard, 100).await;
        (after["s7"] > 1).then_some(after)
    })
    .await;
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
    config["server"] = json!({ "port": 0 });
    let switchboard = Switchboard::serve(&config).await;
    let before = lives(&switchboard, 1).await;
    let from = async |host: &str| {
        let request = switchboard.client().post().header("host", host).json(&json!({}));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(from("gateway").await, 403);

    config["server"] = json!({ "port": 1, "allowed_hosts": ["gateway"] });
    config["telemetry"] = json!({ "log": { "level": "debug" } });
    config["monitoring"] = json!({ "health_check_seconds": 5 });
    switchboard.configure(&config);
    let done = reload(&switchboard).await;
    assert_eq!(done["restart_needed"], json!(["server.port (0 until then, not 1)"]));
    until("the log says it too", async || {
        switchboard.log().contains("restart needed: server.port").then_some(())
    })
    .await;
    assert_ne!(from("gateway").await, 403, "whom it admits changes in place");
    assert_eq!(lives(&switchboard, 1).await, before, "what watches changes in place");
    switchboard.client().call("a_echo", json!({ "text": "x" })).await;
    until("the log follows its level", async || switchboard.log().contains("DEBUG").then_some(()))
        .await;
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_hangup_reloads_an_instance_without_a_terminal() {
    let mut config = servers(&["a"]);
    config["telemetry"] = json!({ "log": { "level": "debug" } });
    let switchboard = Switchboard::serve(&config).await;
    process::signal(switchboard.pid(), Signal::HUP);
    until("it is read", async || switchboard.log().contains("why=\"SIGHUP\"").then_some(())).await;
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_terminal_that_is_closed_ends_what_was_started_from_it() {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let stdin = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut switchboard = Switchboard::serve_at(&servers(&["a"]), stdin).await;
    drop(terminal);
    process::signal(switchboard.pid(), Signal::HUP);
    assert!(switchboard.ended().await.success());
    assert!(switchboard.log().contains("draining"), "{}", switchboard.log());
}

#[tokio::test]
async fn agents_come_see_something_else_and_go() {
    let switchboard = Switchboard::serve(&servers(&["a"])).await;
    let seen = async || {
        let listed = switchboard.command(&["tools", "--agent", "research", "--json"]).await;
        serde_json::from_slice::<Value>(&listed.stdout).ok().map(|tools| {
            let names = tools.to_string();
            ["a_echo", "a_now"].map(|name| names.contains(&format!("\"{name}\"")))
        })
    };
    let mut config = servers(&["a"]);
    for (tools, expected) in [("a_echo", [true, false]), ("a_now", [false, true])] {
        config["agents"]["research"] = json!({ "servers": ["a"], "tools": { "allow": [tools] } });
        switchboard.configure(&config);
        reload(&switchboard).await;
        until("its view", async || (seen().await == Some(expected)).then_some(())).await;
    }
    switchboard.configure(&servers(&["a"]));
    reload(&switchboard).await;
    assert_eq!(seen().await, None);
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_file_that_comes_is_read_and_one_that_goes_changes_nothing() {
    let mut config = servers(&["a"]);
    config["mcpServers"]["a"]["env"] = json!({ "VALUE": "${VALUE:-none}" });
    let switchboard = Switchboard::serve(&config).await;
    lives(&switchboard, 1).await;
    let variables = switchboard.config().with_file_name(".env");
    fs::write(&variables, "VALUE=some\n").unwrap();
    let life = async |expected: u64| {
        until("this life", async || (lives(&switchboard, 1).await["a"] == expected).then_some(()))
            .await;
    };
    life(2).await;

    fs::remove_file(&variables).unwrap();
    let (refused, why) = code(&switchboard.command(&["reload"]).await);
    assert!(
        refused == Some(78) && why.contains(".env: was read before and is gone or empty"),
        "{why}"
    );
    life(2).await;
    fs::write(&variables, "VALUE=other\n").unwrap();
    life(3).await;

    // A file that is missing when it is named is awaited too.
    config["mcpServers"]["a"]["envFile"] = json!("later/vars");
    switchboard.configure(&config);
    until("the problem", async || switchboard.log().contains("later/vars").then_some(())).await;
    let later = switchboard.config().with_file_name("later");
    fs::create_dir(&later).unwrap();
    fs::write(later.join("vars"), "MORE=1\n").unwrap();
    life(4).await;
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_touch_is_no_change_and_reading_is_none_either() {
    let mut config = servers(&["a"]);
    config["telemetry"] = json!({ "log": { "level": "debug" } });
    let switchboard = Switchboard::serve(&config).await;
    lives(&switchboard, 1).await;
    fs::write(switchboard.config(), config.to_string()).unwrap();
    fs::read(switchboard.config()).unwrap();
    // A real change afterwards shows that the touch was looked at.
    let marked = switchboard.config().with_file_name(".env");
    fs::write(&marked, "SWITCHBOARD_MONITORING__HEALTH_CHECK_SECONDS=7\n").unwrap();
    until("the change", async || switchboard.log().contains("settings changed").then_some(()))
        .await;
    assert_eq!(switchboard.log().matches("why=\"a file changed\"").count(), 1);
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn what_was_added_may_be_granted_by_a_file_and_holds_nothing_but_servers() {
    let mut config = servers(&["a"]);
    let switchboard = Switchboard::serve(&config).await;
    let add = ["add", "later", "--", PROGRAM, "demo-server"];
    assert_eq!(code(&switchboard.command(&add).await).0, Some(0));
    config["agents"] = json!({ "research": { "servers": ["later"] } });
    switchboard.configure(&config);
    reload(&switchboard).await;
    let (added, why) =
        code(&switchboard.command(&["add", "more", "--", PROGRAM, "demo-server"]).await);
    assert_eq!(added, Some(0), "{why}");
    let (needed, why) = code(&switchboard.command(&["remove", "later"]).await);
    assert!(needed == Some(78) && why.contains("agents.research.servers"), "{why}");
    let (defined, why) = code(&switchboard.command(&["remove", "a"]).await);
    assert!(defined == Some(78) && why.contains("config.json; change it there"), "{why}");

    let managed = switchboard.state().join("managed.toml");
    let servers = fs::read_to_string(&managed).unwrap();
    fs::write(&managed, format!("{servers}\n[monitoring]\ncleanup_hours = 1\n")).unwrap();
    let (refused, why) = code(&switchboard.command(&["reload"]).await);
    assert!(refused == Some(78) && why.contains("only servers may stand here"), "{why}");
    fs::write(&managed, servers).unwrap();
    let shown = switchboard.command(&["config", "show", "--config", "config.json"]).await;
    assert!(text(&shown.stdout).contains("managed.toml"), "{shown:?}");
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
async fn what_cannot_be_started_is_a_warning_and_what_cannot_be_written_leaves_nothing() {
    let switchboard = Switchboard::serve(&servers(&["a"])).await;
    let (added, told) = code(&switchboard.command(&["add", "b", "--", "no-such-program"]).await);
    assert_eq!(added, Some(0), "{told}");
    assert_eq!(told.matches("warning: ").count(), 1, "{told}");
    assert!(
        told.contains("mcpServers.b.command: cannot start \"no-such-program\": not found"),
        "{told}"
    );

    // A full disk takes the file and not what should stand in it.
    let beside = switchboard.state().join("managed.toml.new");
    std::os::unix::fs::symlink("/dev/full", &beside).unwrap();
    let more = ["add", "c", "--", PROGRAM, "demo-server"];
    let (refused, why) = code(&switchboard.command(&more).await);
    assert!(refused == Some(1) && why.contains("No space left"), "{refused:?} {why}");
    assert!(fs::symlink_metadata(&beside).is_err(), "what came of it is gone");
    assert_eq!(code(&switchboard.command(&more).await).0, Some(0));
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn whoever_waits_hears_that_a_server_is_ready_or_why_it_is_not() {
    let switchboard = Switchboard::serve(&servers(&["a"])).await;
    let added = switchboard.command(&["add", "b", "--wait", "--", PROGRAM, "demo-server"]).await;
    assert_eq!(text(&added.stdout), "added: b\nb #1 is ready\n", "{added:?}");
    let again = switchboard.command(&["restart", "b", "--wait"]).await;
    assert_eq!(text(&again.stdout), "restarting b\nb #2 is ready\n", "{again:?}");

    // Its call is still answered, so that the removed one drains beside its successor.
    let slow = r#"{"seconds": 5}"#;
    let mut call = switchboard.program(&["call", "b_slow", slow]).spawn().unwrap();
    until("the call runs", async || (switchboard.status().await["calls"] == 1).then_some(())).await;
    assert!(switchboard.command(&["remove", "b"]).await.status.success());
    let anew = switchboard.command(&["add", "b", "--wait", "--", PROGRAM, "demo-server"]).await;
    assert_eq!(text(&anew.stdout), "added: b\nb #1 is ready\n", "{anew:?}");
    assert!(call.wait().await.unwrap().success());

    let missing = ["add", "c", "--wait", "--", "no-such-program"];
    let (failed, why) = code(&switchboard.command(&missing).await);
    assert_eq!(failed, Some(1), "{why}");
    assert!(why.contains("\nerror: c was given up: cannot start \"no-such-program\""), "{why}");
    let stays = "c stays configured although it is not ready; `switchboard remove c` removes it";
    assert!(why.contains(stays), "{why}");
    let handed = switchboard.command(&["restart", "c", "--handover"]).await;
    assert_eq!(text(&handed.stdout), "c did not serve; restarting it\n", "{handed:?}");
    assert!(handed.status.success() && switchboard.stop().await.success());
}

#[tokio::test]
async fn a_reload_that_finds_nothing_says_when_and_by_what_the_files_were_applied() {
    let switchboard = Switchboard::serve(&servers(&["a"])).await;
    lives(&switchboard, 1).await;
    let nothing = async |by: &str| {
        let said = text(&switchboard.command(&["reload"]).await.stdout);
        let begins = said.starts_with("nothing changed: the configuration was last applied ");
        assert!(begins && said.ends_with(&format!(" s ago ({by})\n")), "{said}");
    };
    nothing("the start").await;
    switchboard.configure(&servers(&["a", "b"]));
    lives(&switchboard, 2).await;
    nothing("a file changed").await;
    let add = ["add", "c", "--", PROGRAM, "demo-server"];
    assert!(switchboard.command(&add).await.status.success());
    nothing("switchboard add").await;
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_disabled_server_is_called_that_and_not_unknown() {
    let mut config = servers(&["a", "b"]);
    config["mcpServers"]["b"]["disabled"] = json!(true);
    config["agents"] = json!({ "research": { "servers": ["b"] } });
    let switchboard = Switchboard::serve(&config).await;
    for command in [
        &["restart", "b"][..],
        &["restart", "b", "--handover"],
        &["restart", "b", "--agent", "research"],
        &["why", "b"],
    ] {
        let (failed, why) = code(&switchboard.command(command).await);
        let told = why.starts_with("error: b is disabled; to enable it, remove `disabled = true`");
        assert!(failed == Some(1) && told, "{command:?}: {why}");
    }
    let (_, why) = code(&switchboard.command(&["restart", "none"]).await);
    assert!(why.contains("unknown server"), "{why}");
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
