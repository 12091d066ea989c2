//! Restart decisions.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
