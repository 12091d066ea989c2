//! The command line as a shell meets it: what is printed where, and how it ends.

use std::process::{Output, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};
use switchboard::wire::Revision;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    time::timeout,
};

use crate::support::{
    binary::{PROGRAM, Switchboard},
    outgoing::to_client,
    process,
    wait::{PATIENCE, until},
};

/// The program in a directory of its own.
fn program(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .current_dir(directory)
        .env("SWITCHBOARD_STATE_DIR", directory.path().join("state"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run(directory: &TempDir, arguments: &[&str]) -> Output {
    let running = program(directory, arguments).output();
    timeout(PATIENCE, running).await.expect("it ends").unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn demo() -> Value {
    json!({
        "mcpServers": {"demo": {"command": PROGRAM, "args": ["demo-server"]}},
        "agents": {"research": {"servers": ["demo"]}},
    })
}

async fn serving(config: &Value) -> Switchboard {
    let switchboard = Switchboard::serve(config).await;
    let client = switchboard.client();
    until("the tools", async || (client.tools().await.len() == 5).then_some(())).await;
    switchboard
}

#[tokio::test]
async fn a_bad_configuration_is_told_whole_and_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bad = "[monitoring]\nhealth_check_seconds = 0\n\n[timeout]\ncall = \"1s\"\n";
    std::fs::write(directory.path().join("bad.toml"), bad).unwrap();
    for arguments in [["config", "check"].as_slice(), &["serve"], &["stdio"]] {
        let output = run(&directory, &[arguments, &["--config", "bad.toml"]].concat()).await;
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let told = text(&output.stderr);
        assert!(told.contains("bad.toml: monitoring.health_check_seconds"), "{told}");
        assert!(told.contains("timeouts"), "{told}");
    }
    assert!(!directory.path().join("state").exists());
}

#[tokio::test]
async fn a_good_configuration_is_counted_shown_and_described() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("good.json"), demo().to_string()).unwrap();
    let check = run(&directory, &["config", "check", "-c", "good.json"]).await;
    assert_eq!(text(&check.stdout), "good.json: ok, 1 server, 1 agent\n");
    let show = run(&directory, &["config", "show", "--json", "-c", "good.json"]).await;
    let shown: Value = serde_json::from_slice(&show.stdout).unwrap();
    assert_eq!(shown["config"]["mcpServers"]["demo"]["args"], json!(["demo-server"]));
    let schema = run(&directory, &["config", "schema"]).await;
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(schema["properties"]["mcpServers"].is_object());
}

#[tokio::test]
async fn without_an_instance_its_commands_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [["status"].as_slice(), &["tools"], &["call", "a_b"], &["restart", "a"]] {
        let output = run(&directory, arguments).await;
        assert_eq!(output.status.code(), Some(69), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        assert!(text(&output.stderr).contains("`switchboard serve`"), "{output:?}");
    }
}

#[tokio::test]
async fn wrong_usage_ends_with_two() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        ["frobnicate"].as_slice(),
        &["serve", "--port", "many"],
        &["tools", "--agent", "a/b"],
        &["call", "a_b", "[1]"],
        &["call", "a_b", "--timeout", "0s"],
    ] {
        let output = run(&directory, arguments).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    assert!(run(&directory, &["--help"]).await.status.success());
}

#[tokio::test]
async fn the_running_instance_is_seen_and_used_from_the_shell() {
    let switchboard = serving(&demo()).await;
    let ready = switchboard.ready_line();
    assert!(ready.ends_with("/mcp (1 server, 1 agent)"), "{ready}");

    let status = switchboard.command(&["status"]).await;
    let status = text(&status.stdout);
    assert!(status.starts_with("serving for "), "{status}");
    assert!(status.contains("demo    store     ready  healthy  "), "{status}");

    let tools = switchboard.command(&["tools", "--agent", "research"]).await;
    assert!(text(&tools.stdout).contains("demo_echo   Returns the text"), "{tools:?}");

    let echo = switchboard.command(&["call", "demo_echo", r#"{"text":"größe"}"#]).await;
    assert_eq!(text(&echo.stdout), "größe\n");
    let add = ["call", "demo_add", r#"{"a":1,"b":2}"#, "--json", "--agent", "research"];
    let add: Value = serde_json::from_slice(&switchboard.command(&add).await.stdout).unwrap();
    assert_eq!(add["structuredContent"]["sum"], 3);

    let slow = ["call", "demo_slow", r#"{"seconds":60}"#, "--timeout", "50ms"];
    for arguments in [slow.as_slice(), &["call", "demo_now", r#"{"zone":"x"}"#], &["call", "no"]] {
        let failed = switchboard.command(arguments).await;
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        assert!(failed.stdout.is_empty(), "{failed:?}");
        assert!(text(&failed.stderr).starts_with("error: "), "{failed:?}");
    }

    let none = switchboard.command(&["call", "no"]).await;
    assert!(text(&none.stderr).contains("`switchboard tools` lists"), "{none:?}");
    let nobody = switchboard.command(&["events", "--server", "nobody"]).await;
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    assert!(text(&nobody.stderr).contains("no server nobody is connected"), "{nobody:?}");

    let restarted = switchboard.command(&["restart", "demo"]).await;
    assert_eq!(text(&restarted.stdout), "restarting demo\n");
    until("the second life", async || {
        (switchboard.status().await["servers"][0]["incarnation"] == 2).then_some(())
    })
    .await;
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_killed_server_is_back_in_its_second_life() {
    let switchboard = serving(&demo()).await;
    let pid = &switchboard.status().await["servers"][0]["pid"];
    process::kill(u32::try_from(pid.as_u64().unwrap()).unwrap());
    let server = until("its return", async || {
        let mut status = switchboard.status().await;
        let server = status["servers"][0].take();
        (server["incarnation"] == 2 && server["state"] == "ready").then_some(server)
    })
    .await;
    assert_ne!(&server["pid"], pid);
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn the_sample_of_the_readme_is_a_configuration_in_any_environment() {
    let directory = tempfile::tempdir().unwrap();
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let sample = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(sample.contains("[mcpServers.search]"), "{sample}");
    std::fs::write(directory.path().join("c.toml"), sample).unwrap();
    let checked = run(&directory, &["config", "check", "-c", "c.toml"]).await;
    assert!(checked.status.success(), "{checked:?}");
}

#[tokio::test]
async fn a_program_that_is_missing_is_a_warning_of_the_check() {
    let directory = tempfile::tempdir().unwrap();
    let config = json!({ "mcpServers": {
        "gone": { "command": "no-such-program" },
        "lost": { "command": PROGRAM, "cwd": "/no/such/folder" },
        "own": { "command": "no-such-program", "enabled": false },
        "fine": { "command": PROGRAM, "inherit_env": true },
    } });
    std::fs::write(directory.path().join("c.json"), config.to_string()).unwrap();
    let checked = run(&directory, &["config", "check", "--config", "c.json"]).await;
    assert!(checked.status.success(), "{checked:?}");
    let warnings: Vec<&str> = text(&checked.stderr).lines().collect();
    assert_eq!(
        warnings,
        [
            "warning: c.json: mcpServers.gone.command: cannot start \"no-such-program\": not found \
             in PATH; give its full path or install it",
            &format!(
                "warning: c.json: mcpServers.lost.command: cannot start {PROGRAM:?}: its working \
                 directory /no/such/folder does not exist; create it or correct `cwd`"
            ),
        ]
    );
    let mut config = config;
    config["timeouts"] = json!({ "call": "soon" });
    config["mcpServers"]["unset"] = json!({ "command": "${NO_SUCH_VARIABLE}" });
    std::fs::write(directory.path().join("c.json"), config.to_string()).unwrap();
    let checked = run(&directory, &["config", "check", "--config", "c.json"]).await;
    assert_eq!(checked.status.code(), Some(78), "{checked:?}");
    let told = text(&checked.stderr);
    assert_eq!(told.lines().filter(|line| warnings.contains(line)).count(), 2, "{told}");
    assert!(told.contains("error: c.json: timeouts.call: "), "{told}");
    assert_eq!(told.matches("mcpServers.unset.command").count(), 1, "{told}");
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_used_is_a_matter_of_configuration() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("state"), "a file").unwrap();
    let output = run(&directory, &["serve", "--port", "0"]).await;
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(text(&output.stderr).contains("choose another with --state-dir"), "{output:?}");
}

#[tokio::test]
async fn a_state_directory_has_one_instance() {
    let switchboard = serving(&demo()).await;
    let second = switchboard.command(&["serve", "--port", "0"]).await;
    assert_eq!(second.status.code(), Some(75), "{second:?}");
    let told = text(&second.stderr);
    assert!(told.contains(&format!("(process {})", switchboard.pid())), "{told}");
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let output = run(&directory, &["serve", "--port", &port]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("another program uses the port"), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[tokio::test]
async fn calls_under_way_are_finished_before_it_ends() {
    let mut switchboard = serving(&demo()).await;
    let client = switchboard.client();
    let slow = client.call("demo_slow", json!({"seconds": 1, "steps": 1}));
    let stop = async {
        until("the call under way", async || {
            (switchboard.status().await["servers"][0]["in_flight"] == 1).then_some(())
        })
        .await;
        process::signal(switchboard.pid(), Signal::TERM);
    };
    let (reply, ()) = tokio::join!(slow, stop);
    assert_eq!(reply.text(), "1 steps in 1 s");
    assert!(switchboard.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_leaves_nobody_behind() {
    let switchboard = serving(&demo()).await;
    let client = switchboard.client();
    let server = &switchboard.status().await["servers"][0]["pid"];
    let server = u32::try_from(server.as_u64().unwrap()).unwrap();
    let endless = client.post();
    let hang = async {
        // It is cut off: what matters is that it keeps the first signal from being the last.
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "demo_slow", "arguments": {"seconds": 600, "steps": 1},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": Revision::LATEST,
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        }});
        let sent = endless
            .header("mcp-protocol-version", Revision::LATEST.as_str())
            .header("mcp-method", "tools/call")
            .header("mcp-name", "demo_slow")
            .json(&message)
            .send()
            .await;
        if let Ok(response) = sent {
            response.bytes().await.ok();
        }
    };
    let stop = async {
        until("the call under way", async || {
            (switchboard.status().await["servers"][0]["in_flight"] == 1).then_some(())
        })
        .await;
        process::signal(switchboard.pid(), Signal::TERM);
        until("the drain", async || switchboard.log().contains("draining").then_some(())).await;
        process::signal(switchboard.pid(), Signal::INT);
    };
    tokio::join!(hang, stop);
    let log = until("its last word", async || {
        let log = switchboard.log();
        log.contains("second signal").then_some(log)
    })
    .await;
    assert_eq!(switchboard.stop().await.code(), Some(1), "{log}");
    until("the server's end", async || (!process::is_alive(server)).then_some(())).await;
}

/// One client's lines through `stdio`, and everything that comes back until so many requests
/// are answered. It must then end well and without another answer.
async fn through_stdio(mut command: Command, lines: &[Value], answers: usize) -> Vec<Value> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines {
        input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }
    let answered = |read: &[Value]| read.iter().filter(|line| line.get("id").is_some()).count();
    let mut read: Vec<Value> = Vec::new();
    while answered(&read) < answers {
        let line = timeout(PATIENCE, output.next_line()).await.expect("a line").unwrap();
        let line = line.unwrap_or_else(|| panic!("it ended after {read:#?}"));
        read.push(heard(lines, &line));
    }
    drop(input);
    let ended = timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert!(ended.success(), "{ended}");
    while let Some(line) = output.next_line().await.unwrap() {
        read.push(heard(lines, &line));
    }
    assert_eq!(answered(&read), answers, "{read:#?}");
    read
}

/// A message to the client that said these lines; one that initialises is legacy.
fn heard(said: &[Value], line: &str) -> Value {
    let message: Value = serde_json::from_str(line).unwrap();
    let mut named = said.iter().filter_map(|line| line["params"]["protocolVersion"].as_str());
    let revision = named.next().and_then(Revision::parse).unwrap_or(Revision::LATEST);
    let asked = said.iter().find(|line| line["id"] == message["id"]);
    let asked = asked.filter(|_| message.get("method").is_none() && message.get("id").is_some());
    to_client(revision, asked.and_then(|line| line["method"].as_str()), &message);
    message
}

fn request(id: u64, method: &str, params: Value) -> Value {
    let mut message = json!({"jsonrpc": "2.0", "id": id, "method": method});
    message["params"] = params;
    message
}

fn legacy_conversation() -> Vec<Value> {
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "it", "version": "1"},
    });
    vec![
        request(0, "ping", json!({})),
        request(1, "initialize", hello),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
    ]
}

fn find(lines: &[Value], id: u64) -> &Value {
    lines.iter().find(|line| line["id"] == id).unwrap()
}

#[tokio::test]
async fn stdio_relays_legacy_clients_to_the_running_instance() {
    let switchboard = serving(&demo()).await;
    let mut lines = legacy_conversation();
    let slow = json!({
        "name": "demo_slow", "arguments": {"seconds": 0.1, "steps": 2},
        "_meta": {"progressToken": "mine"},
    });
    lines.push(request(2, "tools/call", slow));
    lines.push(request(3, "no/such", json!({})));
    let read = through_stdio(switchboard.program(&["stdio"]), &lines, 4).await;
    assert_eq!(find(&read, 0)["result"], json!({}));
    assert_eq!(find(&read, 1)["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(find(&read, 2)["result"]["content"][0]["text"], "2 steps in 0.1 s");
    assert_eq!(find(&read, 3)["error"]["code"], -32601);
    let progress = |line: &&Value| line["params"]["progressToken"] == "mine";
    assert_eq!(read.iter().filter(progress).count(), 2, "{read:#?}");
    assert_eq!(switchboard.status().await["calls"], 1, "the instance served it");
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn stdio_relays_modern_clients_and_their_cancellations() {
    let switchboard = serving(&demo()).await;
    let modern = |id, method: &str, mut params: Value| {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": Revision::LATEST,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        request(id, method, params)
    };
    let slow = json!({"name": "demo_slow", "arguments": {"seconds": 600, "steps": 1}});
    let echo = json!({"name": "demo_echo", "arguments": {"text": "größe"}});
    let lines = [
        modern(1, "server/discover", json!({})),
        modern(2, "tools/call", slow),
        modern(3, "tools/call", echo),
        modern(4, "no/such", json!({})),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}),
    ];
    let command = switchboard.program(&["stdio", "--agent", "research"]);
    let read = through_stdio(command, &lines, 3).await;
    assert_eq!(find(&read, 1)["result"]["supportedVersions"], json!([Revision::LATEST]));
    assert_eq!(find(&read, 3)["result"]["content"][0]["text"], "größe");
    assert_eq!(find(&read, 4)["error"]["code"], -32601);
    let idle = async || {
        let status = switchboard.status().await;
        let servers = status["servers"].as_array().unwrap();
        servers.iter().all(|server| server["in_flight"] == 0).then_some(())
    };
    until("the cancelled call's end", idle).await;
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn stdio_without_an_instance_serves_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("c.json"), demo().to_string()).unwrap();
    let mut lines = legacy_conversation();
    let echo = json!({"name": "demo_echo", "arguments": {"text": "alone"}});
    lines.push(request(2, "tools/call", echo));
    let command = program(&directory, &["stdio", "--config", "c.json"]);
    let read = through_stdio(command, &lines, 3).await;
    assert_eq!(find(&read, 2)["result"]["content"][0]["text"], "alone");
    assert!(!directory.path().join("state").exists(), "it takes no state directory");
}
