//! Clients that answer what servers ask: a form and a question to the model, from a legacy server
//! over standard streams and a modern one over HTTP, through one Switchboard.

use std::{collections::BTreeSet, path::Path, process::Stdio};

use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{
    Over, Row, oracle, page,
    program::{self, Report},
    rows,
};
use crate::{
    servers::named,
    support::{
        binary::Switchboard,
        wait::{PATIENCE, until},
    },
};

/// The tools that ask, as they are exposed.
const TOOLS: [&str; 4] = ["old_form", "old_sample", "new_form", "new_sample"];
/// Libraries whose programs answer.
const ANSWERING: [&str; 6] =
    ["mcp2.py", "mcp1.py", "fastmcp4.py", "sdk1.mjs", "client2.mjs", "rmcp"];

/// A Switchboard before both servers, which write down what they carry out.
struct Board {
    switchboard: Switchboard,
    journals: TempDir,
    _modern: Child,
}

impl Board {
    async fn new() -> Self {
        let journals = tempfile::tempdir().unwrap();
        let (old, new) = (journals.path().join("old"), journals.path().join("new"));
        let (modern, port) = modern(&new).await;
        let mut legacy = program::words("asker1.py");
        legacy.push(old.to_str().unwrap().to_owned());
        let config = json!({ "mcpServers": {
            "old": { "command": legacy[0], "args": legacy[1..] },
            "new": { "url": format!("http://127.0.0.1:{port}/mcp") },
        } });
        let switchboard = Switchboard::serve(&config).await;
        let client = switchboard.client();
        until("all tools", async || (client.tools().await.len() == TOOLS.len()).then_some(()))
            .await;
        Self { switchboard, journals, _modern: modern }
    }

    async fn run(&self, row: &Row, text: &str) -> Report {
        let url = self.switchboard.url();
        if row.program == "rmcp" {
            return oracle::answers(row.mode.as_str().unwrap(), url, text, &TOOLS).await;
        }
        let task = json!({ "mode": row.mode, "url": url, "text": text, "answers": TOOLS });
        program::run(row.program, &task).await
    }

    /// What a server carried out: tool and `who`.
    fn journal(&self, server: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.journals.path().join(server)).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }
}

/// Starts the modern server; gives its port.
async fn modern(journal: &Path) -> (Child, u16) {
    let words = program::words("asker2.py");
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .arg(journal)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("a port in time");
    (child, line.unwrap().expect("a port").parse().unwrap())
}

#[tokio::test]
async fn public_clients_answer_servers_of_both_eras() {
    let board = Board::new().await;
    let status = board.switchboard.status().await;
    let servers = status["servers"].as_array().unwrap();
    assert_eq!(named(servers, "old")["era"], "legacy");
    assert_eq!(named(servers, "new")["era"], "modern");

    let answering = rows()
        .into_iter()
        .filter(|row| matches!(row.over, Over::Http) && ANSWERING.contains(&row.program));
    let (mut seen, mut expected) = (Vec::new(), BTreeSet::new());
    // One after the other: what a server asks over standard streams names no call.
    for (number, row) in answering.enumerate() {
        let text = format!("Grüße, 世界 {number}");
        let mut report = board.run(&row, &text).await;
        for (tool, answer) in &mut report.answers {
            if *answer == text {
                "yes".clone_into(answer);
            }
            let (_, name) = tool.split_once('_').unwrap();
            expected.insert(format!("{name} {text}"));
        }
        seen.push((row, report));
    }
    page::answering_agrees_with(&seen, &TOOLS);
    for server in ["old", "new"] {
        let mut journal = board.journal(server);
        journal.sort();
        assert_eq!(journal, expected.iter().cloned().collect::<Vec<_>>(), "{server}");
    }
    assert!(board.switchboard.stop().await.success());
}
