//! One tool, prompt, resource or resource template as its server defined it.
//!
//! Only what routing needs is read; the definition stays raw and is never judged further.

use std::sync::Arc;

use crate::wire::{Object, Primitive, RawValue};

/// Something that one server offers.
#[derive(Clone, Debug)]
pub struct Item {
    /// What tells it from the others on that server: a name, a URI, or a URI template.
    pub name: Arc<str>,
    /// Its definition as the server sent it.
    pub raw: Arc<RawValue>,
}

/// Why a definition cannot be used. Whoever lists drops it, warns, and keeps the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// It is no JSON object.
    #[error("a {} is not a JSON object; the server must send one", .0.noun())]
    NotAnObject(Primitive),
    /// What identifies it is absent, empty or no string.
    #[error("a {} has no {key:?}; the server must give it a non-empty string", .0.noun(), key = .0.key())]
    NoName(Primitive),
    /// A tool's `inputSchema` is absent or no object.
    #[error("tool {0:?} has no object as `inputSchema`; the server must give it a JSON Schema")]
    NoSchema(String),
}

impl Item {
    /// Reads a definition.
    ///
    /// # Errors
    /// [`ItemError`] if it is not an object with a non-empty string that identifies it, and in the
    /// case of a tool an object as `inputSchema`.
    pub fn read(primitive: Primitive, raw: &RawValue) -> Result<Self, ItemError> {
        let object = Object::read(raw).ok_or(ItemError::NotAnObject(primitive))?;
        let name = object.text(primitive.key()).filter(|name| !name.is_empty());
        let name = name.ok_or(ItemError::NoName(primitive))?;
        // It is JSON already, so its first character tells what it is.
        if primitive == Primitive::Tool && !object.get("inputSchema").is_some_and(Object::is) {
            // Errors are logged, and a server may send a name of any length.
            return Err(ItemError::NoSchema(name.chars().take(64).collect()));
        }
        Ok(Self { name: name.as_ref().into(), raw: raw.to_owned().into() })
    }
}

#[cfg(test)]
impl Item {
    /// A tool whose definition also has a text.
    pub(super) fn sample(name: &str, text: &str) -> Self {
        let json = serde_json::json!({"name": name, "description": text, "inputSchema": {}});
        Self::read(Primitive::Tool, &crate::wire::raw(&json)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(primitive: Primitive, text: &str) -> Result<Item, ItemError> {
        Item::read(primitive, &RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn a_definition_stays_as_it_was_sent() {
        let text = r#"{"x":1e400, "name":"\u00e9t\u00e9" ,"inputSchema": {} }"#;
        let tool = read(Primitive::Tool, text).unwrap();
        assert_eq!(&*tool.name, "été");
        assert_eq!(tool.raw.get(), text);
        let template = read(Primitive::Template, r#"{"uriTemplate":"a://{b}"}"#).unwrap();
        assert_eq!(&*template.name, "a://{b}");
    }

    #[test]
    fn what_cannot_be_asked_for_is_left_out() {
        use Primitive::{Prompt, Resource, Tool};
        for text in ["[]", "null", "\"x\""] {
            assert_eq!(read(Tool, text).unwrap_err(), ItemError::NotAnObject(Tool), "{text}");
        }
        for text in [
            r#"{"inputSchema":{}}"#,
            r#"{"name":"","inputSchema":{}}"#,
            r#"{"name":1,"inputSchema":{}}"#,
        ] {
            assert_eq!(read(Tool, text).unwrap_err(), ItemError::NoName(Tool), "{text}");
        }
        for text in [r#"{"name":"a"}"#, r#"{"name":"a","inputSchema":[]}"#] {
            assert_eq!(read(Tool, text).unwrap_err(), ItemError::NoSchema("a".to_owned()));
            assert!(read(Prompt, text).is_ok());
        }
        let error = read(Resource, r#"{"name":"a"}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"a resource has no "uri"; the server must give it a non-empty string"#
        );
    }
}
