//! One tool as its server defined it.
//!
//! Only what routing needs is read; the definition stays raw and is never judged further.

use std::sync::Arc;

use crate::wire::{Object, RawValue};

/// A tool of one server.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name on that server.
    pub name: Arc<str>,
    /// Its definition as the server sent it.
    pub raw: Arc<RawValue>,
}

/// Why a definition is no tool. Whoever lists drops that tool, warns, and keeps the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// It is no JSON object.
    #[error("a tool is not a JSON object; the server must send one")]
    NotAnObject,
    /// Its name is absent, empty or no string.
    #[error("a tool has no name; the server must give it a non-empty string as `name`")]
    NoName,
    /// Its `inputSchema` is absent or no object.
    #[error("tool {0:?} has no object as `inputSchema`; the server must give it a JSON Schema")]
    NoSchema(String),
}

impl Tool {
    /// Reads a definition.
    ///
    /// # Errors
    /// [`ToolError`] if it is not an object with a non-empty `name` and an object as
    /// `inputSchema`.
    pub fn read(raw: &RawValue) -> Result<Self, ToolError> {
        let object = Object::read(raw).ok_or(ToolError::NotAnObject)?;
        let name = object.text("name").filter(|name| !name.is_empty()).ok_or(ToolError::NoName)?;
        // It is JSON already, so its first character tells what it is.
        if !object.get("inputSchema").is_some_and(|schema| schema.get().starts_with('{')) {
            // Errors are logged, and a server may send a name of any length.
            return Err(ToolError::NoSchema(name.chars().take(64).collect()));
        }
        Ok(Self { name: name.as_ref().into(), raw: raw.to_owned().into() })
    }
}

#[cfg(test)]
impl Tool {
    /// A tool whose definition also has a text.
    pub(super) fn sample(name: &str, text: &str) -> Self {
        let json = serde_json::json!({"name": name, "description": text, "inputSchema": {}});
        Self::read(&crate::wire::raw(&json)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tool, ToolError> {
        Tool::read(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn a_definition_stays_as_it_was_sent() {
        let text = r#"{"x":1e400, "name":"\u00e9t\u00e9" ,"inputSchema": {} }"#;
        let tool = read(text).unwrap();
        assert_eq!(&*tool.name, "été");
        assert_eq!(tool.raw.get(), text);
    }

    #[test]
    fn what_cannot_be_called_is_no_tool() {
        for text in ["[]", "null", "\"x\""] {
            assert_eq!(read(text).unwrap_err(), ToolError::NotAnObject, "{text}");
        }
        for text in [
            r#"{"inputSchema":{}}"#,
            r#"{"name":"","inputSchema":{}}"#,
            r#"{"name":1,"inputSchema":{}}"#,
        ] {
            assert_eq!(read(text).unwrap_err(), ToolError::NoName, "{text}");
        }
        for text in [r#"{"name":"a"}"#, r#"{"name":"a","inputSchema":[]}"#] {
            assert_eq!(read(text).unwrap_err(), ToolError::NoSchema("a".to_owned()));
        }
    }
}
