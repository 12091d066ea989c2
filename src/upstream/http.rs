//! The streamable HTTP connector: every message is a request of its own, in both eras.
//!
//! A legacy server keeps a session, whose loss ends the link; a modern one keeps nothing, so its
//! link ends when it cannot be reached or refuses us. Headers come from the configuration alone:
//! nothing of a caller goes up. Proxies of the environment are not used, redirects not followed.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Connect, ConnectContext, ConnectError, Link};
use crate::secret::Secret;

#[cfg(feature = "upstream-http")]
mod client;
#[cfg(feature = "upstream-http")]
mod events;
#[cfg(feature = "upstream-http")]
mod fault;
#[cfg(feature = "upstream-http")]
mod handshake;
#[cfg(feature = "upstream-http")]
mod legs;
#[cfg(feature = "upstream-http")]
pub(super) mod remote;
#[cfg(feature = "upstream-http")]
mod request;
#[cfg(feature = "upstream-http")]
mod target;

/// A server over streamable HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The MCP endpoint: `http://…`, `https://…`, or `unix:///path/to.sock#/mcp` for a socket of
    /// this machine with the endpoint's path behind `#`.
    pub url: String,
    /// Headers of every request; values are secrets. `Host`, `Content-*`, `Accept` and `Mcp-*` are
    /// ours to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
}

/// Headers that belong to the exchange itself.
const OURS: [&str; 8] = [
    "host",
    "accept",
    "connection",
    "content-length",
    "content-type",
    "last-event-id",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header is ours to set, so that no configuration may.
pub fn is_ours(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    OURS.contains(&&*header) || header.starts_with("mcp-")
}

/// Makes links to one server over streamable HTTP.
#[derive(Debug)]
pub struct Http {
    #[cfg_attr(
        not(feature = "upstream-http"),
        expect(dead_code, reason = "nothing to reach it by")
    )]
    config: Arc<HttpConfig>,
}

impl Http {
    /// A connector for one server.
    pub fn new(config: HttpConfig) -> Self {
        Self { config: Arc::new(config) }
    }
}

impl Connect for Http {
    #[cfg(feature = "upstream-http")]
    fn connect(&self, context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        use super::channel::Channel;

        let config = Arc::clone(&self.config);
        Box::pin(async move {
            let target = target::Target::new(&config, context.timeout)?;
            context.stderr.begin(context.incarnation, target.secrets());
            let limit = context.message_limit;
            let remote = remote::Remote::new(target, limit, Arc::clone(&context.stderr));
            remote.inquiries().know(context.roots.clone());
            let facts =
                handshake::agree(&remote, context.protocol, context.abilities, context.timeout)
                    .await?;
            remote.settle(&facts).await;
            Ok(Link::new(Channel::Http(Box::new(remote)), facts, limit))
        })
    }

    #[cfg(not(feature = "upstream-http"))]
    fn connect(&self, _context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        // The URL is not quoted: any part of it may hold a secret.
        Box::pin(std::future::ready(Err(ConnectError::Unsupported(
            "this build has no servers over HTTP: build it with the feature `upstream-http`"
                .to_owned(),
        ))))
    }

    fn transport(&self) -> &'static str {
        "tcp"
    }
}
