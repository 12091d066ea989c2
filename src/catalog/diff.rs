//! What changed between two listings of one server.

use std::{collections::HashMap, fmt, sync::Arc};

use super::Catalog;

/// The difference of two catalogs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Tools that are new.
    pub added: Vec<Arc<str>>,
    /// Tools that are gone.
    pub removed: Vec<Arc<str>>,
    /// Tools whose definition differs.
    pub changed: Vec<Arc<str>>,
    /// Whether the tools that both have stand in another order.
    pub reordered: bool,
}

impl Diff {
    /// What it takes to get from `old` to `new`.
    pub fn between(old: &Catalog, new: &Catalog) -> Self {
        let before: HashMap<&str, &str> =
            old.tools().iter().map(|tool| (&*tool.name, tool.raw.get())).collect();
        let after: HashMap<&str, &str> =
            new.tools().iter().map(|tool| (&*tool.name, tool.raw.get())).collect();
        let mut diff = Self::default();
        for tool in new.tools() {
            match before.get(&*tool.name) {
                None => diff.added.push(Arc::clone(&tool.name)),
                Some(raw) if *raw != tool.raw.get() => diff.changed.push(Arc::clone(&tool.name)),
                Some(_) => {}
            }
        }
        let gone = old.tools().iter().filter(|tool| !after.contains_key(&*tool.name));
        diff.removed.extend(gone.map(|tool| Arc::clone(&tool.name)));
        let kept = |catalog: &Catalog, other: &HashMap<&str, &str>| -> Vec<Arc<str>> {
            let both = catalog.tools().iter().filter(|tool| other.contains_key(&*tool.name));
            both.map(|tool| Arc::clone(&tool.name)).collect()
        };
        diff.reordered = kept(old, &after) != kept(new, &before);
        diff
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no difference");
        }
        let counts = [
            (self.added.len(), "added"),
            (self.removed.len(), "removed"),
            (self.changed.len(), "changed"),
        ];
        let mut parts: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if self.reordered {
            parts.push("reordered".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog::Tool, wire::RawValue};

    fn catalog(tools: &[(&str, u8)]) -> Catalog {
        let tool = |(name, version): &(&str, u8)| {
            let text = format!(r#"{{"name":"{name}","inputSchema":{{}},"version":{version}}}"#);
            Tool::read(&RawValue::from_string(text).unwrap()).unwrap()
        };
        Catalog::new(tools.iter().map(tool).collect())
    }

    #[test]
    fn a_difference_is_said_in_words() {
        let old = catalog(&[("a", 1), ("b", 1), ("c", 1)]);
        for (new, words) in [
            (catalog(&[("a", 1), ("b", 1), ("c", 1)]), "no difference"),
            (catalog(&[("c", 1), ("a", 2), ("d", 1)]), "1 added, 1 removed, 1 changed, reordered"),
            (catalog(&[("a", 1), ("x", 1), ("b", 1), ("c", 1)]), "1 added"),
        ] {
            assert_eq!(Diff::between(&old, &new).to_string(), words);
        }
    }
}
