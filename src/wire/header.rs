//! `Mcp-*` headers: their names, the encoding of their values, and their comparison with a body.
//!
//! Text only: this module knows no HTTP library and quotes no value in its errors, because
//! parameters are the caller's own.

use std::{borrow::Cow, sync::Arc};

use data_encoding::BASE64;
use serde_json::{Value, value::RawValue};

/// The revision that a request follows; legacy clients repeat the negotiated one.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The method of a modern request.
pub const METHOD: &str = "mcp-method";
/// What a modern request is about: a tool, a prompt, a resource.
pub const NAME: &str = "mcp-name";
/// Before the name of an annotated parameter.
pub const PARAM_PREFIX: &str = "mcp-param-";
/// A legacy session.
pub const SESSION_ID: &str = "mcp-session-id";
/// The last event that a legacy client saw.
pub const LAST_EVENT_ID: &str = "last-event-id";
/// The key of an input schema's property that asks for a header.
pub const ANNOTATION: &str = "x-mcp-header";

const SENTINEL: (&str, &str) = ("=?base64?", "?=");

/// `Mcp-Param-*` headers of a call that no schema explains, as they came: names in lower case, and
/// values.
pub type Unexplained = Arc<[(String, String)]>;

/// A header that contradicts the body that it came with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It must be there.
    #[error("the header {0} is missing")]
    Missing(String),
    /// It must not be there, because the body has nothing to repeat.
    #[error("the header {0} repeats nothing in the body")]
    Unexpected(String),
    /// It stands there more than once, so that two readers could choose differently.
    #[error("the header {0} stands more than once")]
    Repeated(String),
    /// Its characters or its Base64 cannot be read.
    #[error("the header {0} cannot be decoded")]
    Encoding(String),
    /// It says something else than the body.
    #[error("the header {0} differs from the body")]
    Differs(String),
    /// There are more of those that repeat nothing known than are passed on.
    #[error(
        "at most {0} Mcp-Param headers that no schema names, of {1} bytes together, are passed on"
    )]
    TooMuch(usize, usize),
}

/// Writes a value so that it survives as a header: as it is, or in Base64 between sentinels.
pub fn encode(value: &str) -> Cow<'_, str> {
    let (before, after) = SENTINEL;
    let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let padded = value.starts_with(' ') || value.ends_with(' ');
    let ambiguous = value.starts_with(before) && value.ends_with(after);
    if printable && !padded && !ambiguous {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{before}{}{after}", BASE64.encode(value.as_bytes())))
}

/// Reads what [`encode`] wrote; `None` where sentinels enclose what is not Base64 of UTF-8.
pub fn decode(value: &str) -> Option<Cow<'_, str>> {
    let (before, after) = SENTINEL;
    match value.strip_prefix(before).and_then(|inner| inner.strip_suffix(after)) {
        None => Some(Cow::Borrowed(value)),
        Some(inner) => {
            let bytes = BASE64.decode(inner.as_bytes()).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

/// Checks a header that must repeat a text of the body.
pub fn check_text(header: &str, found: Option<&str>, body: &str) -> Result<(), Mismatch> {
    let found = found.ok_or_else(|| Mismatch::Missing(header.to_owned()))?;
    match decode(found) {
        None => Err(Mismatch::Encoding(header.to_owned())),
        Some(text) if text == body => Ok(()),
        Some(_) => Err(Mismatch::Differs(header.to_owned())),
    }
}

/// A parameter that a tool wants repeated as a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotated {
    /// The header's full name, lower case.
    pub header: String,
    /// The property names that lead to the argument.
    pub path: Vec<String>,
}

/// The header annotations of an input schema, reached through `properties` alone; `None` where one
/// of them breaks the rules, so that a client may not use the tool over HTTP (MCP 2026-07-28,
/// tools): no name of a header, one that stands there twice, or no value of one piece.
pub fn annotated(input_schema: &RawValue) -> Option<Vec<Annotated>> {
    let mut found = Vec::new();
    if input_schema.get().contains(ANNOTATION)
        && let Ok(schema) = serde_json::from_str::<Value>(input_schema.get())
    {
        collect(&schema, &mut Vec::new(), &mut found)?;
    }
    Some(found)
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Annotated>) -> Option<()> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Some(());
    };
    for (name, property) in properties {
        path.push(name.clone());
        if let Some(annotation) = property.get(ANNOTATION) {
            let header = annotation.as_str().filter(|header| is_token(header))?;
            let header = format!("{PARAM_PREFIX}{}", header.to_ascii_lowercase());
            let is_free = found.iter().all(|other| other.header != header);
            if !is_free || !is_of_one_piece(property) {
                return None;
            }
            found.push(Annotated { header, path: path.clone() });
        }
        collect(property, path, found)?;
        path.pop();
    }
    Some(())
}

/// Whether a property can be a header: no list, no object, and no number with a fraction.
fn is_of_one_piece(property: &Value) -> bool {
    property
        .get("type")
        .and_then(Value::as_str)
        .is_none_or(|it| matches!(it, "string" | "integer" | "boolean"))
}

/// A token of RFC 9110, 5.6.2: what a header's name may consist of.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Checks the headers of annotated parameters against the arguments. Numbers are compared as
/// numbers; what is absent or null in the body has no header.
pub fn check_params<'h>(
    annotated: &[Annotated],
    arguments: Option<&RawValue>,
    find: impl Fn(&str) -> Result<Option<&'h str>, Mismatch>,
) -> Result<(), Mismatch> {
    let arguments: Value =
        arguments.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    for Annotated { header, path } in annotated {
        let argument = path
            .iter()
            .try_fold(&arguments, |value, key| value.get(key))
            .filter(|value| !value.is_null());
        match (find(header)?, argument) {
            (None, None | Some(Value::Array(_) | Value::Object(_))) => {}
            (Some(_), None) => return Err(Mismatch::Unexpected(header.clone())),
            (None, Some(_)) => return Err(Mismatch::Missing(header.clone())),
            (Some(found), Some(argument)) => {
                let text = decode(found).ok_or_else(|| Mismatch::Encoding(header.clone()))?;
                if !says(&text, argument) {
                    return Err(Mismatch::Differs(header.clone()));
                }
            }
        }
    }
    Ok(())
}

/// The headers that repeat the arguments of annotated parameters: names and encoded values.
pub fn params(annotated: &[Annotated], arguments: Option<&RawValue>) -> Vec<(String, String)> {
    if annotated.is_empty() {
        return Vec::new();
    }
    let arguments: Value =
        arguments.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let header = |Annotated { header, path }: &Annotated| {
        let argument = path.iter().try_fold(&arguments, |value, key| value.get(key))?;
        let text = match argument {
            Value::String(text) => text.clone(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((header.clone(), encode(&text).into_owned()))
    };
    annotated.iter().filter_map(header).collect()
}

fn says(text: &str, argument: &Value) -> bool {
    match argument {
        Value::String(string) => string == text,
        Value::Bool(flag) => text == if *flag { "true" } else { "false" },
        Value::Number(number) => {
            let Ok(found) = text.parse::<serde_json::Number>() else {
                return false;
            };
            found == *number
                || (!(is_whole(&found) && is_whole(number)) && found.as_f64() == number.as_f64())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Whole numbers are exact; only a fraction's notation may differ from its value.
fn is_whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn values_that_a_header_cannot_carry_travel_in_base64() {
        for plain in ["", "get_weather", "file:///a b", "=?base64"] {
            assert_eq!(encode(plain), plain);
        }
        assert_eq!(encode("größe"), "=?base64?Z3LDtsOfZQ==?=");
        assert_eq!(decode("=?base64?Z3LDtsOfZQ==?=").unwrap(), "größe");
        assert_eq!(decode("=?base64?***?="), None);
        assert_eq!(encode("=?base64?eA==?="), "=?base64?PT9iYXNlNjQ/ZUE9PT89?=");
    }

    proptest! {
        #[test]
        fn every_text_survives_as_a_header(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            let decoded = decode(&encoded).unwrap();
            prop_assert_eq!(&*decoded, &*text);
        }
    }

    #[test]
    fn a_text_header_must_say_what_the_body_says() {
        assert_eq!(check_text(NAME, Some("a"), "a"), Ok(()));
        assert_eq!(check_text(NAME, Some("=?base64?YQ==?="), "a"), Ok(()));
        for (found, why) in [
            (None, Mismatch::Missing(NAME.to_owned())),
            (Some("b"), Mismatch::Differs(NAME.to_owned())),
            (Some("=?base64?!?="), Mismatch::Encoding(NAME.to_owned())),
        ] {
            assert_eq!(check_text(NAME, found, "a"), Err(why));
        }
    }

    #[test]
    fn an_annotation_that_can_be_no_header_spoils_the_tool() {
        for property in [
            r#""type":"string","x-mcp-header":"""#,
            r#""type":"string","x-mcp-header":"not a token""#,
            r#""type":"string","x-mcp-header":"Région""#,
            r#""type":"string","x-mcp-header":1"#,
            r#""type":"string","x-mcp-header":"TWICE""#,
            r#""type":"number","x-mcp-header":"N""#,
            r#""type":"object","x-mcp-header":"O""#,
            r#""properties":{"deep":{"type":"array","x-mcp-header":"A"}}"#,
        ] {
            let first = r#""type":"string","x-mcp-header":"Twice""#;
            let schema = format!(r#"{{"properties":{{"first":{{{first}}},"it":{{{property}}}}}}}"#);
            assert_eq!(annotated(&raw(&schema)), None, "{schema}");
        }
        assert_eq!(annotated(&raw(r#"{"properties":{"x-mcp-header":{}}}"#)), Some(Vec::new()));
    }

    #[test]
    fn annotated_parameters_are_compared_by_value() {
        let schema = raw(r#"{"properties":{"region":{"type":"string","x-mcp-header":"Region"},
                "deep":{"properties":{"n":{"type":"integer","x-mcp-header":"N"}}},
                "off":{"items":{"x-mcp-header":"Off"}}}}"#);
        let annotated = annotated(&schema).unwrap();
        assert_eq!(annotated.len(), 2);
        let check = |arguments: &str, region: Option<&'static str>, n: Option<&'static str>| {
            check_params(&annotated, Some(&raw(arguments)), |header| {
                Ok(match header {
                    "mcp-param-region" => region,
                    _ => n,
                })
            })
        };
        let both = r#"{"region":"eu","deep":{"n":42}}"#;
        assert_eq!(check(both, Some("eu"), Some("42")), Ok(()));
        let said = |arguments: &str| params(&annotated, Some(&raw(arguments)));
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(said(both), [header("mcp-param-region", "eu"), header("mcp-param-n", "42")]);
        assert_eq!(
            said(r#"{"region":"größe","deep":null}"#),
            [header("mcp-param-region", "=?base64?Z3LDtsOfZQ==?=")]
        );
        assert_eq!(check(both, Some("eu"), Some("4.2e1")), Ok(()));
        assert_eq!(check(r#"{"region":null}"#, None, None), Ok(()));
        assert_eq!(
            check(both, Some("us"), Some("42")),
            Err(Mismatch::Differs("mcp-param-region".to_owned()))
        );
        assert_eq!(
            check(both, None, Some("42")),
            Err(Mismatch::Missing("mcp-param-region".to_owned()))
        );
        assert_eq!(
            check("{}", Some("eu"), None),
            Err(Mismatch::Unexpected("mcp-param-region".to_owned()))
        );
        let big = r#"{"deep":{"n":9007199254740993}}"#;
        assert_eq!(
            check(big, None, Some("9007199254740992")),
            Err(Mismatch::Differs("mcp-param-n".to_owned()))
        );
    }
}
