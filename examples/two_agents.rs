//! Two agents on one runtime: both were granted the same server and each has its own connection
//! to it; one has a private server that the other neither sees nor reaches.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use switchboard::{
    id::{AgentId, ServerName},
    runtime::{AgentConfig, CallRequest, Runtime, RuntimeConfig, ServerConfig},
    upstream::{TransportConfig, stdio::StdioConfig},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (shared, private) = (ServerName::new("demo")?, ServerName::new("private")?);
    let (writer, reader) = (AgentId::new("writer")?, AgentId::new("reader")?);
    let granted = AgentConfig { servers: vec![shared.clone()], ..AgentConfig::default() };
    let config = RuntimeConfig {
        servers: BTreeMap::from([(shared.clone(), demo()?)]),
        agents: BTreeMap::from([
            (
                writer,
                AgentConfig {
                    private: BTreeMap::from([(private.clone(), demo()?)]),
                    ..granted.clone()
                },
            ),
            (reader, granted),
        ]),
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::spawn(config).await?;
    runtime.store().wait_ready(&shared, Duration::from_secs(30)).await?;
    let writer = runtime.agent("writer").context("writer is configured")?;
    let reader = runtime.agent("reader").context("reader is configured")?;
    writer.wait_ready(&private, Duration::from_secs(30)).await?;

    println!("writer sees {} tools", writer.tools()?.tools().len());
    println!("reader sees {} tools", reader.tools()?.tools().len());

    let arguments = serde_json::json!({ "a": 40, "b": 2 });
    let answer = reader.call(CallRequest::new("demo_add", &arguments)).await?;
    println!("reader: {}", answer.result);
    match reader.call(CallRequest::new("private_add", &arguments)).await {
        Ok(_) => anyhow::bail!("the reader reached the writer's private server"),
        Err(error) => println!("reader: {error}"),
    }

    for server in runtime.status().servers {
        println!("{:8} {:8} {} {}", server.owner, server.server, server.state, server.incarnation);
    }
    runtime.stop().await;
    Ok(())
}

/// The demonstration server of the binary that cargo built beside this example.
fn demo() -> anyhow::Result<ServerConfig> {
    let example = std::env::current_exe()?;
    let target = example.parent().and_then(|examples| examples.parent()).context("no target")?;
    let binary = target.join("switchboard");
    anyhow::ensure!(binary.exists(), "{} is missing: run `cargo build` first", binary.display());
    Ok(ServerConfig::new(TransportConfig::Stdio(StdioConfig {
        args: vec!["demo-server".to_owned()],
        ..StdioConfig::new(binary.to_string_lossy().into_owned())
    })))
}
