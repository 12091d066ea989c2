//! `call`: one call of a tool, from the shell.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use tokio::io::AsyncReadExt as _;

use super::{
    Place,
    control::{Control, ControlError},
    exit, output,
};
use crate::id::AgentId;

/// Arguments of `call`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The tool, by the name that `switchboard tools` shows
    tool: String,
    /// Its arguments, a JSON object; `-` reads them from standard input
    #[arg(value_name = "JSON", default_value = "{}")]
    arguments: String,
    #[command(flatten)]
    place: Place,
    /// As this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentId>,
    /// Give up after this long, such as 30s or 5m; the configured deadline stays the longest
    #[arg(long, value_name = "DURATION", value_parser = longer_than_none)]
    timeout: Option<Duration>,
    /// Print the whole result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Call<'a> {
    tool: &'a str,
    arguments: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u128>,
}

fn longer_than_none(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("must be longer than nothing".to_owned()) } else { Ok(duration) }
}

fn with_remedy(error: ControlError) -> ControlError {
    if let ControlError::Refused(text) = &error
        && text.starts_with("unknown tool")
    {
        let remedy = "`switchboard tools` lists those that there are";
        return ControlError::Refused(format!("{text}; {remedy}"));
    }
    error
}

/// Calls, and prints what came back: data if the tool did its work, an error if not.
pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let arguments = match &*args.arguments {
        "-" => {
            let mut text = String::new();
            tokio::io::stdin()
                .read_to_string(&mut text)
                .await
                .context("failed to read standard input")?;
            text
        }
        text => text.to_owned(),
    };
    let call = Call {
        tool: &args.tool,
        arguments: &object(&arguments)?,
        agent: args.agent.as_ref(),
        timeout_ms: args.timeout.map(|timeout| timeout.as_millis()),
    };
    let control = Control::of(&args.place.state_dir()?);
    let raw = control.post("/call", &call).await.map_err(with_remedy)?;
    let result: ToolResult = serde_json::from_str(raw.get()).unwrap_or_default();
    let text = result.text().unwrap_or_else(|| raw.get().to_owned());
    if args.json {
        output::data(raw.get())?;
    } else if result.is_error {
        output::error(&text);
    } else {
        output::foreign(&text)?;
    }
    Ok(if result.is_error { exit::failure() } else { ExitCode::SUCCESS })
}

/// The arguments as they were written, so that big numbers stay what they are.
fn object(text: &str) -> Result<Box<RawValue>, exit::Usage> {
    let wrong = |why| {
        exit::Usage(format!(
            "the arguments are not a JSON object such as '{{\"text\": \"hello\"}}': {why}"
        ))
    };
    serde_json::from_str::<Map<String, Value>>(text)
        .and_then(|_| RawValue::from_string(text.trim().to_owned()))
        .map_err(wrong)
}

/// The part of a result that is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ToolResult {
    content: Vec<Value>,
    structured_content: Option<Value>,
    is_error: bool,
}

impl ToolResult {
    /// The content for a person: texts as they are, other blocks as JSON; `None` if there is
    /// none.
    fn text(&self) -> Option<String> {
        let blocks = self.content.iter().map(|block| match block.get("text") {
            Some(Value::String(text)) => text.clone(),
            _ => block.to_string(),
        });
        let blocks: Vec<String> = blocks.collect();
        match (&self.structured_content, blocks.is_empty()) {
            (_, false) => Some(blocks.join("\n")),
            (Some(structured), true) => Some(structured.to_string()),
            (None, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(result: &str) -> Option<String> {
        serde_json::from_str::<ToolResult>(result).unwrap().text()
    }

    #[test]
    fn a_result_is_shown_by_its_content() {
        let mixed = r#"{"content":[{"type":"text","text":"a\nb"},{"type":"image","data":"x"}]}"#;
        let shown = "a\nb\n{\"type\":\"image\",\"data\":\"x\"}";
        assert_eq!(text(mixed).as_deref(), Some(shown));
        let structured = r#"{"content":[],"structuredContent":{"sum":5}}"#;
        assert_eq!(text(structured).as_deref(), Some(r#"{"sum":5}"#));
        assert_eq!(text(r#"{"resultType":"input_required"}"#), None);
    }

    #[test]
    fn arguments_are_an_object_and_stay_as_written() {
        let raw = object(" {\"n\": 1.0e400, \"s\": \"\\u00e9\"}\n");
        // Numbers beyond a double are JSON all the same.
        assert!(raw.is_err() || raw.unwrap().get().contains("1.0e400"));
        assert_eq!(object("{\"n\": 1.50}").unwrap().get(), "{\"n\": 1.50}");
        for wrong in ["[1]", "5", "", "{"] {
            let error = object(wrong).unwrap_err().to_string();
            assert!(error.contains("not a JSON object"), "{error}");
        }
    }
}
