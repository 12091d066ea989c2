//! The tools that Switchboard itself answers: what an agent may ask about its own servers.
//!
//! Names and definitions. The names are reserved in every view, whether the tools are switched on
//! or not, so that switching them on renames nobody's tool. Who answers them is above.

use std::sync::Arc;

use serde_json::json;

use crate::wire::{RawValue, raw};

/// One of our own tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnTool {
    /// How the caller's servers are.
    Status,
    /// Why one of them is as it is.
    Why,
}

impl OwnTool {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 2] = [Self::Status, Self::Why];

    /// The exposed name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "switchboard_status",
            Self::Why => "switchboard_why",
        }
    }

    /// The tool of an exposed name.
    pub fn of(exposed: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == exposed)
    }

    /// Its raw definition.
    pub fn definition(self) -> Arc<RawValue> {
        let annotations = json!({ "readOnlyHint": true, "openWorldHint": false });
        let definition = match self {
            Self::Status => json!({
                "name": self.name(),
                "title": "Status of your servers",
                "description": "Says for each server behind your tools whether it works, and if \
                    not, why and when it is tried again. Ask it when calls fail.",
                "inputSchema": { "type": "object", "additionalProperties": false },
                "annotations": annotations,
            }),
            Self::Why => json!({
                "name": self.name(),
                "title": "Why a server is as it is",
                "description": "Explains the state of one of your servers: what happened, whether \
                    waiting helps and for how long.",
                "inputSchema": {
                    "type": "object",
                    "properties": {
                        "server": {
                            "type": "string",
                            "description": "The server's name, as switchboard_status tells it.",
                        },
                    },
                    "required": ["server"],
                    "additionalProperties": false,
                },
                "annotations": annotations,
            }),
        };
        raw(&definition).into()
    }
}
