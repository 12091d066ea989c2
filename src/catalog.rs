//! Catalogs and views: what servers offer, and what an owner sees of it.
//!
//! Pure. A catalog belongs to a definition, a view to an owner; the router keeps both. Nothing
//! here knows a connection.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    unit,
    wire::{Object, RawValue},
};

mod diff;
mod filter;
mod naming;
mod view;

pub use diff::Diff;
pub use filter::{FilterError, ToolFilter, ToolMatcher};
pub use naming::Names;
pub use view::{Member, Page, View, ViewTool};

/// How tools are named and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogConfig {
    /// When a tool's name starts with its server's. Default: always.
    pub prefix: Prefix,
    /// Between the server's name and the tool's: 1 to 4 of `A-Z a-z 0-9 _ . -`. Default: `_`.
    pub separator: String,
    /// The longest exposed name in characters, 16 to 128. Default: 64.
    pub max_name_length: usize,
    /// How long the tools of a server that is gone stay listed. Default: 10m.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub tools_grace: Duration,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            prefix: Prefix::Always,
            separator: "_".to_owned(),
            max_name_length: 64,
            tools_grace: Duration::from_mins(10),
        }
    }
}

impl CatalogConfig {
    /// The range of `max_name_length`.
    pub const NAME_LENGTHS: std::ops::RangeInclusive<usize> = 16..=128;

    /// Whether a separator may stand in names.
    pub fn is_separator(separator: &str) -> bool {
        (1..=4).contains(&separator.len()) && separator.bytes().all(naming::allowed)
    }
}

/// When a tool's name starts with its server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prefix {
    /// Always.
    #[default]
    Always,
    /// Only for a name that another server has already.
    OnCollision,
    /// Never; a second owner of a name gets a suffix.
    Never,
}

/// One tool as its server described it.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name at its server.
    pub name: Arc<str>,
    /// Its whole definition.
    pub raw: Arc<RawValue>,
}

/// Why a definition is no tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// Not a JSON object.
    #[error("a tool's definition is an object")]
    NotAnObject,
    /// No name, or an empty one.
    #[error("a tool needs a name")]
    Nameless,
    /// No input schema, or one that is no object.
    #[error("a tool needs an `inputSchema` that is an object")]
    NoSchema,
}

impl Tool {
    /// Reads a definition as far as routing needs it.
    ///
    /// # Errors
    /// [`ToolError`] for what breaks the protocol; the rest of the server's tools are unharmed.
    pub fn read(raw: &RawValue) -> Result<Self, ToolError> {
        let object = Object::read(raw).ok_or(ToolError::NotAnObject)?;
        let name =
            object.text("name").filter(|name| !name.is_empty()).ok_or(ToolError::Nameless)?;
        let schema = object.get("inputSchema").ok_or(ToolError::NoSchema)?;
        if !schema.get().starts_with('{') {
            return Err(ToolError::NoSchema);
        }
        Ok(Self { name: name.into(), raw: raw.to_owned().into() })
    }
}

/// A fingerprint of names and definitions in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    fn of<'a>(parts: impl Iterator<Item = (&'a str, &'a RawValue)>) -> Self {
        let mut hash = Sha256::new();
        for (name, raw) in parts {
            for text in [name, raw.get()] {
                hash.update(text.len().to_le_bytes());
                hash.update(text);
            }
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

/// What one server offers, in its own order.
#[derive(Clone, Debug)]
pub struct Catalog {
    tools: Vec<Tool>,
    hash: ContentHash,
}

impl Catalog {
    /// A catalog of these tools; of two with one name the first counts.
    pub fn new(mut tools: Vec<Tool>) -> Self {
        let mut seen = HashSet::new();
        tools.retain(|tool| seen.insert(Arc::clone(&tool.name)));
        let hash = ContentHash::of(tools.iter().map(|tool| (&*tool.name, &*tool.raw)));
        Self { tools, hash }
    }

    /// The tools.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// Equal for two catalogs that are.
    pub const fn hash(&self) -> ContentHash {
        self.hash
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_definition_is_read_as_far_as_routing_needs_it() {
        let whole = raw(r#"{"name":"a","inputSchema":{"type":"object"},"execution":{"x":1e400}}"#);
        let tool = Tool::read(&whole).unwrap();
        assert_eq!((&*tool.name, tool.raw.get()), ("a", whole.get()));
        assert_eq!(Tool::read(&raw("[]")).unwrap_err(), ToolError::NotAnObject);
        assert_eq!(Tool::read(&raw(r#"{"name":""}"#)).unwrap_err(), ToolError::Nameless);
        let no_schema = raw(r#"{"name":"a","inputSchema":null}"#);
        assert_eq!(Tool::read(&no_schema).unwrap_err(), ToolError::NoSchema);
    }

    #[test]
    fn the_hash_knows_order_names_and_definitions() {
        let tool = |name: &str, more: &str| {
            Tool::read(&raw(&format!(r#"{{"name":"{name}","inputSchema":{{}}{more}}}"#))).unwrap()
        };
        let base = Catalog::new(vec![tool("a", ""), tool("b", "")]);
        let again = Catalog::new(vec![tool("a", ""), tool("b", ""), tool("a", r#","x":1"#)]);
        assert_eq!(base.hash(), again.hash());
        for other in [
            vec![tool("b", ""), tool("a", "")],
            vec![tool("a", "")],
            vec![tool("a", ""), tool("b", r#","x":1"#)],
        ] {
            assert_ne!(base.hash(), Catalog::new(other).hash());
        }
    }
}
