//! What is known of a transition beyond its two states: the process, how it ended, what it said
//! last, how long things took and who waited.
//!
//! For the operator alone: its lines of error output stand in timelines and nowhere else. Plain
//! data, written by supervisors.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::number;
use crate::upstream::ProcessExit;

/// What is known beyond the two states, where kinds of transition differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Detail {
    /// Nothing.
    #[default]
    Step,
    /// A life became ready.
    Up {
        /// How the server is reached.
        #[serde(flatten)]
        via: Via,
        /// From the start of the attempt, in seconds.
        #[serde(with = "number::seconds")]
        took: Duration,
    },
    /// A life, or the attempt to begin one, ended.
    Down(Down),
}

impl Detail {
    /// Whether there is nothing to be told.
    pub const fn is_step(&self) -> bool {
        matches!(self, Self::Step)
    }
}

/// How a server is reached, without its address, which may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "via", rename_all = "lowercase")]
pub enum Via {
    /// A child process.
    Process {
        /// Its number.
        pid: u32,
    },
    /// HTTP.
    Http,
    /// It runs in this process.
    Inproc,
    /// A stream that the embedding program opened.
    Stream,
}

impl Via {
    /// By a transport's name and the process behind it, if there is one.
    pub(crate) fn of(transport: &str, pid: Option<u32>) -> Self {
        match (transport, pid) {
            (_, Some(pid)) => Self::Process { pid },
            ("tcp", None) => Self::Http,
            ("inproc", None) => Self::Inproc,
            (_, None) => Self::Stream,
        }
    }
}

/// How a life, or the attempt to begin one, ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Down {
    /// What went wrong; `None` for a normal end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// The process that there was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How the process ended, where it ended by itself or by somebody else's hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ProcessExit>,
    /// How long it lasted from the start of the attempt, in seconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::optional_seconds")]
    pub lasted: Option<Duration>,
    /// How long it had been ready, in seconds; `None` if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::optional_seconds")]
    pub served: Option<Duration>,
    /// The last lines of its error output, secrets masked: at most 8 lines and 2 KiB, and only
    /// where something went wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<String>,
}

impl Down {
    /// Lines of error output that are kept.
    pub(crate) const LINES: usize = 8;
    /// Bytes of them.
    pub(crate) const BYTES: usize = 2048;
}

/// What went wrong with a life: it decides what helps, and it is all that an agent is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trouble {
    /// Its program cannot be started.
    Command,
    /// Its definition cannot work.
    Configuration,
    /// It breaks the protocol, or refuses to begin it.
    Protocol,
    /// It refuses our credentials.
    Credentials,
    /// It asked to be left alone for a while.
    Busy,
    /// Its process ended.
    Exited,
    /// It cannot be reached, or the connection to it broke.
    Lost,
    /// It did not answer.
    Silent,
    /// A bug of ours.
    Bug,
}

/// The calls that wait for a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// How many.
    pub calls: usize,
    /// How long the first of them has waited, in seconds.
    #[serde(with = "number::seconds")]
    pub longest: Duration,
}

impl Waiting {
    /// Whether there is none.
    pub const fn is_nobody(&self) -> bool {
        self.calls == 0
    }
}
