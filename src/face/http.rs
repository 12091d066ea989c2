//! The shared HTTP listener: how it is configured.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unit;

/// Where the HTTP faces listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpFaceConfig {
    /// Address or name to bind.
    pub host: String,
    /// Port to bind; 0 takes a free one.
    pub port: u16,
    /// Canonical base, for OAuth metadata; empty is none.
    pub public_url: String,
    /// Further names that are accepted in `Host`.
    pub allowed_hosts: Vec<String>,
    /// Further origins that browsers may call from.
    pub allowed_origins: Vec<String>,
    /// How long a session may be idle.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub session_idle: Duration,
    /// Sessions at most.
    pub max_sessions: usize,
    /// Between two comments that keep a stream open.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub keep_alive: Duration,
}

impl Default for HttpFaceConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 18200,
            public_url: String::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            session_idle: Duration::from_mins(30),
            max_sessions: 10_000,
            keep_alive: Duration::from_secs(15),
        }
    }
}
