//! Public MCP clients against one Switchboard: each library, in each of its ways to settle a
//! revision, reaches a legacy and a modern server and gets back exactly what it sent.
//!
//! `tests/scripts/setup.sh` installs them; `tests/clients` has one small program for each.

mod answer;
mod oracle;
mod page;
mod program;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    servers::{installed, named},
    support::{
        binary::{PROGRAM, Switchboard},
        wait::until,
    },
};
use program::Report;

/// What goes there and back: two, three and four bytes for a character.
const TEXT: &str = "Grüße, 世界 🌍";
/// An agent that was granted both servers.
const AGENT: &str = "research";
/// The tool that the legacy server adds some time after the handshake.
const LATE: &str = "everything_simulate-research-query";
/// Clients at the same time: there may be as few as two cores.
const AT_ONCE: usize = 3;

/// How a client reaches Switchboard.
#[derive(Clone, Copy, Debug)]
enum Over {
    /// The store's endpoint.
    Http,
    /// An agent's endpoint, with a header of the client's own on every request.
    Agent,
    /// `switchboard stdio`, which finds the instance that runs.
    Relay,
    /// `switchboard stdio` where none runs.
    Alone,
}

impl Over {
    /// As the page calls it.
    fn words(self) -> &'static str {
        match self {
            Self::Http => "HTTP, `/mcp`",
            Self::Agent => "HTTP, `/mcp/AGENT`, headers",
            Self::Relay => "`switchboard stdio`, beside `serve`",
            Self::Alone => "`switchboard stdio`, alone",
        }
    }
}

/// A client in one of its modes.
#[derive(Clone, Debug)]
struct Row {
    program: &'static str,
    over: Over,
    mode: Value,
    /// The mode as a user of the library writes it, for the page.
    setting: &'static str,
}

impl Row {
    /// Where the library comes from.
    fn registry(&self) -> &'static str {
        match self.program.rsplit_once('.') {
            Some((_, "py")) => "PyPI",
            Some(_) => "npm",
            None => "crates.io",
        }
    }
}

/// Every client, as the page lists them.
fn rows() -> Vec<Row> {
    let row = |program, over, mode, setting| Row { program, over, mode, setting };
    let pin = || json!({"pin": "2026-07-28"});
    vec![
        row("mcp2.py", Over::Http, json!("auto"), r#"`mode="auto"` (default)"#),
        row("mcp2.py", Over::Http, json!("legacy"), r#"`mode="legacy"`"#),
        row("mcp2.py", Over::Http, json!("2026-07-28"), r#"`mode="2026-07-28"`"#),
        row("mcp2.py", Over::Agent, json!("auto"), r#"`mode="auto"` (default)"#),
        row("mcp2.py", Over::Alone, json!("auto"), r#"`mode="auto"` (default)"#),
        row("mcp1.py", Over::Http, json!(null), "none"),
        row("fastmcp4.py", Over::Http, json!("auto"), r#"`mode="auto"` (default)"#),
        row("fastmcp4.py", Over::Http, json!("legacy"), r#"`mode="legacy"`"#),
        row("fastmcp4.py", Over::Http, json!("2026-07-28"), r#"`mode="2026-07-28"`"#),
        row("langchain_adapters.py", Over::Http, json!(null), "none"),
        row("mcpuse.py", Over::Http, json!(null), "none"),
        row("sdk1.mjs", Over::Http, json!(null), "none"),
        row("sdk1.mjs", Over::Agent, json!(null), "none"),
        row("client2.mjs", Over::Http, json!("legacy"), r#"`mode: "legacy"` (default)"#),
        row("client2.mjs", Over::Http, json!("auto"), r#"`mode: "auto"`"#),
        row("client2.mjs", Over::Http, pin(), r#"`mode: { pin: "2026-07-28" }`"#),
        row("client2.mjs", Over::Relay, json!("auto"), r#"`mode: "auto"`"#),
        row("client2.mjs", Over::Relay, json!("legacy"), r#"`mode: "legacy"` (default)"#),
        row("inspector.mjs", Over::Http, json!("legacy"), "`--protocol-era legacy` (default)"),
        row("inspector.mjs", Over::Http, json!("auto"), "`--protocol-era auto`"),
        row("inspector.mjs", Over::Http, json!("modern"), "`--protocol-era modern`"),
        row("rmcp", Over::Http, json!("Initialize"), "`Initialize` (default)"),
        row("rmcp", Over::Http, json!("Discover"), "`Discover`"),
        row("rmcp", Over::Http, json!("Auto"), "`Auto`"),
    ]
}

/// One Switchboard before a server of each era, and what its tools are.
struct Board {
    switchboard: Switchboard,
    tools: Vec<String>,
    /// The configuration once more, for a `switchboard stdio` of its own.
    alone: TempDir,
}

impl Board {
    async fn new() -> Self {
        let config = json!({
            "mcpServers": {
                "everything": { "command": installed("node_modules/.bin/mcp-server-everything") },
                "demo": { "command": PROGRAM, "args": ["demo-server"] },
            },
            "agents": { AGENT: { "servers": ["everything", "demo"] } },
        });
        let alone = tempfile::tempdir().unwrap();
        std::fs::write(alone.path().join("config.json"), config.to_string()).unwrap();
        let switchboard = Switchboard::serve(&config).await;
        let client = switchboard.client();
        let tools = until("all tools", async || {
            let tools = client.tools().await;
            let names: Vec<String> =
                tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
            names.iter().any(|name| name == LATE).then_some(names)
        })
        .await;
        Self { switchboard, tools, alone }
    }

    /// The tools that a client must see. One that starts the servers is there before the last.
    fn tools_of(&self, row: &Row, report: &Report) -> Vec<String> {
        let early = |tool: &&String| *tool != LATE || report.tools.contains(tool);
        match row.over {
            Over::Alone => self.tools.iter().filter(early).cloned().collect(),
            Over::Http | Over::Agent | Over::Relay => self.tools.clone(),
        }
    }

    /// What a client is told to do.
    fn task(&self, row: &Row) -> Value {
        let mut task = json!({ "mode": row.mode, "text": TEXT });
        let url = self.switchboard.url();
        let stdio =
            |place: [String; 2]| json!([[PROGRAM.to_owned(), "stdio".to_owned()], place].concat());
        match row.over {
            Over::Http => task["url"] = json!(url),
            Over::Agent => {
                task["url"] = json!(format!("{url}/{AGENT}"));
                task["headers"] = json!({"X-Department": "research"});
            }
            Over::Relay => {
                let state = self.switchboard.state().to_str().unwrap().to_owned();
                task["command"] = stdio(["--state-dir".to_owned(), state]);
            }
            Over::Alone => {
                let file = self.alone.path().join("config.json").to_str().unwrap().to_owned();
                task["command"] = stdio(["--config".to_owned(), file]);
            }
        }
        task
    }

    async fn run(&self, row: Row) -> (Row, Report) {
        let report = if row.program == "rmcp" {
            oracle::run(row.mode.as_str().unwrap(), self.switchboard.url(), TEXT).await
        } else {
            program::run(row.program, &self.task(&row)).await
        };
        (row, report)
    }
}

#[tokio::test]
async fn every_public_client_reaches_servers_of_both_eras() {
    let board = Board::new().await;
    let status = board.switchboard.status().await;
    let servers = status["servers"].as_array().unwrap();
    assert_eq!(named(servers, "everything")["era"], "legacy");
    assert_eq!(named(servers, "demo")["era"], "modern");

    let running = stream::iter(rows()).map(|row| board.run(row)).buffered(AT_ONCE);
    let seen: Vec<(Row, Report)> = running.collect().await;
    for (row, report) in &seen {
        assert_eq!(report.tools, board.tools_of(row, report), "{row:?}");
        assert_eq!(report.echo_legacy, format!("Echo: {TEXT}"), "{row:?}");
        assert_eq!(report.echo_modern, TEXT, "{row:?}");
    }
    page::agrees_with(&seen);
    assert!(board.switchboard.stop().await.success());
}

#[tokio::test]
async fn clients_of_both_eras_are_told_when_a_servers_tools_change() {
    let grower = program::words("grower.mjs");
    let (command, args) = grower.split_first().unwrap();
    let config = json!({ "mcpServers": { "grower": { "command": command, "args": args } } });
    let switchboard = Switchboard::serve(&config).await;
    // Its first list is a change too.
    until("the server is listed", async || {
        let status = switchboard.status().await;
        (status["servers"][0]["state"] == "ready").then_some(())
    })
    .await;
    let mut tools = vec!["grower_grow".to_owned()];
    for (program, mode, revision) in [
        ("mcp1.py", "session", "2025-11-25"),
        ("sdk1.mjs", "session", "2025-11-25"),
        ("mcp2.py", "auto", "2026-07-28"),
        ("client2.mjs", "auto", "2026-07-28"),
        ("client2.mjs", "legacy", "2025-11-25"),
    ] {
        let name = format!("grown-{}", tools.len());
        tools.push(format!("grower_{name}"));
        let task = json!({ "mode": mode, "url": switchboard.url(), "watch": { "name": name } });
        let report = program::run(program, &task).await;
        assert_eq!((report.protocol.as_str(), &report.tools), (revision, &tools), "{program}");
    }
    assert!(switchboard.stop().await.success());
}
