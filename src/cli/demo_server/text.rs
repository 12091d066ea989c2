//! `echo` and `add`: a call's way there and back, as text and as numbers.

use rmcp::model::{CallToolResult, ContentBlock, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Number, json};

use super::tool::Outcome;

/// Neither changes anything, and both always say the same to the same.
fn pure() -> ToolAnnotations {
    ToolAnnotations::new().read_only(true).destructive(false).idempotent(true).open_world(false)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Echo {
    text: String,
}

pub(super) fn echo_definition(name: &'static str) -> Tool {
    let input = rmcp::object!({
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "Any text, in any script."}
        },
        "required": ["text"],
        "additionalProperties": false
    });
    Tool::new(name, "Returns the text that it is given, unchanged.", input)
        .with_title("Echo")
        .with_annotations(pure())
}

pub(super) fn echo(echo: Echo) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(echo.text)])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Add {
    a: Number,
    b: Number,
}

pub(super) fn add_definition(name: &'static str) -> Tool {
    let input = rmcp::object!({
        "type": "object",
        "properties": {
            "a": {"type": "number", "description": "The first summand."},
            "b": {"type": "number", "description": "The second summand."}
        },
        "required": ["a", "b"],
        "additionalProperties": false
    });
    let output = rmcp::object!({
        "type": "object",
        "properties": {
            "sum": {"type": "number", "description": "a + b"}
        },
        "required": ["sum"],
        "additionalProperties": false
    });
    let description = "Adds two numbers. The sum of whole numbers is exact.";
    Tool::new(name, description, input)
        .with_title("Add")
        .with_raw_output_schema(output.into())
        .with_annotations(pure())
}

pub(super) fn add(Add { a, b }: Add) -> Outcome {
    let sum = sum(&a, &b).ok_or_else(|| format!("{a} + {b} is too large for a number"))?;
    Ok(CallToolResult::structured(json!({ "sum": sum })))
}

/// Exact where both are whole and the sum fits, else in double precision.
fn sum(a: &Number, b: &Number) -> Option<Number> {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64())
        && let Some(sum) = a.checked_add(b)
    {
        return Some(sum.into());
    }
    Number::from_f64(a.as_f64()? + b.as_f64()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(a: &str, b: &str) -> Option<String> {
        let sum = sum(&a.parse().unwrap(), &b.parse().unwrap());
        sum.map(|sum| sum.to_string())
    }

    #[test]
    fn sums_of_whole_numbers_are_exact_and_others_finite() {
        let exact = added("9007199254740993", "1");
        assert_eq!(exact.as_deref(), Some("9007199254740994"));
        assert_eq!(added("0.5", "0.25").as_deref(), Some("0.75"));
        assert_eq!(added("9223372036854775807", "1").as_deref(), Some("9.223372036854776e+18"));
        assert_eq!(added("1.7e308", "1.7e308"), None);
    }
}
