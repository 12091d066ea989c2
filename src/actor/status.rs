//! Serialisable snapshots of what the tree is doing: what the API, the command line and the
//! health endpoints show.
//!
//! Built from state on request; bounded, and free of secrets by construction.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    id::{Incarnation, Owner, ServerName},
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
    /// Where it stands.
    pub state: State,
    /// The same in the seven words that users of MCPStore know.
    pub health: Health,
    /// Which life it is in; 0 before the first.
    pub incarnation: Incarnation,
    /// Why it is in this state, in words; `None` where there is nothing to explain.
    pub cause: Option<String>,
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
    /// Calls accepted since the runtime started.
    pub calls: u64,
    /// Calls that ended without the server's answer.
    pub failures: u64,
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
    /// Every connection, the store's first.
    pub servers: Vec<ServerStatus>,
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
