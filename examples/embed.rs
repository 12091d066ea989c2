//! An agent program that embeds the runtime: one child process, listed, called, stopped in order,
//! and gone with this program however that ends.
//!
//! Run it with a server of your own: `cargo run --example embed -- npx -y some-mcp-server`.
//! Without arguments it starts the demonstration server of the `switchboard` binary.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use anyhow::Context as _;
use switchboard::{
    guard::Guard,
    id::ServerName,
    runtime::{CallRequest, Runtime, RuntimeConfig, ServerConfig},
    upstream::{TransportConfig, stdio::StdioConfig},
};

fn main() -> anyhow::Result<()> {
    // The first line, before any thread: this program is also the guard of its servers' processes.
    let guard = switchboard::guard::init();
    tokio::runtime::Runtime::new()?.block_on(run(guard))
}

async fn run(guard: Guard) -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let stdio = match words.next() {
        Some(command) => StdioConfig { args: words.collect(), ..StdioConfig::new(command) },
        None => StdioConfig { args: vec!["demo-server".to_owned()], ..StdioConfig::new(binary()?) },
    };

    let runtime = Runtime::builder().guard(guard).spawn(RuntimeConfig::default()).await?;
    let store = runtime.store();
    let server = ServerName::new("mine")?;
    store.add(server.clone(), ServerConfig::new(TransportConfig::Stdio(stdio))).await?;
    store.wait_ready(&server, Duration::from_mins(1)).await?;

    for tool in store.tools()?.tools() {
        println!("{}", tool.exposed);
    }
    if store.tools()?.resolve("mine_echo").is_some() {
        let arguments = serde_json::json!({ "text": "hello, switchboard" });
        let answer = store.call(CallRequest::new("mine_echo", &arguments)).await?;
        println!("{}", answer.result);
    }

    runtime.drain(Duration::from_secs(5)).await;
    runtime.stop().await;
    Ok(())
}

/// The binary that cargo built beside this example.
fn binary() -> anyhow::Result<String> {
    let example = std::env::current_exe()?;
    let target = example.parent().and_then(|examples| examples.parent()).context("no target")?;
    let binary = target.join("switchboard");
    anyhow::ensure!(binary.exists(), "{} is missing: run `cargo build` first", binary.display());
    Ok(binary.to_string_lossy().into_owned())
}
