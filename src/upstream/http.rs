//! Streamable HTTP upstreams: how such a server is configured.
//!
//! The connector comes with the next step of the project; until then a server with a `url` is
//! accepted, listed and `failed` with a cause that says so.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// A server behind a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The MCP endpoint.
    pub url: String,
    /// Headers of every request; values are secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
}
