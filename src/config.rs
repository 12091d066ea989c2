//! The configuration: the sum of every component's own settings, and how it is read.
//!
//! Owned by `app` and `cli`; nothing below imports it. Reading has five steps: text to trees,
//! client dialects to our keys, layers on top of one another, variables and types, checks across
//! keys. Every step gathers its problems; nothing starts on a bad configuration.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    catalog::CatalogConfig,
    id::{AgentId, ServerName},
    runtime::{
        AgentConfig, GroupConfig, LimitsConfig, MonitoringConfig, RuntimeConfig, ServerConfig,
        TimeoutsConfig,
    },
};

mod check;
mod dialect;
mod environment;
mod expand;
mod files;
mod layer;
mod load;
pub mod managed;
mod parse;
mod path;
mod problem;
mod read;
mod schema;
mod server;
mod show;

pub use check::missing_programs;
pub use files::Files;
pub use load::{Loaded, Overrides, Profile, Sources, inspect, load};
pub use path::{KeyPath, Origins};
pub use problem::{ConfigErrors, Problem};
pub use schema::schema;
pub use show::{show, show_json};

/// Everything that can be configured, in its canonical form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Top-level servers, by name.
    #[serde(rename = "mcpServers")]
    pub mcp_servers: BTreeMap<ServerName, ServerConfig>,
    /// Servers that fail together.
    pub groups: BTreeMap<String, GroupConfig>,
    /// Agents, by name.
    pub agents: BTreeMap<AgentId, AgentConfig>,
    /// What is watched, and how often.
    pub monitoring: MonitoringConfig,
    /// How long things may take.
    pub timeouts: TimeoutsConfig,
    /// Bounds.
    pub limits: LimitsConfig,
    /// How tools are named and kept.
    pub catalog: CatalogConfig,
    /// Where the HTTP faces listen.
    #[cfg(feature = "face-http")]
    pub server: crate::face::http::HttpFaceConfig,
    /// Who may call.
    pub access: AccessConfig,
    /// What is logged and exported.
    #[cfg(feature = "cli")]
    pub telemetry: crate::telemetry::TelemetryConfig,
}

/// Who may call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessConfig {
    /// Whether to listen beyond this machine although nobody is asked who they are. Default:
    /// false.
    pub insecure: bool,
}

impl From<Config> for RuntimeConfig {
    fn from(config: Config) -> Self {
        Self {
            servers: config.mcp_servers,
            groups: config.groups,
            agents: config.agents,
            monitoring: config.monitoring,
            timeouts: config.timeouts,
            limits: config.limits,
            catalog: config.catalog,
        }
    }
}
