//! Levels of log messages (MCP, `LoggingLevel`: those of RFC 5424).
//!
//! An order and names, nothing else.

use serde::{Deserialize, Serialize};

use super::{Object, RawValue};

/// How much a message matters; the least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For whoever looks for a bug.
    Debug,
    /// What happens.
    Info,
    /// What is normal but noteworthy.
    Notice,
    /// What may become an error.
    Warning,
    /// What failed.
    Error,
    /// A part of the server fails.
    Critical,
    /// Somebody has to act at once.
    Alert,
    /// The server is unusable.
    Emergency,
}

impl Level {
    /// The level of a `notifications/message`.
    pub fn of_message(params: &RawValue) -> Option<Self> {
        Object::read(params)?.typed("level")
    }

    /// The level under its name.
    pub fn read(raw: &RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_their_names_and_their_order() {
        let params = RawValue::from_string(r#"{"level":"notice","data":1}"#.to_owned()).unwrap();
        assert_eq!(Level::of_message(&params), Some(Level::Notice));
        assert!(Level::Info < Level::Notice && Level::Critical < Level::Emergency);
        assert!(Level::read(&crate::wire::raw("loud")).is_none());
    }
}
