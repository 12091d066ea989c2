//! The shared HTTP listener: who may reach it, how it starts, how it stops.
//!
//! Owned by the program. It serves the MCP endpoint and health; what they mean is theirs. It
//! knows no TLS: a proxy in front of it does.

mod calm;
mod guard;
mod idle;
mod metrics;
mod serve;
mod site;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::ListenerExt as _;
pub use guard::{Admission, Door};
pub use metrics::Metrics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub(crate) use serve::{IsLocal, Life, Served};
pub(crate) use site::Site;
use tokio::net::TcpListener;

use super::{health, mcp::endpoint::Endpoint};
use crate::{access::Gate, unit};

/// The listener's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpFaceConfig {
    /// The address or name to listen on.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The base URL under which clients reach us, where it is another than host and port.
    pub public_url: String,
    /// Further names that a request's `Host` may have. This machine's loopback names, `host` and
    /// that of `public_url` always may.
    pub allowed_hosts: Vec<String>,
    /// Origins, such as `https://app.example.com`, whose pages may call us. Pages from loopback
    /// and from our own address always may; programs send no origin.
    pub allowed_origins: Vec<String>,
    /// How long a legacy session lives without a message, a call or a stream.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub session_idle: Duration,
    /// Legacy sessions at most.
    pub max_sessions: usize,
    /// Between two signs of life on a stream that has nothing to say; at least a second.
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

/// Why the listener did not start.
#[derive(Debug, thiserror::Error)]
pub enum HttpFaceError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}{hint}")]
    Bind {
        /// Host and port.
        address: String,
        /// The remedy, where there is one.
        hint: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// An entry that names no host or origin.
    #[error("server.{key} has the entry {entry:?}, which is not {what}")]
    Entry {
        /// The key in the configuration.
        key: &'static str,
        /// The entry.
        entry: String,
        /// What it should be.
        what: &'static str,
    },
}

/// The HTTP face: an address that is held, and not served yet.
#[derive(Debug)]
pub struct HttpFace {
    listener: TcpListener,
    local_addr: SocketAddr,
    door: Door,
    config: HttpFaceConfig,
}

impl HttpFace {
    /// Takes the address, before anything is started that would have to be stopped again.
    ///
    /// # Errors
    /// [`HttpFaceError`] when the address cannot be listened on or the settings are unusable.
    pub async fn bind(config: &HttpFaceConfig) -> Result<Self, HttpFaceError> {
        let door = Door::new(config)?;
        let bind = |source: io::Error| HttpFaceError::Bind {
            address: format!("{}:{}", config.host, config.port),
            hint: hint(&source),
            source,
        };
        let host = config.host.trim_matches(['[', ']']);
        let listener = TcpListener::bind((host, config.port)).await.map_err(bind)?;
        let local_addr = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, local_addr, door, config: config.clone() })
    }

    /// What whom it admits is changed by.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Serves. `body_bytes` bounds the body of one request; `metrics`, where there are some, are
    /// at `/metrics` for who is on this machine.
    pub fn serve(
        self,
        body_bytes: usize,
        gate: Arc<Gate>,
        metrics: Option<Metrics>,
    ) -> RunningFace {
        let life = Life::default();
        let endpoint = Endpoint::new(Arc::clone(&gate), &self.config, &life);
        let mut routes = health::routes(gate);
        if let Some(metrics) = metrics {
            routes = routes.merge(metrics::routes(metrics));
        }
        let site = Site::new(Some(self.door), endpoint, routes, body_bytes);
        let listener = self.listener.tap_io(|stream| {
            // Only latency is lost without it.
            stream.set_nodelay(true).ok();
        });
        let served = Served::start(listener, site, life);
        RunningFace { local_addr: self.local_addr, served }
    }
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        ": another program uses the port; choose another one with server.port or --port"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        ": ports below 1024 need privileges; choose another one with server.port or --port"
    } else {
        ""
    }
}

/// A listener that serves.
#[derive(Debug)]
pub struct RunningFace {
    local_addr: SocketAddr,
    served: Served,
}

impl RunningFace {
    /// The address that it listens on.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops: accepts nothing new, ends streams that have no end of their own, lets answers that
    /// are under way finish until then, and then cuts what is left.
    pub async fn stop(self, until: impl Future<Output = ()>) {
        self.served.stop(until).await;
    }
}
