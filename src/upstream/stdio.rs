//! The stdio connector: a child process that speaks one JSON message a line.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// A child process, started without a shell in a process group of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdioConfig {
    /// The program: a path, or a name that is looked up in the child's `PATH`.
    pub command: String,
    /// Its arguments, passed as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables set beside the default environment; values are secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Secret>,
    /// Working directory. Default: ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// What else the child inherits from our environment.
    #[serde(default)]
    pub inherit_env: InheritEnv,
}

/// Which of our variables a child gets beyond the default ones (DESIGN: PATH, HOME, USER, LOGNAME,
/// SHELL, TERM, LANG, `LC_*`, TZ, TMPDIR, `XDG_*`, proxy and CA variables).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "InheritEnvText", into = "InheritEnvText")]
#[schemars(with = "InheritEnvText")]
pub enum InheritEnv {
    /// Only the default ones (`false`).
    #[default]
    Defaults,
    /// All of them (`true`).
    All,
    /// These as well.
    Names(Vec<String>),
}

/// The three ways to write it: the only place where a value may be of two types, because the
/// configuration's contract has it so.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum InheritEnvText {
    All(bool),
    Names(Vec<String>),
}

impl From<InheritEnvText> for InheritEnv {
    fn from(text: InheritEnvText) -> Self {
        match text {
            InheritEnvText::All(true) => Self::All,
            InheritEnvText::All(false) => Self::Defaults,
            InheritEnvText::Names(names) => Self::Names(names),
        }
    }
}

impl From<InheritEnv> for InheritEnvText {
    fn from(value: InheritEnv) -> Self {
        match value {
            InheritEnv::All => Self::All(true),
            InheritEnv::Defaults => Self::All(false),
            InheritEnv::Names(names) => Self::Names(names),
        }
    }
}
