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
pub struct Http;

impl Connect for Http {
    fn connect(&self, _context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        // The URL is not quoted: any part of it may hold a secret.
        std::future::ready(Err(ConnectError::Unsupported(
            "streamable HTTP upstreams come with the next version; until then, start the server \
             as a command or behind a stdio bridge"
                .to_owned(),
        )))
        .boxed()
    }

    fn transport(&self) -> &'static str {
        "tcp"
    }
}
