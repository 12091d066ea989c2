//! Six public reference servers behind one Switchboard: both runtimes that most servers are
//! written for, both eras of the protocol, real processes, real tools.
//!
//! `tests/scripts/setup.sh` installs them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use switchboard::wire::Revision;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{binary::Switchboard, http::Client, process, wait::until};

/// A program of the test environment.
pub fn installed(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/env").join(program);
    assert!(
        path.exists(),
        "{} is missing: run tests/scripts/setup.sh (`make setup`)",
        path.display()
    );
    path
}

/// What the servers work on: a folder of files and a fresh git repository.
struct Workshop {
    directory: TempDir,
}

impl Workshop {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("files")).unwrap();
        let made = Command::new("git")
            .args(["init", "--quiet", "--initial-branch=main", "repository"])
            .current_dir(directory.path())
            .status();
        assert!(made.await.unwrap().success());
        std::fs::write(directory.path().join("repository/new.txt"), "new").unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// The configuration, as an MCP client writes it.
    fn config(&self) -> Value {
        let node = |name: &str| installed(&format!("node_modules/.bin/mcp-server-{name}"));
        let python = |name: &str| installed(&format!("venv-mcp2/bin/mcp-server-{name}"));
        json!({ "mcpServers": {
            "everything": { "command": node("everything") },
            "files": { "command": node("filesystem"), "args": [self.path("files")] },
            "memory": {
                "command": node("memory"),
                "env": { "MEMORY_FILE_PATH": self.path("memory.jsonl") },
            },
            "thinking": { "command": node("sequential-thinking") },
            "time": { "command": python("time"), "args": ["--local-timezone", "UTC"] },
            "git": { "command": python("git"), "args": ["--repository", self.path("repository")] },
        }})
    }

    /// A call of each server, and what must stand in its answer.
    fn calls(&self) -> [(&'static str, Value, &'static str); 8] {
        let note = self.path("files/note.txt");
        [
            ("everything_echo", json!({"message": "hello"}), "Echo: hello"),
            (
                "files_write_file",
                json!({"path": note, "content": "written through the switchboard"}),
                "Successfully wrote",
            ),
            ("files_read_text_file", json!({"path": note}), "written through the switchboard"),
            (
                "memory_create_entities",
                json!({"entities": [
                    {"name": "Erlang", "entityType": "language", "observations": ["supervises"]}
                ]}),
                "[",
            ),
            ("memory_read_graph", json!({}), "Erlang"),
            (
                "thinking_sequentialthinking",
                json!({
                    "thought": "one", "nextThoughtNeeded": false, "thoughtNumber": 1, "totalThoughts": 1
                }),
                "\"thoughtNumber\": 1",
            ),
            (
                "time_convert_time",
                json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
                "T21:00:00+09:00",
            ),
            ("git_git_status", json!({"repo_path": self.path("repository")}), "new.txt"),
        ]
    }
}

/// Waits until every server is ready and returns their statuses.
async fn all_ready(switchboard: &Switchboard) -> Vec<Value> {
    until("all six servers ready", async || {
        let status = switchboard.status().await;
        let servers = status["servers"].as_array().unwrap().clone();
        let ready = servers.iter().filter(|server| server["state"] == "ready").count();
        (ready == 6).then_some(servers)
    })
    .await
}

/// The server of a name.
pub fn named<'a>(servers: &'a [Value], name: &str) -> &'a Value {
    servers.iter().find(|server| server["server"] == name).unwrap()
}

fn pid(server: &Value) -> u32 {
    u32::try_from(server["pid"].as_u64().unwrap()).unwrap()
}

/// The exposed names in their order, but for those of `everything`, which adds tools some time
/// after the handshake.
fn settled_names(tools: &[Value]) -> Vec<&str> {
    let names = tools.iter().map(|tool| tool["name"].as_str().unwrap());
    names.filter(|name| !name.starts_with("everything_")).collect()
}

/// Calls tools of each server with real arguments.
async fn everything_answers(workshop: &Workshop, client: &Client) {
    for (tool, arguments, expected) in workshop.calls() {
        let reply = client.call(tool, arguments).await;
        assert!(reply.text().contains(expected), "{tool}: {}", reply.text());
    }
}

/// Clients of earlier revisions see the same tools and reach the same servers.
async fn sessions_see_the_same(client: &Client, expected: &[&str]) {
    for revision in [Revision::V2024_11_05, Revision::V2025_11_25] {
        let session = client.initialize(revision).await;
        let listed = session.request("tools/list", json!({})).await;
        let tools = listed.result()["tools"].as_array().unwrap();
        assert_eq!(settled_names(tools), expected, "{revision}");
        let arguments = json!({"message": "old"});
        let reply = session.call("everything_echo", arguments).await;
        assert_eq!(reply.text(), "Echo: old");
        session.end().await;
    }
}

#[tokio::test]
async fn six_public_servers_answer_and_one_that_is_killed_comes_back_alone() {
    let workshop = Workshop::new().await;
    let switchboard = Switchboard::serve(&workshop.config()).await;
    let before = all_ready(&switchboard).await;
    let client = switchboard.client();
    let tools = client.tools().await;

    // The npm servers are of the legacy era, the Python ones of the modern one.
    for (name, era) in [("files", "legacy"), ("git", "modern")] {
        assert_eq!(named(&before, name)["era"], era, "{name}");
    }
    everything_answers(&workshop, &client).await;
    sessions_see_the_same(&client, &settled_names(&tools)).await;

    let victim = pid(named(&before, "memory"));
    process::kill(victim);
    // Before that, the dying process may still take a call, whose outcome would be unknown.
    let noticed = async || process::is_reaped(victim).then_some(());
    until("the loss to be noticed", noticed).await;

    // The call waits for the next connection, and what the server stored is still there.
    let remembered = client.call("memory_read_graph", json!({})).await;
    let text = remembered.text();
    assert!(text.contains("Erlang"), "{text}");
    assert_eq!(
        settled_names(&client.tools().await),
        settled_names(&tools),
        "the list stays as it was"
    );

    let after = all_ready(&switchboard).await;
    assert_eq!(named(&after, "memory")["incarnation"], 2);
    for server in &after {
        let name = server["server"].as_str().unwrap();
        if name != "memory" {
            let life = |server: &Value| (server["incarnation"].clone(), pid(server));
            assert_eq!(life(server), life(named(&before, name)), "{name}");
        }
    }
    everything_answers(&workshop, &client).await;

    let pids: Vec<u32> = after.iter().map(pid).collect();
    assert!(switchboard.stop().await.success());
    for pid in pids {
        assert!(!process::is_alive(pid), "process {pid} was left behind");
    }
}
