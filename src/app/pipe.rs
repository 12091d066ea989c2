//! `stdio` without an instance: a runtime of its own for one client.
//!
//! It keeps everything in memory and takes no state directory, so any number of them may run.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use futures::future::join_all;
use rmcp::transport::stdio_pipes;
use tokio_util::sync::CancellationToken;

use super::{body_bytes, prepare, signal::Signals};
use crate::{
    access::Gate,
    config::{Config, Sources},
    face::stdio::{StdioOptions, serve},
    id::{Owner, ServerName},
    runtime::{Runtime, RuntimeHandle, ServerConfig, Startup},
};

/// How long the client's first message waits for servers that are being connected. Many clients
/// list tools once, as soon as they can, and never again; some give a server ten seconds to start.
const FIRST_CONNECT: Duration = Duration::from_secs(5);

/// Serves the client at standard input and output until its input ends or a signal comes.
///
/// # Errors
/// What kept it from starting, or from ending in order.
pub async fn run(sources: &Sources, owner: Owner) -> Result<()> {
    let (loaded, telemetry) = prepare(sources)?;
    let config = loaded.config;
    let mut signals = Signals::install().context("failed to take over signals")?;
    let drain = config.timeouts.drain;
    let line_bytes = body_bytes(&config);
    let eager = eager(&config, &owner);
    let runtime = Runtime::builder(config.into()).telemetry(telemetry.telemetry()).spawn().await?;
    telemetry.follow(&runtime);
    if runtime.scope(&owner).is_none() {
        bail!("there is no agent {:?} in the configuration", owner.as_str());
    }
    let options = StdioOptions { owner, line_bytes, grace: drain };
    let stop = CancellationToken::new();
    let (reader, writer) = stdio_pipes();
    let serving = async {
        stop.run_until_cancelled(connected(&runtime, &eager)).await;
        serve(reader, writer, Gate::new(runtime.clone()), options, stop.clone()).await
    };
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        signal = signals.next() => {
            tracing::info!(signal, "draining");
            stop.cancel();
            tokio::select! {
                served = &mut serving => served,
                signal = signals.next() => bail!("ended at once by a second signal ({signal})"),
            }
        }
        reason = runtime.closed() => bail!("the supervision tree has ended: {reason}"),
    };
    runtime.stop().await;
    served.context("a standard stream failed")
}

/// The servers whose tools the owner sees and that connect without waiting for a call.
fn eager(config: &Config, owner: &Owner) -> Vec<(Owner, ServerName)> {
    let of = |owner: &Owner, servers: &BTreeMap<ServerName, ServerConfig>| -> Vec<_> {
        let connecting = |server: &ServerConfig| server.enabled && server.startup == Startup::Eager;
        let names = servers.iter().filter(|(_, server)| connecting(server));
        names.map(|(name, _)| (owner.clone(), name.clone())).collect()
    };
    let mut eager = of(&Owner::Store, &config.mcp_servers);
    if let Owner::Agent(agent) = owner
        && let Some(agent) = config.agents.get(agent)
    {
        eager.extend(of(owner, &agent.private));
    }
    eager
}

/// Waits until every server is ready or will not be, and not for long.
async fn connected(runtime: &RuntimeHandle, servers: &[(Owner, ServerName)]) {
    let waits = servers.iter().map(|(owner, server)| async move {
        if let Some(scope) = runtime.scope(owner)
            && let Err(error) = scope.wait_ready(server, FIRST_CONNECT).await
        {
            tracing::warn!(%owner, "{error}");
        }
    });
    join_all(waits).await;
}
