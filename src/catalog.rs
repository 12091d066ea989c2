//! What servers offer.
use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{id::ServerName, unit, wire::RawValue};

/// How tools are named and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogConfig {
    /// When a tool's name starts with its server's.
    pub prefix: Prefix,
    /// Between the server's name and the tool's.
    pub separator: String,
    /// The longest exposed name, in characters, 16 to 128.
    pub max_name_length: usize,
    /// How long the tools of a server that is gone stay listed.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub tools_grace: Duration,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            prefix: Prefix::Always,
            separator: "_".to_owned(),
            max_name_length: 64,
            tools_grace: Duration::from_secs(600),
        }
    }
}

/// When a tool's name starts with its server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prefix {
    /// Always.
    #[default]
    Always,
    /// Only for a name that another server has already.
    OnCollision,
    /// Never; a second owner of a name gets a suffix.
    Never,
}

/// Globs of names that pass and that do not; a denied name never passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolFilter {
    /// Names that pass. Default: all.
    pub allow: Vec<String>,
    /// Names that do not.
    pub deny: Vec<String>,
}

impl Default for ToolFilter {
    fn default() -> Self {
        Self {
            allow: vec!["*".to_owned()],
            deny: Vec::new(),
        }
    }
}

/// What an agent sees.
#[derive(Clone, Debug, Default)]
pub struct View {
    tools: Vec<ViewTool>,
}

/// One tool of a view.
#[derive(Clone, Debug)]
pub struct ViewTool {
    /// The name callers use.
    pub exposed: Arc<str>,
    /// Its server.
    pub server: ServerName,
    /// Its name there.
    pub upstream: Arc<str>,
    /// Its raw definition with the exposed name.
    pub raw: Arc<RawValue>,
}

impl View {
    /// The tools in their order.
    pub fn tools(&self) -> &[ViewTool] {
        &self.tools
    }
}
