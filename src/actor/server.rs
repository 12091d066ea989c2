//! One server's definition: how it is reached, and how it is supervised, admitted and shown.
//!
//! Plain data, owned by configurations and supervisors. It decides nothing.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    catalog::ToolFilter,
    id::Seat,
    restart::Restart,
    unit,
    upstream::{Protocol, Root, TransportConfig},
    wire::{Abilities, Ability},
};

/// One server, in its canonical form. Client dialects are translated into it by `config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// How it is reached.
    pub transport: TransportConfig,
    /// Whether it takes part at all. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What it is for, in its author's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whom to ask about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Its place in lists, before its name. Default: 0.
    #[serde(default)]
    pub order: i32,
    /// When it is started. Default: eager.
    #[serde(default)]
    pub startup: Startup,
    /// Whose connection serves a granted call. Default: agent.
    #[serde(default)]
    pub isolation: Isolation,
    /// Which era it is addressed in. Default: auto.
    #[serde(default)]
    pub protocol: Protocol,
    /// Whether it is started again after it ended. Default: permanent.
    #[serde(default)]
    pub restart: Restart,
    /// Whether readiness waits for it. Default: false.
    #[serde(default)]
    pub required: bool,
    /// Calls in flight at most. Default: 16 for stdio and in-process servers, 64 for HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<NonZeroU32>,
    /// Calls waiting at most, for a connection or for a place in flight. Default: 256.
    #[serde(default = "max_queue")]
    pub max_queue: u32,
    /// Stop it after this long without a call, unless somebody watches its resources; 0 is never.
    /// Default: 0s.
    #[serde(default, with = "unit::duration")]
    #[schemars(with = "String")]
    pub idle_stop: Duration,
    /// Whether its tools' annotations count for decisions. Default: false.
    #[serde(default)]
    pub trust_annotations: bool,
    /// Whether calls that may have run are sent again. Default: never.
    #[serde(default)]
    pub retry: Retry,
    /// Deadline of its calls, instead of `timeouts.call`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "unit::optional_duration")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
    /// The places that it is told of when it asks for roots, instead of its clients' own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<Root>,
    /// Which of its tools are shown. Default: all.
    #[serde(default)]
    pub tools: ToolFilter,
    /// What holds for tools whose own name matches the glob; where several match, the one
    /// that names the tool most closely decides each setting: a plain name before any glob, then
    /// the glob with more characters that stand for themselves, then the order of their text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tool_rules: BTreeMap<String, ToolRule>,
}

/// Settings of some of a server's tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolRule {
    /// Whether a call that may have run is sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Deadline of a call.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "unit::optional_duration")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
    /// What the agent program should do with the answer; passed on, not interpreted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// When a server is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Startup {
    /// With the runtime.
    #[default]
    Eager,
    /// By its first call or subscription, once its tools are known.
    Lazy,
}

/// Whose connection serves a call that an agent was granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Each agent's own, under its own supervisor, started by its first call.
    #[default]
    Agent,
    /// The store's one.
    Shared,
    /// One for each legacy session, or for each principal where there is none; started by its
    /// first call, closed with the session.
    Session,
}

/// Whether a call that may have run is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Retry {
    /// Never; its outcome is reported as unknown.
    #[default]
    Never,
    /// If a trusted hint or a rule says that it is safe.
    Safe,
}

const fn yes() -> bool {
    true
}

const fn max_queue() -> u32 {
    256
}

impl ServerConfig {
    /// What the server is told that it may ask for during calls. A connection that serves several
    /// agents asks nobody; places are asked for before the first call, so only a session has them,
    /// or the configuration.
    pub(crate) fn abilities(&self, seat: &Seat) -> Abilities {
        let abilities = match self.isolation {
            Isolation::Shared => Abilities::NONE,
            Isolation::Agent | Isolation::Session => Abilities::of_calls(),
        };
        if !self.roots.is_empty() || self.isolation == Isolation::Session && seat.session.is_some()
        {
            abilities.and(Ability::Roots)
        } else {
            abilities
        }
    }

    /// A server with defaults for everything but its transport.
    pub fn new(transport: TransportConfig) -> Self {
        Self {
            transport,
            enabled: true,
            description: None,
            tags: Vec::new(),
            contact: None,
            order: 0,
            startup: Startup::default(),
            isolation: Isolation::default(),
            protocol: Protocol::default(),
            restart: Restart::default(),
            required: false,
            max_in_flight: None,
            max_queue: max_queue(),
            idle_stop: Duration::ZERO,
            trust_annotations: false,
            retry: Retry::default(),
            timeout: None,
            roots: Vec::new(),
            tools: ToolFilter::default(),
            tool_rules: BTreeMap::new(),
        }
    }
}
