//! Calls that servers make into tasks, in every combination of eras, with real children.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use switchboard::{
    runtime::ServerConfig,
    upstream::{TransportConfig, stdio::StdioConfig},
};

use crate::{
    dialogue::talk::{Host, Talk},
    support::wait::until,
};

mod awaited;
mod behalf;
mod legacy;
mod lives;
mod modern;
mod real;
mod told;

/// Who takes tasks in the modern era declares so.
fn takes() -> Value {
    json!({"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}})
}

/// How the server of an era is started; its tasks and its journal are in a folder.
fn command(era: &str, folder: &Path) -> (String, Vec<String>) {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/tasks/server.py");
    let args = [program, era.into(), folder.join("tasks"), folder.join("journal")];
    ("python3".to_owned(), args.map(|path| path.to_str().unwrap().to_owned()).to_vec())
}

/// A runtime with the server of an era.
async fn host(era: &str) -> Host {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("journal"), "").unwrap();
    let (program, args) = command(era, folder.path());
    let mut stdio = StdioConfig::new(program);
    stdio.args = args;
    Host::over(ServerConfig::new(TransportConfig::Stdio(stdio)), folder).await
}

/// Waits until the server has written something into its journal.
async fn journaled(host: &Host, line: &str) {
    until(line, async || host.journal().iter().any(|it| it == line).then_some(())).await;
}

/// Asks for a task until it has another status.
async fn until_not(client: &mut Talk, task: &Value, status: &str) -> Value {
    until("another status", async || {
        let id = client.ask("tasks/get", json!({"taskId": task})).await;
        let told = client.result(id).await;
        assert_eq!(told["taskId"], *task, "{told}");
        (told["status"] != status).then_some(told)
    })
    .await
}

/// What a task's tool learned, of its result.
fn learned(result: &Value) -> Value {
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"));
    serde_json::from_str(text).unwrap()
}
