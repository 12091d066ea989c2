//! Restart decisions: what is done when a connection ends.
//!
//! OTP's words with OTP's meanings. Pure: no clock, no randomness, no actors; time and jitter come
//! in as arguments. Supervisors ask, and carry out what they are told.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod backoff;
mod intensity;
mod ladder;

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
    /// The members, besides the lost one, that are restarted once it is ready again. `members`
    /// stand in their order of start; a loss outside the group affects nobody.
    pub fn affected<'a, T: PartialEq>(self, members: &'a [T], lost: &T) -> Vec<&'a T> {
        let Some(position) = members.iter().position(|member| member == lost) else {
            return Vec::new();
        };
        let first = match self {
            Self::OneForOne => members.len(),
            Self::OneForAll => 0,
            Self::RestForOne => position,
        };
        members.iter().skip(first).filter(|member| *member != lost).collect()
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
    /// Given up until the configuration changes or someone resets it.
    Failed,
}

impl State {
    /// The state's name, as in every status.
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

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to: configuration, shutdown, a restart by hand. A normal end.
    Asked,
    /// Nobody called it for its idle time. A normal end.
    Idle,
    /// A failure that may pass: the transport, a crash, a connection that was refused.
    Lost,
    /// The server asked to be left alone for a while.
    RateLimited {
        /// How long.
        retry_after: Duration,
    },
    /// The credentials were refused; someone may renew them.
    Refused,
    /// Trying again changes nothing: wrong command, wrong configuration, protocol violation.
    Fatal,
    /// A bug of ours: a panic or an error of no known type.
    Bug,
}

/// What is done about an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after a pause.
    Retry {
        /// The pause.
        after: Duration,
    },
    /// Open the circuit and probe after a pause.
    Open {
        /// The pause.
        after: Duration,
    },
    /// Give up, but for a slow probe where one may help.
    Fail {
        /// The pause before it.
        probe: Option<Duration>,
    },
    /// Stay stopped until someone starts it.
    Stop,
    /// Wait for the next call.
    Idle,
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::Strategy;

    proptest! {
        #[test]
        fn a_strategy_restarts_each_sibling_at_most_once_and_never_the_lost_one(
            size in 1_usize..8, lost in 0_usize..8,
        ) {
            let members: Vec<usize> = (0..size).collect();
            for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
                let affected = strategy.affected(&members, &lost);
                prop_assert!(!affected.contains(&&lost));
                prop_assert!(affected.windows(2).all(|pair| pair[0] < pair[1]));
                let expected = match strategy {
                    Strategy::OneForAll if lost < size => size - 1,
                    Strategy::RestForOne if lost < size => size - 1 - lost,
                    Strategy::OneForOne | Strategy::OneForAll | Strategy::RestForOne => 0,
                };
                prop_assert_eq!(affected.len(), expected);
            }
        }
    }
}
