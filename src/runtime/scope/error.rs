//! Why what was asked of a scope was not done.
//!
//! For whoever embeds the runtime, and in words for whoever reads a message of ours.

use crate::{catalog::FilterError, id::ServerName, restart::State};

/// Why a server was not added, updated or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// A server of this name is there already.
    #[error("server {0:?} exists already; update or remove it")]
    Exists(ServerName),
    /// No server of this name.
    #[error("unknown server {0:?}")]
    Unknown(ServerName),
    /// A glob of the definition does not compile.
    #[error("server {server:?}: {source}")]
    Filter {
        /// The server.
        server: ServerName,
        /// What is wrong.
        #[source]
        source: FilterError,
    },
    /// The definition is of an in-process server, which comes with its handler.
    #[error("server {0:?} is in-process: add it with its handler")]
    NoConnector(ServerName),
    /// The runtime has ended.
    #[error("the runtime has ended")]
    Ended,
}

/// Why a server is not ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// No server of this name.
    #[error("unknown server {0:?}")]
    Unknown(ServerName),
    /// It will not be tried again by itself.
    #[error("{server} is {state}: {cause}")]
    GivenUp {
        /// The server.
        server: ServerName,
        /// `failed` or `stopped`.
        state: State,
        /// Why.
        cause: String,
    },
    /// It did not become ready in time.
    #[error("{server} was not ready in time; it is {state}{cause}")]
    Timeout {
        /// The server.
        server: ServerName,
        /// Where it stood.
        state: State,
        /// Why, after a colon, where that is known.
        cause: String,
    },
}
