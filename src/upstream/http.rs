//! Streamable HTTP upstreams: how such a server is configured.
//!
//! The connector comes with the next step of the project; until then a server with a `url` is
//! accepted, listed and `failed` with a cause that says so.

use std::collections::BTreeMap;

use futures::{FutureExt as _, future::BoxFuture};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Connect, ConnectContext, ConnectError, Link};
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

/// Says that this version has no such transport.
#[derive(Debug)]
pub struct Http {
    config: HttpConfig,
}

impl Http {
    /// A connector for one server.
    pub const fn new(config: HttpConfig) -> Self {
        Self { config }
    }
}

impl Connect for Http {
    fn connect(&self, _context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        // Only the origin: the rest of a URL may hold a key.
        let origin: String = self.config.url.split_inclusive('/').take(3).collect();
        std::future::ready(Err(ConnectError::Unsupported(format!(
            "streamable HTTP upstreams come with the next version; until then, start {} as a \
             command or behind a stdio bridge",
            origin.trim_end_matches('/')
        ))))
        .boxed()
    }

    fn transport(&self) -> &'static str {
        "tcp"
    }
}
