//! `crash`: ends the server in the middle of a call, as bugs do.

use rmcp::model::{Tool, ToolAnnotations};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Crash {
    #[serde(default)]
    how: How,
    #[serde(default = "one")]
    code: u8,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum How {
    #[default]
    Exit,
    Abort,
}

const fn one() -> u8 {
    1
}

pub(super) fn definition(name: &'static str) -> Tool {
    let input = rmcp::object!({
        "type": "object",
        "properties": {
            "how": {
                "type": "string",
                "enum": ["exit", "abort"],
                "default": "exit",
                "description": "End with an exit code, or by SIGABRT."
            },
            "code": {
                "type": "integer",
                "minimum": 0,
                "maximum": 255,
                "default": one(),
                "description": "The exit code."
            }
        },
        "additionalProperties": false
    });
    let hints = ToolAnnotations::new()
        .read_only(false)
        .destructive(true)
        .idempotent(false)
        .open_world(false);
    let description = "Ends this server at once, without an answer to this or any other call. \
                       Only to see what happens then.";
    Tool::new(name, description, input).with_title("Crash the server").with_annotations(hints)
}

impl Crash {
    #[allow(clippy::exit, reason = "to end without a word is what this tool is for")]
    pub(super) fn now(self) -> ! {
        match self.how {
            How::Exit => std::process::exit(i32::from(self.code)),
            How::Abort => std::process::abort(),
        }
    }
}
