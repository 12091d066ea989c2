//! Where a value stands in a configuration, and which layer put it there.
//!
//! Names only, never values.

use std::{collections::BTreeMap, fmt};

/// The keys from the root to a value, such as `mcpServers.github.env.TOKEN`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// The path of a root key.
    pub fn root(key: &str) -> Self {
        Self(vec![key.to_owned()])
    }

    /// The path of a key below this one.
    #[must_use]
    pub fn join(&self, key: &str) -> Self {
        let mut keys = self.0.clone();
        keys.push(key.to_owned());
        Self(keys)
    }

    /// The keys, outermost first.
    pub fn keys(&self) -> &[String] {
        &self.0
    }

    /// The path of the table or list that this one stands in.
    pub(crate) fn parent(&self) -> Option<Self> {
        let (_, keys) = self.0.split_last()?;
        Some(Self(keys.to_vec()))
    }
}

impl fmt::Display for KeyPath {
    /// Keys with a dot between them; a key that is not bare in TOML stands in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, key) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            f.write_str(&quoted(key))?;
        }
        Ok(())
    }
}

/// A key as TOML writes it: bare where it can be.
pub(crate) fn quoted(key: &str) -> String {
    let bare = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

/// Which layer each value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<KeyPath, String>);

impl Origins {
    pub(crate) fn insert(&mut self, path: KeyPath, layer: &str) {
        self.0.insert(path, layer.to_owned());
    }

    /// The layer of exactly this value: a file's name, `.env`, `environment`, `command line`,
    /// `profile …` or `default`. `None` for what no layer names.
    pub fn get(&self, path: &KeyPath) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The layer to look into for this path: its own, else that of the nearest value around it,
    /// else that of a value below it or beside it.
    pub fn nearest(&self, path: &KeyPath) -> Option<&str> {
        let ancestors = || std::iter::successors(Some(path.clone()), KeyPath::parent);
        let below = |path: KeyPath| {
            let (found, layer) = self.0.range(&path..).next()?;
            let within = !path.0.is_empty() && found.0.starts_with(&path.0);
            within.then_some(layer.as_str())
        };
        ancestors().find_map(|path| self.get(&path)).or_else(|| ancestors().find_map(below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_toml_writes_it() {
        let path = KeyPath::root("mcpServers").join("My Server").join("env");
        assert_eq!(path.to_string(), "mcpServers.\"My Server\".env");
    }

    #[test]
    fn a_layer_is_found_for_a_value_around_it_and_below_it() {
        let server = KeyPath::root("mcpServers").join("a");
        let mut origins = Origins::default();
        origins.insert(server.join("args"), "one.toml");
        assert_eq!(origins.nearest(&server.join("args").join("0")), Some("one.toml"));
        assert_eq!(origins.nearest(&server), Some("one.toml"));
        assert_eq!(origins.nearest(&server.join("command")), Some("one.toml"));
        assert_eq!(origins.nearest(&KeyPath::root("monitoring")), None);
        assert_eq!(origins.get(&server), None);
    }
}
