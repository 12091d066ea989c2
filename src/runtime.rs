//! The door: spawn the tree, hold its handle.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;

pub use crate::actor::{
    event::Event,
    server::*,
    settings::*,
    status::{Health, Phase, RuntimeStatus, ServerStatus},
};
pub use crate::upstream::{Progress, ProgressSink};
use crate::{
    catalog::CatalogConfig,
    error::{Classify, Kind},
    id::{AgentId, Incarnation, ServerName},
    wire::{ErrorObject, RawValue},
};

/// Everything that the kernel is configured by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeConfig {
    /// Top-level servers: the store's.
    pub servers: BTreeMap<ServerName, ServerConfig>,
    /// Failure domains among them.
    pub groups: BTreeMap<String, GroupConfig>,
    /// Agents.
    pub agents: BTreeMap<AgentId, AgentConfig>,
    /// What is watched, and how often.
    pub monitoring: MonitoringConfig,
    /// How long things may take.
    pub timeouts: TimeoutsConfig,
    /// Bounds.
    pub limits: LimitsConfig,
    /// Naming.
    pub catalog: CatalogConfig,
}

/// One call of a tool. Dropping the future that carries it out cancels it.
#[derive(Debug)]
pub struct CallRequest {
    /// The tool's exposed name.
    pub tool: String,
    /// The whole parameters of `tools/call` as the caller sent them; `name` is replaced on the
    /// way, `_meta` is restated for the next leg, everything else stays.
    pub params: Arc<RawValue>,
    /// The caller's own deadline, if it is shorter than the configured one.
    pub timeout: Option<Duration>,
    /// Where progress goes, if the caller asked for it.
    pub progress: Option<ProgressSink>,
}

/// A server's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The raw result as the server sent it.
    pub result: Box<RawValue>,
    /// Who answered.
    pub server: ServerName,
    /// In which life.
    pub incarnation: Incarnation,
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// No such tool in the caller's view. The text never tells whether it exists elsewhere.
    #[error("unknown tool {0:?}")]
    UnknownTool(String),
    /// No such agent or server in the caller's view.
    #[error("unknown {what} {name:?}")]
    Unknown {
        /// `agent` or `server`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Parameters that fail their check.
    #[error("{0}")]
    Invalid(String),
    /// The runtime is draining.
    #[error("switchboard is shutting down; try again in a moment")]
    Draining,
    /// The call failed on our side of the server.
    #[error("{}", .0.text)]
    Failed(Failure),
    /// The server answered with an error of its own.
    #[error("{server}: {}", .error.message())]
    Server {
        /// Which server.
        server: ServerName,
        /// Its error, raw.
        error: ErrorObject,
    },
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// It waited; nothing was sent.
    Queued,
    /// It had gone to the server.
    Written,
}

/// A failed call, for programs and for people.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What it means.
    pub kind: Kind,
    /// Which server.
    pub server: ServerName,
    /// In which life; 0 where there was none.
    pub incarnation: Incarnation,
    /// How far the call came.
    pub phase: Delivery,
    /// When trying again makes sense, where that is known.
    pub retry_after: Option<Duration>,
    /// One sentence that a model can act on. No text from the server stands in it.
    pub text: String,
}

impl Serialize for Failure {
    /// The `io.switchboard/failure` object: `kind`, `server`, `incarnation`, `phase`, `sent`,
    /// `retryAfterMs`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", &self.kind)?;
        map.serialize_entry("server", &self.server)?;
        map.serialize_entry("incarnation", &self.incarnation)?;
        map.serialize_entry("phase", &self.phase)?;
        map.serialize_entry("sent", &(self.phase == Delivery::Written))?;
        if let Some(after) = self.retry_after {
            map.serialize_entry(
                "retryAfterMs",
                &u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
            )?;
        }
        map.end()
    }
}

impl Classify for CallError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownTool(_) | Self::Unknown { .. } => Kind::NotFound,
            Self::Invalid(_) => Kind::Invalid,
            Self::Draining => Kind::Overloaded,
            Self::Failed(failure) => failure.kind,
            Self::Server { .. } => Kind::Upstream,
        }
    }
}

/// The handle of a running tree.
#[derive(Clone, Debug)]
pub struct RuntimeHandle;
