//! A client program of `tests/clients`: started with a task, heard for its report.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::Value;
use tokio::{process::Command, time::timeout};

use crate::{servers::installed, support::wait::PATIENCE};

/// What a client saw.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// The library, as its registry names it.
    pub client: String,
    /// Its version.
    pub version: String,
    /// The revision of its session or requests.
    pub protocol: String,
    /// The names of the tools, in their order.
    pub tools: Vec<String>,
    /// What the legacy server's echo gave back.
    #[serde(default)]
    pub echo_legacy: String,
    /// What the modern server's echo gave back.
    #[serde(default)]
    pub echo_modern: String,
    /// What each tool that asks gave back, or what the library threw.
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
}

/// The words that start a program of `tests/clients` with the interpreter that has its packages.
pub fn words(program: &str) -> Vec<String> {
    let path = |name: &str| installed(name).to_str().unwrap().to_owned();
    let program_path = path(&format!("clients/{program}"));
    let python = match program {
        "mcp2.py" | "fastmcp4.py" | "asker2.py" => "venv-mcp2/bin/python",
        "mcp1.py" | "asker1.py" | "langchain_adapters.py" | "mcpuse.py" => "venv-mcp1/bin/python",
        // Packages are found beside the link in tests/env, not beside the file it leads to.
        _ => {
            return ["node", "--preserve-symlinks", "--preserve-symlinks-main", &program_path]
                .map(str::to_owned)
                .to_vec();
        }
    };
    vec![path(python), program_path]
}

/// Runs a program to its end.
pub async fn run(program: &str, task: &Value) -> Report {
    let words = words(program);
    let running = Command::new(&words[0])
        .args(&words[1..])
        .arg(task.to_string())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/env"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .kill_on_drop(true)
        .output();
    let Ok(output) = timeout(PATIENCE, running).await else {
        panic!("{program} {task}: no end within {} s", PATIENCE.as_secs());
    };
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {task}: {}\n{said}", output.status);
    // Some libraries log to standard output.
    let printed = String::from_utf8(output.stdout).unwrap();
    let report = printed.lines().rfind(|line| line.starts_with('{'));
    let Some(report) = report else {
        panic!("{program} {task}: no report in {printed:?}\n{said}");
    };
    serde_json::from_str(report).unwrap()
}
