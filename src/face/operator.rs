//! What an operator may ask of the running instance beyond its servers: another configuration.
//!
//! A face passes these wishes on and knows no configuration; the application that injects the
//! trait carries them out.

use std::fmt;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{
    error::Kind,
    id::{AgentId, Owner, ServerName},
    wire::RawValue,
};

/// A server to be added to the configuration of the running instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddServer {
    /// Its name.
    pub server: ServerName,
    /// Whose it is; `None` for a top-level server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The entry, as a configuration file would have it.
    pub entry: Box<RawValue>,
    /// Whether one that was added before may be replaced.
    #[serde(default)]
    pub replace: bool,
}

/// A server to be removed from what was added.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveServer {
    /// Its name.
    pub server: ServerName,
    /// Whose it is; `None` for a top-level server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
}

/// Why a wish was not carried out; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What it means.
    pub kind: Kind,
    /// A code of its own, such as `defined_in_file`, where the kind says too little.
    pub code: Option<&'static str>,
    /// Why, for a person; one problem a line.
    pub text: String,
}

/// What was done, as JSON.
pub type Done = Result<Box<RawValue>, Refusal>;

/// Carries out an operator's wishes.
pub trait Operator: Send + Sync + fmt::Debug {
    /// Reads the configuration anew and puts it in force.
    fn reload(&self) -> BoxFuture<'_, Done>;

    /// Adds a server to what was added.
    fn add(&self, server: AddServer) -> BoxFuture<'_, Done>;

    /// Removes a server from what was added.
    fn remove(&self, server: RemoveServer) -> BoxFuture<'_, Done>;

    /// Where a server is defined: the layer and the key path, such as
    /// `team.toml: mcpServers.github`.
    fn defined(&self, owner: &Owner, server: &ServerName) -> Option<String>;
}
