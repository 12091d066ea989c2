//! The table of the demonstration server's tools, and how one is called.
//!
//! A tool is a file beside this one and a row in [`DemoTool`]. What a caller got wrong is a result
//! with `isError`, because a model can read it and try again; a protocol error it would not see.

use rmcp::{
    RoleServer,
    model::{CallToolResult, ContentBlock, JsonObject, Tool},
    service::RequestContext,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{clock, crash, slow, text};

/// Every tool.
#[derive(Clone, Copy, Debug)]
pub(super) enum DemoTool {
    Echo,
    Add,
    Now,
    Slow,
    Crash,
}

impl DemoTool {
    /// In the order in which they are listed.
    pub(super) const ALL: [Self; 5] = [Self::Echo, Self::Add, Self::Now, Self::Slow, Self::Crash];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Add => "add",
            Self::Now => "now",
            Self::Slow => "slow",
            Self::Crash => "crash",
        }
    }

    /// What `tools/list` says of it.
    pub(super) fn definition(self) -> Tool {
        let name = self.name();
        match self {
            Self::Echo => text::echo_definition(name),
            Self::Add => text::add_definition(name),
            Self::Now => clock::definition(name),
            Self::Slow => slow::definition(name),
            Self::Crash => crash::definition(name),
        }
    }

    /// Carries out one call.
    pub(super) async fn call(
        self,
        arguments: JsonObject,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let outcome = match self {
            Self::Echo => parse(arguments).map(text::echo),
            Self::Add => parse(arguments).and_then(text::add),
            Self::Now => parse(arguments).and_then(clock::now),
            Self::Slow => match parse::<slow::Slow>(arguments).and_then(slow::Slow::checked) {
                Ok(arguments) => slow::run(arguments, context).await,
                Err(why) => Err(why),
            },
            Self::Crash => {
                parse(arguments).map(|crash: crash::Crash| -> CallToolResult { crash.now() })
            }
        };
        outcome.unwrap_or_else(|why| {
            CallToolResult::error(vec![ContentBlock::text(format!("{}: {why}", self.name()))])
        })
    }
}

/// A tool's result, or what the caller should change.
pub(super) type Outcome = Result<CallToolResult, String>;

fn parse<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, String> {
    serde_json::from_value(Value::Object(arguments)).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_describes_itself_and_refuses_unknown_arguments() {
        for tool in DemoTool::ALL {
            let definition = tool.definition();
            assert_eq!(definition.name, tool.name());
            assert!(definition.title.is_some(), "{tool:?}");
            assert!(definition.description.is_some(), "{tool:?}");
            let schema = definition.schema_as_json_value();
            assert_eq!(schema["type"], "object", "{tool:?}");
            assert_eq!(schema["additionalProperties"], false, "{tool:?}");
            for (name, property) in schema["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{tool:?}.{name}");
            }
            let hints = definition.annotations.unwrap();
            let harmless = !matches!(tool, DemoTool::Crash);
            assert_eq!(hints.read_only_hint, Some(harmless), "{tool:?}");
            assert_eq!(hints.is_destructive(), !harmless, "{tool:?}");
        }
    }
}
