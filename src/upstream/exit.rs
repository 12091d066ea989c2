//! How a process ended: by its own exit code or by a signal.
//!
//! A value that errors, timelines and status share. It knows no process and no system call.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessExit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal, such as `SIGKILL`; `signal 40` where it has no usual name.
    Signal(String),
    /// Nobody could say; what the system said instead.
    Unknown(String),
}

impl fmt::Display for ProcessExit {
    /// To be put after "the process".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(name) => write!(f, "was killed by {name}"),
            Self::Unknown(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words_and_kept_as_data() {
        for (exit, words, kept) in [
            (ProcessExit::Code(3), "exited with code 3", r#"{"code":3}"#),
            (
                ProcessExit::Signal("SIGKILL".to_owned()),
                "was killed by SIGKILL",
                r#"{"signal":"SIGKILL"}"#,
            ),
            (
                ProcessExit::Unknown("ended unseen".to_owned()),
                "ended unseen",
                r#"{"unknown":"ended unseen"}"#,
            ),
        ] {
            assert_eq!(exit.to_string(), words);
            assert_eq!(serde_json::to_string(&exit).unwrap(), kept);
            assert_eq!(serde_json::from_str::<ProcessExit>(kept).unwrap(), exit);
        }
    }
}
