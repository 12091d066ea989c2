//! Why an incarnation ended: for its supervisor to decide by, and for people to read.
//!
//! Made by the connection that ends. It never decides what is done about it.

use crate::{
    actor::event::Trouble,
    restart::Exit,
    upstream::{ConnectError, LinkEnd, ProcessExit},
};

/// Why an incarnation ended, for the supervisor to classify. Any other error is a bug.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}")]
pub(crate) struct ConnectionFailure {
    pub(crate) exit: Exit,
    pub(crate) cause: String,
    /// The server's last words, to be put after the cause where no timeline shows them.
    pub(crate) words: String,
    /// What went wrong, if anything did.
    pub(crate) trouble: Option<Trouble>,
    /// The process that ended: its number and how.
    pub(crate) process: Option<(Option<u32>, ProcessExit)>,
}

impl ConnectionFailure {
    /// It was asked to end, or nobody needed it.
    pub(super) fn asked(exit: Exit) -> Self {
        let cause = if exit == Exit::Idle { "nobody called it for a while" } else { "closed" };
        Self { exit, cause: cause.to_owned(), words: String::new(), trouble: None, process: None }
    }

    /// The server was lost.
    pub(super) const fn lost(trouble: Trouble, cause: String) -> Self {
        Self {
            exit: Exit::Lost,
            cause,
            words: String::new(),
            trouble: Some(trouble),
            process: None,
        }
    }

    /// Nobody foresaw it: a bug of ours, in these words.
    pub(crate) fn bug(words: &str) -> Self {
        let cause = format!("a bug of Switchboard: {words}");
        Self {
            exit: Exit::Bug,
            cause,
            words: String::new(),
            trouble: Some(Trouble::Bug),
            process: None,
        }
    }
}

impl From<&LinkEnd> for ConnectionFailure {
    fn from(end: &LinkEnd) -> Self {
        let (exit, trouble) = match end {
            LinkEnd::Refused(_) => (Exit::Refused, Trouble::Credentials),
            LinkEnd::Exited(_) => (Exit::Lost, Trouble::Exited),
            LinkEnd::Closed | LinkEnd::Transport(_) | LinkEnd::SessionOver | LinkEnd::Stopped => {
                (Exit::Lost, Trouble::Lost)
            }
        };
        let process = match end {
            LinkEnd::Exited(how) => Some((None, how.clone())),
            LinkEnd::Refused(_)
            | LinkEnd::Closed
            | LinkEnd::Transport(_)
            | LinkEnd::SessionOver
            | LinkEnd::Stopped => None,
        };
        let (cause, words) = (end.to_string(), String::new());
        Self { exit, cause, words, trouble: Some(trouble), process }
    }
}

impl From<ConnectError> for ConnectionFailure {
    fn from(error: ConnectError) -> Self {
        let (exit, trouble) = match &error {
            ConnectError::Credentials(_) => (Exit::Refused, Trouble::Credentials),
            ConnectError::Busy { retry_after, .. } => {
                (Exit::RateLimited { retry_after: *retry_after }, Trouble::Busy)
            }
            ConnectError::Spawn { .. } => (Exit::Absent, Trouble::Command),
            ConnectError::Protocol(_) => (Exit::Fatal, Trouble::Protocol),
            ConnectError::Configuration(_) | ConnectError::Unsupported(_) => {
                (Exit::Fatal, Trouble::Configuration)
            }
            ConnectError::Exited { .. } => (Exit::Lost, Trouble::Exited),
            ConnectError::Timeout { .. } => (Exit::Lost, Trouble::Silent),
            ConnectError::Refused { .. } => (Exit::Lost, Trouble::Protocol),
            ConnectError::Transport(_) => (Exit::Lost, Trouble::Lost),
        };
        let process = match &error {
            ConnectError::Exited { how, pid, .. } => Some((*pid, how.clone())),
            ConnectError::Spawn { .. }
            | ConnectError::Timeout { .. }
            | ConnectError::Protocol(_)
            | ConnectError::Refused { .. }
            | ConnectError::Transport(_)
            | ConnectError::Credentials(_)
            | ConnectError::Busy { .. }
            | ConnectError::Configuration(_)
            | ConnectError::Unsupported(_) => None,
        };
        let (mut cause, words) = (error.to_string(), error.words().to_owned());
        cause.truncate(cause.len().saturating_sub(words.len()));
        Self { exit, cause, words, trouble: Some(trouble), process }
    }
}
