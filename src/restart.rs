//! Restart decisions: who is started again after an end, when, and when nobody is.
//!
//! Pure functions and state machines in OTP's words, asked by every supervisor. Nothing here reads
//! a clock, draws a random number or starts anything: times are passed in as the time since an
//! origin of the caller's, jitter as a number from 0 to 1.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod backoff;
pub mod intensity;
pub mod ladder;

pub use backoff::{Backoff, BackoffError};
pub use intensity::Meter;
pub use ladder::{Ladder, Policy};

/// Whether a connection is made again after it ended (OTP's restart types).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Only after an abnormal end.
    Transient,
    /// Never.
    Temporary,
}

/// Who is restarted when a member of a group was lost (OTP's strategies).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Only the lost one.
    #[default]
    OneForOne,
    /// Every member.
    OneForAll,
    /// The lost one and those that were started after it.
    RestForOne,
}

impl Strategy {
    /// The siblings that are restarted once the lost member is ready again, in their order of
    /// start: never the lost one itself, and each sibling once. Empty where the lost one is no
    /// member.
    pub fn affected<'a, T: PartialEq>(self, members: &'a [T], lost: &T) -> Vec<&'a T> {
        let Some(place) = members.iter().position(|member| member == lost) else {
            return Vec::new();
        };
        let first = match self {
            Self::OneForOne => members.len(),
            Self::OneForAll => 0,
            Self::RestForOne => place + 1,
        };
        let mut affected = Vec::new();
        for member in members.iter().skip(first) {
            if member != lost && !affected.contains(&member) {
                affected.push(member);
            }
        }
        affected
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not started.
    #[default]
    Idle,
    /// Being made.
    Connecting,
    /// Serving.
    Ready,
    /// Waiting for the next try.
    Backoff,
    /// The circuit is open: too many failures in the period.
    Open,
    /// One probe is under way.
    HalfOpen,
    /// Finishing its calls.
    Draining,
    /// Stopped until someone starts it.
    Stopped,
    /// Given up, but for probes where they may help, until the configuration changes or someone
    /// resets it.
    Failed,
}

impl State {
    /// The state's name on every wire and in every text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Backoff => "backoff",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a connection, or a try to make one, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to: removed from the configuration, or shut down. A normal end.
    Asked,
    /// Nobody called it for a while. A normal end.
    Idle,
    /// The transport was lost or a connect failed, which may pass.
    Lost,
    /// The server is there, and says when to come again.
    RateLimited {
        /// How long it asks to be left alone.
        retry_after: Duration,
    },
    /// The server refused our credentials.
    Refused,
    /// The program cannot be started: missing, not executable. Whoever installs it anew replaces it
    /// in a moment, so it is looked for again and again.
    Absent,
    /// A wrong configuration or a violation of the protocol: trying again
    /// cannot help.
    Fatal,
    /// A panic or an untyped error of our own. The ladder treats it as a loss; the supervisor has
    /// a meter of its own for these.
    Bug,
}

/// What happens after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start it again after a pause.
    Retry {
        /// The pause.
        after: Duration,
    },
    /// The circuit is open: calls fail at once, and one probe is started after a pause.
    Open {
        /// The pause.
        after: Duration,
    },
    /// Give up, but for probes where they may help.
    Fail {
        /// The pause before the next probe.
        probe: Option<Duration>,
    },
    /// Leave it stopped until someone starts it.
    Stop,
    /// Leave it until its next call starts it.
    Idle,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{State, Strategy};

    #[test]
    fn a_state_is_called_the_same_in_text_and_in_json() {
        for state in [
            State::Idle,
            State::Connecting,
            State::Ready,
            State::Backoff,
            State::Open,
            State::HalfOpen,
            State::Draining,
            State::Stopped,
            State::Failed,
        ] {
            assert_eq!(
                serde_json::to_value(state).unwrap(),
                serde_json::Value::from(state.to_string())
            );
        }
    }

    #[test]
    fn each_strategy_restarts_whom_otp_would() {
        let members = ["tunnel", "sql", "cache"];
        let affected = |strategy: Strategy, lost| strategy.affected(&members, &lost);
        assert!(affected(Strategy::OneForOne, "sql").is_empty());
        assert_eq!(affected(Strategy::OneForAll, "sql"), [&"tunnel", &"cache"]);
        assert_eq!(affected(Strategy::RestForOne, "sql"), [&"cache"]);
        assert!(affected(Strategy::RestForOne, "cache").is_empty());
        assert!(affected(Strategy::OneForAll, "stranger").is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_group_restart_names_each_sibling_once_and_never_the_lost_one(
            members in prop::collection::vec(0_u8..8, 0..12),
            lost in 0_u8..8,
        ) {
            for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
                let affected = strategy.affected(&members, &lost);
                prop_assert!(!affected.contains(&&lost));
                for (place, member) in affected.iter().enumerate() {
                    prop_assert!(members.contains(member));
                    prop_assert!(!affected[..place].contains(member));
                }
            }
        }
    }
}
