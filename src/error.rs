//! Kinds of failure, shared by every module and mapped once by every face.
//!
//! Owned by nobody: a vocabulary. It never carries a message of its own and knows no protocol.

use serde::{Deserialize, Serialize};

/// What a failure means to the one who asked. Each face maps kinds to its own codes in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Parameters, arguments or state that fail their check.
    Invalid,
    /// A tool, session or server that is not in the caller's view.
    NotFound,
    /// The caller did not say who it is.
    Unauthenticated,
    /// The caller may not do this.
    Denied,
    /// The caller exceeded its own rate or quota.
    Limited,
    /// A queue or capacity is full, or the runtime is draining.
    Overloaded,
    /// The server is connecting, in backoff, open or failed; nothing was sent.
    Unavailable,
    /// The deadline passed.
    Timeout,
    /// The caller cancelled.
    Cancelled,
    /// The call was sent, the connection was lost, and sending it again is not safe.
    OutcomeUnknown,
    /// The server's own error.
    Upstream,
    /// A bug of ours.
    Internal,
}

impl Kind {
    /// The kind's name on every wire, as in the `code` of a problem body.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::Limited => "limited",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Upstream => "upstream",
            Self::Internal => "internal",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that knows its kind.
pub trait Classify: std::error::Error {
    /// The kind that a face maps to its code.
    fn kind(&self) -> Kind;
}
