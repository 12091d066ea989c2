//! `stdio` without an instance: a runtime of its own for one client.
//!
//! It keeps everything in memory and takes no state directory, so any number of them may run.

use anyhow::{Context as _, Result, bail};
use rmcp::transport::stdio_pipes;
use tokio_util::sync::CancellationToken;

use super::{body_bytes, prepare, signal::Signals};
use crate::{
    access::Gate,
    config::Sources,
    face::stdio::{StdioOptions, serve},
    id::Owner,
    runtime::Runtime,
};

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
    let runtime = Runtime::spawn_with(config.into(), telemetry.telemetry()).await?;
    telemetry.follow(&runtime);
    if runtime.scope(&owner).is_none() {
        bail!("there is no agent {:?} in the configuration", owner.as_str());
    }
    let options = StdioOptions { owner, line_bytes, grace: drain };
    let stop = CancellationToken::new();
    let (reader, writer) = stdio_pipes();
    let serving = serve(reader, writer, Gate::new(runtime.clone()), options, stop.clone());
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
