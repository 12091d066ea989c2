//! Serialisable snapshots of what the tree is doing: what the API, the command line and the
//! health endpoints show.
//!
//! Built from state on request; bounded, and free of secrets by construction.

use std::{sync::atomic::Ordering, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    exchange::Exchange,
    handle::{ConnectionHandle, Standing},
};
use crate::{
    id::{AgentId, Incarnation, Owner, ServerName, SessionKey},
    restart::State,
    wire::{Era, Revision},
};

/// One connection as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ServerStatus {
    /// Whose connection it is.
    pub owner: Owner,
    /// The server.
    pub server: ServerName,
    /// Which session's own connection it is; `None` for the common one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionKey>,
    /// Where it stands.
    pub state: State,
    /// The same in the seven words that users of MCPStore know.
    pub health: Health,
    /// Which life it is in; 0 before the first.
    pub incarnation: Incarnation,
    /// How long it has been in this state; `None` if it never left the first.
    #[serde(rename = "since_ms", with = "optional_millis")]
    pub since: Option<Duration>,
    /// Why it is in this state, in words; `None` where there is nothing to explain.
    pub cause: Option<String>,
    /// How long ago that came about.
    #[serde(rename = "cause_ms", with = "optional_millis")]
    pub caused: Option<Duration>,
    /// Time until the next try.
    #[serde(rename = "next_try_ms", with = "optional_millis")]
    pub next_try: Option<Duration>,
    /// `pipe`, `inproc`, `tcp`.
    pub transport: &'static str,
    /// The era agreed on.
    pub era: Option<Era>,
    /// The revision agreed on.
    pub revision: Option<Revision>,
    /// The child process.
    pub pid: Option<u32>,
    /// Tools in its catalog.
    pub tools: usize,
    /// Calls in flight.
    pub in_flight: usize,
    /// Calls waiting.
    pub waiting: usize,
    /// Questions of the server that wait for somebody's answer; their calls are in flight.
    pub asking: usize,
    /// How long the first of them has waited.
    #[serde(rename = "asked_ms", with = "optional_millis")]
    pub asked: Option<Duration>,
    /// How long the first of those that wait for the connection has.
    #[serde(rename = "waited_ms", with = "optional_millis")]
    pub waited: Option<Duration>,
    /// Calls accepted since the runtime started.
    pub calls: u64,
    /// Calls that ended without the server's answer.
    pub failures: u64,
    /// Calls that outlived their deadline and were ended by the last guard: a bug, if any.
    pub overdue: u64,
    /// Notifications of extensions that no client could be told.
    pub unheard: u64,
    /// Whether readiness waits for it.
    pub required: bool,
    /// What it is for.
    pub description: Option<String>,
}

/// The seven words for those who know MCPStore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Idle or connecting for the first time.
    Initializing,
    /// Ready.
    Healthy,
    /// Ready, with recent failures.
    Warning,
    /// In backoff or half-open.
    Reconnecting,
    /// Open or failed.
    Unreachable,
    /// Draining.
    Disconnecting,
    /// Stopped.
    Disconnected,
}

/// Where the runtime as a whole stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// A required server has not been ready yet.
    Starting,
    /// Serving.
    Serving,
    /// Refusing new calls and finishing old ones.
    Draining,
}

/// The whole runtime.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimeStatus {
    /// Where it stands.
    pub phase: Phase,
    /// Whether traffic should be sent here: serving, and every required server ready.
    pub ready: bool,
    /// Time since the runtime started.
    #[serde(rename = "uptime_seconds", with = "seconds")]
    pub uptime: Duration,
    /// Calls accepted since then.
    pub calls: u64,
    /// Tools in the store's view.
    pub tools: usize,
    /// The agents that are configured.
    pub agents: Vec<AgentId>,
    /// Connections that tasks of theirs outlived: a bug, counted in debug builds.
    #[serde(skip_serializing_if = "is_zero")]
    pub outlived: u64,
    /// Why what should outlive a restart is kept in memory only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_problem: Option<String>,
    /// Every connection, the store's first.
    pub servers: Vec<ServerStatus>,
}

/// The whole runtime, read from memory.
pub(crate) fn of(exchange: &Exchange) -> RuntimeStatus {
    let handles = exchange.handles();
    let servers: Vec<ServerStatus> = handles.iter().map(|handle| server(handle)).collect();
    // A cold lazy server counts as ready: its first call starts it.
    let ready = servers
        .iter()
        .all(|server| !server.required || matches!(server.state, State::Ready | State::Idle));
    let first_life = servers.iter().any(|server| {
        server.required && server.state != State::Ready && server.incarnation <= Incarnation(1)
    });
    let phase = if exchange.sealed.load(Ordering::Acquire) {
        Phase::Draining
    } else if first_life && !ready {
        Phase::Starting
    } else {
        Phase::Serving
    };
    let table = exchange.table.load();
    RuntimeStatus {
        phase,
        ready: ready && phase == Phase::Serving,
        uptime: exchange.started.elapsed(),
        calls: exchange.calls.load(Ordering::Relaxed),
        tools: table.owner(&Owner::Store).map_or(0, |view| view.view.tools().len()),
        agents: exchange.agents(),
        outlived: exchange.leaks.found(),
        state_problem: exchange.store.problem(),
        servers,
    }
}

/// One connection.
pub(crate) fn server(handle: &ConnectionHandle) -> ServerStatus {
    let standing = handle.standing();
    let facts = standing.live.as_ref().map(|live| live.link.facts());
    let (in_flight, waiting) = handle.load();
    let (terms, parked) = (handle.terms(), handle.waiting());
    let (asking, asked) = standing.live.as_ref().map(|live| live.link.asking()).unwrap_or_default();
    ServerStatus {
        owner: handle.owner.clone(),
        server: handle.seat.server.clone(),
        session: handle.seat.session.clone(),
        state: standing.state,
        health: Health::of(&standing),
        incarnation: standing.incarnation,
        since: standing.since.map(|since| since.elapsed()),
        cause: standing.cause.as_deref().map(ToOwned::to_owned),
        caused: standing.caused.map(|caused| caused.elapsed()),
        next_try: standing.next.map(|next| next.saturating_duration_since(Instant::now())),
        transport: terms.transport,
        era: facts.map(|facts| facts.era),
        revision: facts.map(|facts| facts.revision),
        pid: facts.and_then(|facts| facts.pid),
        tools: usize::try_from(handle.tools.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
        in_flight,
        waiting,
        asking,
        asked,
        waited: (!parked.is_nobody()).then_some(parked.longest),
        calls: handle.stats.calls.load(Ordering::Relaxed),
        failures: handle.stats.failures.load(Ordering::Relaxed),
        overdue: handle.stats.overdue.load(Ordering::Relaxed),
        unheard: handle.stats.unheard.load(Ordering::Relaxed),
        // Nobody waits for a session's own connection but that session.
        required: terms.config.required && handle.seat.session.is_none(),
        description: terms.config.description.clone(),
    }
}

impl Health {
    fn of(standing: &Standing) -> Self {
        match standing.state {
            State::Idle => Self::Initializing,
            State::Connecting if standing.incarnation <= Incarnation(1) => Self::Initializing,
            State::Connecting | State::Backoff | State::HalfOpen => Self::Reconnecting,
            State::Ready if standing.recent_failures > 0 => Self::Warning,
            State::Ready => Self::Healthy,
            State::Open | State::Failed => Self::Unreachable,
            State::Draining => Self::Disconnecting,
            State::Stopped => Self::Disconnected,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

mod optional_millis {
    use std::time::Duration;

    use serde::Serializer;

    #[allow(clippy::ref_option, reason = "the shape that serde's `with` calls")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => {
                serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
            }
            None => serializer.serialize_none(),
        }
    }
}

mod seconds {
    use std::time::Duration;

    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.as_secs())
    }
}
