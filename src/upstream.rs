//! Upstreams: how a live link to an MCP server is made, and what one can do.
//!
//! Every connector makes its server look modern: one request, a stream of progress, one outcome.
//! Owned by connection actors; this module knows nothing of supervision, names or views, and a
//! link never reconnects itself.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    error::{Classify, Kind},
    guard::Guard,
    id::{Incarnation, ServerName},
    wire::{Abilities, Era, ErrorObject},
};

mod channel;
mod child;
mod deadline;
mod dialogue;
mod era;
pub mod exit;
pub mod http;
mod link;
pub mod memory;
mod news;
mod peer;
mod progress;
mod room;
mod roots;
pub mod stderr;
pub mod stdio;
pub mod stream;
#[cfg(test)]
mod testing;
mod vital;

pub use deadline::Deadline;
pub use dialogue::{
    Asked, Dialogue, DialogueSink, Reply, Response, Told, Whose, declined, introduced,
};
pub use exit::ProcessExit;
pub use link::{Filter, Link, LinkEvent, Request};
pub use news::{Notice, Updated};
pub use progress::{Progress, ProgressSink};
pub use room::Room;
pub use roots::{Root, Roots};
pub use stderr::StderrRing;

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum TransportConfig {
    /// A child process that speaks over its standard streams.
    Stdio(stdio::StdioConfig),
    /// A server over streamable HTTP.
    Http(http::HttpConfig),
    /// A server in this process; its connector comes from the embedding program.
    #[serde(skip)]
    InProcess,
}

impl TransportConfig {
    /// The connector for servers of this configuration; an in-process server brings its own.
    pub fn connector(&self) -> Option<Arc<dyn Connect>> {
        match self {
            Self::Stdio(config) => Some(Arc::new(stdio::Stdio::new(config.clone()))),
            Self::Http(config) => Some(Arc::new(http::Http::new(config.clone()))),
            Self::InProcess => None,
        }
    }
}

/// Which era a server is addressed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Found out by `server/discover`, then remembered.
    #[default]
    Auto,
    /// 2026-07-28 and later, without a probe.
    Modern,
    /// `initialize`, without a probe.
    Legacy,
}

/// What a connector needs to know for one attempt.
#[derive(Clone, Debug)]
pub struct ConnectContext {
    /// The server's name, for messages.
    pub server: ServerName,
    /// Which life this is.
    pub incarnation: Incarnation,
    /// The configured era, or the one that the last incarnation found.
    pub protocol: Protocol,
    /// How long the attempt may take in all.
    pub timeout: Duration,
    /// What the server is told that it may ask for during calls.
    pub abilities: Abilities,
    /// What answers its questions for roots, instead of a client.
    pub roots: Roots,
    /// The longest message that is accepted from the server, in bytes.
    pub message_limit: usize,
    /// Where the server's error output goes; readable also when the attempt fails.
    pub stderr: Arc<StderrRing>,
    /// What sees to it that no process is left behind.
    pub guard: Guard,
}

/// A way to make links to one server.
pub trait Connect: Send + Sync + fmt::Debug {
    /// Makes a link: starts what must be started, agrees on a revision, reads what the server
    /// says about itself. Dropping the future undoes it: no process and no task stays behind.
    fn connect(&self, context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>>;

    /// The transport's name, as in OpenTelemetry's `network.transport`: `pipe`, `tcp`, `inproc`.
    fn transport(&self) -> &'static str;

    /// Whether a slow start is expected, because a program may have to be fetched first.
    fn starts_process(&self) -> bool {
        false
    }
}

/// Why no link came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The command cannot be run at all; trying again changes nothing.
    #[error("cannot start {command:?}: {why}")]
    Spawn {
        /// The command as configured.
        command: String,
        /// What the system said, with a remedy where there is one.
        why: String,
    },
    /// The process ended before the connection was ready.
    #[error("the process {how} before the connection was ready{hint}{words}")]
    Exited {
        /// Exit code or signal.
        how: ProcessExit,
        /// The number that it had.
        pid: Option<u32>,
        /// Its first garbage line, if there was any.
        hint: String,
        /// The end of its error output, to be put after a sentence.
        words: String,
    },
    /// No answer in time.
    #[error("no answer to {method} within {}{hint}{words}", humantime::format_duration(*.after))]
    Timeout {
        /// What was asked.
        method: &'static str,
        /// How long it was waited for.
        after: Duration,
        /// What came instead, if anything did.
        hint: String,
        /// The end of its error output, to be put after a sentence.
        words: String,
    },
    /// The server answered something that the protocol does not allow.
    #[error("protocol violation: {0}")]
    Protocol(String),
    /// The server refused the connection with an error of its own.
    #[error("the server refused {method}: {message} ({code})")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// The server's code.
        code: i64,
        /// The server's words.
        message: String,
    },
    /// The transport failed.
    #[error("transport failed: {0}")]
    Transport(String),
    /// The server refuses our credentials, or wants some.
    #[error("{0}")]
    Credentials(String),
    /// The server is there and says when to come again.
    #[error("{why}; it asks to be left alone for {}", humantime::format_duration(*.retry_after))]
    Busy {
        /// What it said.
        why: String,
        /// How long it asks for.
        retry_after: Duration,
    },
    /// The definition cannot work; trying again changes nothing.
    #[error("{0}")]
    Configuration(String),
    /// This build or version has no such transport.
    #[error("{0}")]
    Unsupported(String),
}

impl ConnectError {
    /// The end of the server's error output, as it ends this error's text; may be empty.
    pub fn words(&self) -> &str {
        match self {
            Self::Exited { words, .. } | Self::Timeout { words, .. } => words,
            Self::Spawn { .. }
            | Self::Protocol(_)
            | Self::Refused { .. }
            | Self::Transport(_)
            | Self::Credentials(_)
            | Self::Busy { .. }
            | Self::Configuration(_)
            | Self::Unsupported(_) => "",
        }
    }
}

/// Why a live link ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkEnd {
    /// The process ended: exit code or signal.
    #[error("the process {0}")]
    Exited(ProcessExit),
    /// The server closed its output but its process lives.
    #[error("the server closed its output")]
    Closed,
    /// Reading or writing failed.
    #[error("transport failed: {0}")]
    Transport(String),
    /// The server no longer knows the session.
    #[error("the server ended the session")]
    SessionOver,
    /// The server refuses our credentials, or wants some.
    #[error("{0}")]
    Refused(String),
    /// We closed it.
    #[error("closed by us")]
    Stopped,
}

/// Why a request has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// The link was gone before the request was written: provably not executed.
    #[error("the connection was lost before the request was sent: {0}")]
    NotSent(LinkEnd),
    /// The link was lost after the request was written: nobody knows whether it ran.
    #[error("the connection was lost after the request was sent: {end}")]
    Lost {
        /// Why the link ended.
        end: LinkEnd,
        /// When the request had gone to the system.
        written: Instant,
    },
    /// The deadline passed.
    #[error("the deadline passed")]
    Timeout {
        /// Whether the request had been written.
        sent: bool,
    },
    /// The server has too much to do and did not execute it; the link is there for another try.
    #[error("the server has too much to do")]
    Busy {
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server takes no such request and did not execute it; another try is useless.
    #[error("{0}")]
    Refused(String),
    /// The server's own error.
    #[error("{} ({})", .0.message(), .0.code())]
    Server(ErrorObject),
    /// The server's answer breaks the protocol or a limit.
    #[error("{0}")]
    Malformed(String),
}

impl Classify for RequestError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotSent(_) | Self::Busy { .. } => Kind::Unavailable,
            Self::Lost { .. } => Kind::OutcomeUnknown,
            Self::Timeout { .. } => Kind::Timeout,
            Self::Server(_) | Self::Refused(_) | Self::Malformed(_) => Kind::Upstream,
        }
    }
}

/// What a server said about itself when the link was made.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// The era that was agreed on.
    pub era: Era,
    /// The revision that was agreed on.
    pub revision: crate::wire::Revision,
    /// Raw `Implementation`, where it gave one.
    pub info: Option<Arc<crate::wire::RawValue>>,
    /// Raw `ServerCapabilities`.
    pub capabilities: Arc<crate::wire::RawValue>,
    /// Advice to the model, where it gave any.
    pub instructions: Option<Arc<str>>,
    /// The process, where there is one.
    pub pid: Option<u32>,
}
