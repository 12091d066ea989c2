//! The composition root: makes the parts in order, waits, and ends them in reverse.
//!
//! Owned by the commands `serve` and `stdio`. It joins what others decide: nothing here knows a
//! protocol, a connection or a rule.

use std::{fmt, io, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    access::Gate,
    config::{Config, Loaded, Sources, load, managed::MANAGED},
    face::{
        control::ControlSocket,
        http::{HttpFace, RunningFace},
        operator::Operator,
    },
    guard::Guard,
    runtime::{Runtime, RuntimeHandle},
    telemetry,
};

mod fixed;
mod in_force;
mod keys;
mod managed;
mod operations;
pub mod pipe;
mod reaper;
mod signal;
pub mod state;
mod tend;
#[cfg(feature = "watch")]
mod watch;

use operations::Operations;
use reaper::Reaper;
use signal::{Signals, Told};
use state::StateDir;

/// What notes of processes are kept in, in the state directory.
const PROCESSES: &str = "processes";
/// How long the last answers may take to go out when every connection to a server is closed.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long questions over the control socket may still be answered when all else has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves a configuration until a signal says that it is enough, as the one process of its state
/// directory, with its servers' processes guarded. `announce` gets the one line that says that requests are accepted.
///
/// # Errors
/// What kept it from starting, or from ending in order.
pub async fn serve(
    sources: &Sources,
    state: &StateDir,
    guard: Guard,
    announce: impl FnOnce(&str) -> io::Result<()>,
) -> Result<()> {
    let (loaded, telemetry) = prepare(sources)?;
    let config = &loaded.config;
    let mut lock = state.acquire().await?;
    // Before anything is started that must be ended in order.
    let mut signals = Signals::install().context("failed to take over signals")?;
    let counts = counts(config);
    // An address that is taken is found out before any server is started.
    let http = HttpFace::bind(&config.server).await?;
    let guard = with_ledger(guard, state);
    let _reaper = Reaper::start(guard.clone()).context("failed to take in orphaned processes")?;
    let runtime = Runtime::builder().telemetry(telemetry.telemetry()).guard(guard);
    let runtime = runtime.store(state.store().await).spawn(config.clone().into()).await?;
    telemetry.follow(&runtime);
    let operations = Operations::new(
        sources.clone(),
        state.path().join(MANAGED),
        runtime.clone(),
        telemetry.level(),
        http.door(),
        &loaded,
    );
    let operations = Arc::new(operations);
    let mut faces = match Faces::start(config, state, http, &operations, &telemetry).await {
        Ok(faces) => faces,
        Err(error) => {
            runtime.stop().await;
            return Err(error);
        }
    };
    announce(&format!(
        "switchboard {} listening on http://{}/mcp ({counts})",
        env!("CARGO_PKG_VERSION"),
        faces.http.local_addr(),
    ))?;
    tokio::select! {
        signal = until_told(&mut signals, &operations) => tracing::info!(signal, "draining"),
        reason = runtime.closed() => bail!("the supervision tree has ended: {reason}"),
        never = tend::tend(state, &mut lock, operations.managed(), &mut faces.control) => match never {},
    }
    tokio::select! {
        ended = end(faces, &runtime, runtime.grace()) => ended,
        signal = signals.next() => bail!("ended at once by a second signal ({signal})"),
    }
}

/// Has processes noted in the state directory, and those ended that an earlier instance left.
fn with_ledger(guard: Guard, state: &StateDir) -> Guard {
    let directory = state.path().join(PROCESSES);
    guard.clone().with_ledger(&directory).unwrap_or_else(|error| {
        tracing::warn!(
            "processes cannot be noted in {}: {error}; a kill of this process and of its guard \
             would leave them",
            directory.display()
        );
        guard
    })
}

/// Follows changes of the configuration until a signal says that it is enough, and names it.
async fn until_told(signals: &mut Signals, operations: &Operations) -> &'static str {
    let mut seen = operations.seen();
    #[cfg(feature = "watch")]
    let mut watch = watch::Watch::new()
        .inspect_err(|error| tracing::warn!("configuration files are not watched: {error}"))
        .ok();
    loop {
        #[cfg(feature = "watch")]
        let files = seen.borrow_and_update().clone();
        let saved = async {
            #[cfg(feature = "watch")]
            if let Some(watch) = &mut watch {
                return watch.changed(&files).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            told = signals.told() => match told {
                Told::Reload => operations.reload_for("SIGHUP").await,
                Told::End(signal) => return signal,
            },
            () = saved => operations.reload_for("a file changed").await,
            // Somebody else had them read; there may be others to follow.
            _ = seen.changed() => {}
        }
    }
}

/// Reads the configuration and starts telemetry, which says what the reading found odd.
fn prepare(sources: &Sources) -> Result<(Loaded, telemetry::Guard)> {
    let loaded = load(sources)?;
    let guard = telemetry::init(&loaded.config.telemetry)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok((loaded, guard))
}

/// The ways in.
#[derive(Debug)]
struct Faces {
    http: RunningFace,
    control: ControlSocket,
}

impl Faces {
    async fn start(
        config: &Config,
        state: &StateDir,
        http: HttpFace,
        operations: &Arc<Operations>,
        telemetry: &telemetry::Guard,
    ) -> Result<Self> {
        let keys = keys::kept(state.path())?;
        let gate = Gate::with_keys(operations.runtime().clone(), &keys);
        let body = body_bytes(config);
        let operator: Arc<dyn Operator> = Arc::<Operations>::clone(operations);
        let control =
            ControlSocket::start(state.path(), &config.server, body, Arc::clone(&gate), operator)
                .await?;
        Ok(Self { http: http.serve(body, gate, telemetry.metrics()), control })
    }
}

/// Ends everything in order: new calls are told to come again later while those under way finish
/// within the time, then streams and connections are closed.
async fn end(faces: Faces, runtime: &RuntimeHandle, within: Duration) -> Result<()> {
    let started = Instant::now();
    let abandoned = runtime.drain(within).await;
    // Calls that outlive the drain are answered when their connections close, so the ways out
    // stay open until then.
    let closed = CancellationToken::new();
    let closing = async {
        runtime.stop().await;
        closed.cancel();
    };
    let last = async {
        closed.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::join!(faces.http.stop(last), closing);
    faces.control.stop(LAST_WORDS).await;
    if abandoned > 0 {
        let within = humantime::format_duration(within);
        let calls = counted(abandoned, "call");
        bail!("abandoned {calls} that did not end within {within} (timeouts.drain)");
    }
    tracing::info!(elapsed = ?started.elapsed(), "ended");
    Ok(())
}

fn body_bytes(config: &Config) -> usize {
    usize::try_from(config.limits.body_bytes.as_u64()).unwrap_or(usize::MAX)
}

/// What a configuration comes to, for one line.
pub(crate) fn counts(config: &Config) -> impl fmt::Display + use<> {
    let private = config.agents.values().map(|agent| &agent.private);
    let servers = std::iter::once(&config.mcp_servers)
        .chain(private)
        .flat_map(|servers| servers.values())
        .filter(|server| server.enabled)
        .count();
    let agents = config.agents.len();
    format!("{}, {}", counted(servers, "server"), counted(agents, "agent"))
}

/// A number with its noun.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
