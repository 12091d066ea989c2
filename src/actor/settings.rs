//! Settings that all connections of a runtime share: monitoring, timeouts, limits, groups, agents.
//!
//! Plain data with documented defaults; ranges are checked where a configuration is read.

use std::{collections::BTreeMap, time::Duration};

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::server::ServerConfig;
use crate::{catalog::ToolFilter, id::ServerName, restart::Strategy, unit};

/// What is watched, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MonitoringConfig {
    /// Seconds of silence after which a server is probed, 1 to 3600.
    pub health_check_seconds: u32,
    /// Hours between two listings of a server's tools, 0.01 to 168.
    pub tools_update_hours: f64,
    /// Seconds that bound every pause before a new connection, 1 to 3600.
    pub reconnection_seconds: u32,
    /// Hours between two clean-ups, 0.1 to 720.
    pub cleanup_hours: f64,
    /// Whether tools are listed again on the interval.
    pub enable_tools_update: bool,
    /// Whether lost connections are made again.
    pub enable_reconnection: bool,
    /// Whether tools are listed after a reconnection; if not, the catalog known before stays.
    pub update_tools_on_reconnection: bool,
}

impl Default for MonitoringConfig {
    fn default() -> Self {
        Self {
            health_check_seconds: 30,
            tools_update_hours: 2.0,
            reconnection_seconds: 60,
            cleanup_hours: 24.0,
            enable_tools_update: true,
            enable_reconnection: true,
            update_tools_on_reconnection: true,
        }
    }
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsConfig {
    /// Making a connection to a server that runs already.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub connect: Duration,
    /// Starting a child process until it is connected; fetching programs takes long.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub start: Duration,
    /// A call, since it was accepted or its last progress.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub call: Duration,
    /// A call in all.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub call_max: Duration,
    /// The answer to a health probe.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub health_check: Duration,
    /// Calls in flight when the runtime stops.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub drain: Duration,
    /// Silence with calls in flight after which a server counts as hung.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub hang: Duration,
    /// A session's own connection without a call; closed, the server forgets what it held for it.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub session: Duration,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            start: Duration::from_mins(1),
            call: Duration::from_mins(1),
            call_max: Duration::from_mins(10),
            health_check: Duration::from_secs(5),
            drain: Duration::from_secs(25),
            hang: Duration::from_mins(2),
            session: Duration::from_mins(30),
        }
    }
}

/// Bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections of one agent being made at a time.
    pub connects_per_agent: u32,
    /// Connections being made at a time in all.
    pub connects: u32,
    /// Sessions that may have a connection of their own to one server; beyond, the one that was
    /// unused for longest is closed.
    pub session_connections: u32,
    /// The longest request to us.
    #[schemars(with = "String")]
    pub body_bytes: ByteSize,
    /// The longest message from a server.
    #[schemars(with = "String")]
    pub message_bytes: ByteSize,
    /// Parameters of the calls of one connection that are not answered yet, in all.
    #[schemars(with = "String")]
    pub queue_bytes: ByteSize,
    /// Entries of one page of a list.
    pub page_size: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connects_per_agent: 3,
            connects: 16,
            session_connections: 64,
            body_bytes: ByteSize::mib(4),
            message_bytes: ByteSize::mib(64),
            queue_bytes: ByteSize::mib(64),
            page_size: 1000,
        }
    }
}

/// Servers that fail together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// The members, in their order of start.
    pub servers: Vec<ServerName>,
    /// Who is restarted when one of them was lost. Default: `one_for_one`.
    #[serde(default)]
    pub strategy: Strategy,
    /// Losses in `period` at most before the circuit opens. Default: 5.
    #[serde(default = "intensity")]
    pub intensity: u32,
    /// The window of `intensity`. Default: 60s.
    #[serde(default = "period", with = "unit::duration")]
    #[schemars(with = "String")]
    pub period: Duration,
}

const fn intensity() -> u32 {
    5
}

const fn period() -> Duration {
    Duration::from_mins(1)
}

/// One agent: what it was granted and what is its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// Top-level servers that the agent sees.
    pub servers: Vec<ServerName>,
    /// Which of all its tools it sees, by exposed name.
    pub tools: ToolFilter,
    /// Servers that only this agent sees.
    #[serde(rename = "mcpServers")]
    pub private: BTreeMap<ServerName, ServerConfig>,
}
