//! What servers offer: tools, prompts, resources and their templates as they sent them, and how
//! those are named and shown.
//!
//! Pure values, built by connections and supervisors, read by faces. Nothing here asks a server,
//! reads a clock or keeps anything by itself. Definitions stay raw JSON; only names are read.

use std::{collections::HashSet, fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    unit,
    wire::{Each, Primitive},
};

pub mod diff;
pub mod extension;
pub mod filter;
pub mod instructions;
pub mod item;
pub mod naming;
mod near;
mod own;
pub mod uri;
pub mod view;

pub use diff::Diff;
pub use extension::Extensions;
pub use filter::{FilterError, ToolFilter, ToolMatcher};
pub use item::{Item, ItemError};
pub use naming::Names;
pub use near::nearest;
pub use own::OwnTool;
pub use view::{Member, Page, Versions, View, ViewItem};

/// How tools are named and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogConfig {
    /// When a tool's name starts with its server's.
    pub prefix: Prefix,
    /// Between the server's name and the tool's: 1 to 8 letters, digits, `_`, `.` or `-`.
    pub separator: String,
    /// The longest exposed name, in characters, 16 to 128.
    pub max_name_length: usize,
    /// How long the tools of a server that is gone stay listed.
    #[serde(with = "unit::duration")]
    #[schemars(with = "String")]
    pub tools_grace: Duration,
    /// Whether agents may ask about the servers that they see, by the tools `switchboard_status`
    /// and `switchboard_why`. Default: false.
    pub introspection: bool,
}

impl CatalogConfig {
    /// What `max_name_length` may be.
    pub const NAME_LENGTHS: RangeInclusive<usize> = 16..=128;

    /// Whether a separator is 1 to 8 characters that exposed names may have.
    pub fn is_valid_separator(separator: &str) -> bool {
        (1..=8).contains(&separator.len()) && separator.chars().all(naming::is_allowed)
    }
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            prefix: Prefix::Always,
            separator: "_".to_owned(),
            max_name_length: 64,
            tools_grace: Duration::from_mins(10),
            introspection: false,
        }
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

/// What one server offers, in its own order.
#[derive(Clone, Debug)]
pub struct Catalog {
    items: Each<Vec<Item>>,
    hash: ContentHash,
}

impl Catalog {
    /// A catalog of these. Of two of one kind and name the first stays, because a request could
    /// not tell them apart.
    pub fn new(mut items: Each<Vec<Item>>) -> Self {
        for primitive in Primitive::ALL {
            let items = items.get_mut(primitive);
            let mut names = HashSet::with_capacity(items.len());
            items.retain(|item| names.insert(Arc::clone(&item.name)));
        }
        let hash = ContentHash::of(items.iter().flat_map(|(primitive, items)| {
            let of = items.iter().flat_map(|item| [&*item.name, item.raw.get()]);
            std::iter::once(primitive.member()).chain(of)
        }));
        Self { items, hash }
    }

    /// What there is of one kind, in the server's own order.
    pub fn items(&self, primitive: Primitive) -> &[Item] {
        self.items.get(primitive)
    }

    /// The tools in the server's own order.
    pub fn tools(&self) -> &[Item] {
        self.items(Primitive::Tool)
    }

    /// What tells this catalog from any other: names, definitions and their order.
    pub const fn hash(&self) -> ContentHash {
        self.hash
    }
}

impl Default for Catalog {
    /// A catalog that offers nothing.
    fn default() -> Self {
        Self::new(Each::default())
    }
}

impl From<Vec<Item>> for Catalog {
    /// A catalog of tools alone.
    fn from(tools: Vec<Item>) -> Self {
        Self::new(Each { tools, ..Each::default() })
    }
}

/// SHA-256 of a sequence of texts; equal if and only if they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // The length keeps ("ab", "c") apart from ("a", "bc").
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        data_encoding::HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(tools: &[(&str, &str)]) -> Catalog {
        tools.iter().map(|(name, text)| Item::sample(name, text)).collect::<Vec<_>>().into()
    }

    #[test]
    fn the_hash_tells_names_definitions_and_order_apart() {
        let base = catalog(&[("a", "1"), ("b", "2")]);
        assert_eq!(base.hash(), catalog(&[("a", "1"), ("b", "2")]).hash());
        for other in [
            catalog(&[]),
            catalog(&[("a", "1")]),
            catalog(&[("b", "2"), ("a", "1")]),
            catalog(&[("a", "1"), ("b", "3")]),
        ] {
            assert_ne!(base.hash(), other.hash());
        }
        assert_ne!(ContentHash::of(["ab", "c"]), ContentHash::of(["a", "bc"]));
        let prompts = base.tools().to_vec();
        let asked = Catalog::new(Each { prompts, ..Each::default() });
        assert_ne!(asked.hash(), base.hash(), "a prompt is no tool");
    }

    #[test]
    fn the_second_tool_of_a_name_is_dropped_and_the_order_kept() {
        let catalog = catalog(&[("b", "1"), ("a", "2"), ("b", "3")]);
        let names: Vec<_> = catalog.tools().iter().map(|tool| &*tool.name).collect();
        assert_eq!(names, ["b", "a"]);
        assert!(catalog.tools()[0].raw.get().contains('1'));
    }

    #[test]
    fn a_separator_has_only_characters_of_names() {
        for good in ["_", "__", ".", "-", "_1mcp_"] {
            assert!(CatalogConfig::is_valid_separator(good), "{good:?}");
        }
        for bad in ["", " ", "/", "::", "ü", "_________"] {
            assert!(!CatalogConfig::is_valid_separator(bad), "{bad:?}");
        }
        assert!(CatalogConfig::is_valid_separator(&CatalogConfig::default().separator));
    }
}
