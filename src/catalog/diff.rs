//! What changed between two catalogs of one server, for the event log and for those who are told.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use super::{Catalog, Tool};

/// The difference between two catalogs, by the server's own names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Tools that are new, in their new order.
    pub added: Vec<Arc<str>>,
    /// Tools that are gone, in their old order.
    pub removed: Vec<Arc<str>>,
    /// Tools whose definition is another, in their new order.
    pub changed: Vec<Arc<str>>,
    /// Whether those that stayed stand in another order.
    pub reordered: bool,
}

impl Diff {
    /// Compares two catalogs. Definitions are compared as text, because a server that writes one
    /// differently may mean so.
    pub fn between(old: &Catalog, new: &Catalog) -> Self {
        if old.hash() == new.hash() {
            return Self::default();
        }
        let before: HashMap<&str, (usize, &Tool)> =
            (0..).zip(old.tools()).map(|(place, tool)| (&*tool.name, (place, tool))).collect();
        let after: HashSet<&str> = new.tools().iter().map(|tool| &*tool.name).collect();
        let mut diff = Self::default();
        let mut last = 0;
        for tool in new.tools() {
            let Some(&(place, was)) = before.get(&*tool.name) else {
                diff.added.push(Arc::clone(&tool.name));
                continue;
            };
            diff.reordered |= place < last;
            last = place;
            if was.raw.get() != tool.raw.get() {
                diff.changed.push(Arc::clone(&tool.name));
            }
        }
        for tool in old.tools() {
            if !after.contains(&*tool.name) {
                diff.removed.push(Arc::clone(&tool.name));
            }
        }
        diff
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Diff {
    /// Counts only, such as `2 added, 1 removed`; `no change` where nothing differs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (names, what) in
            [(&self.added, "added"), (&self.removed, "removed"), (&self.changed, "changed")]
        {
            if !names.is_empty() {
                parts.push(format!("{} {what}", names.len()));
            }
        }
        if self.reordered {
            parts.push("reordered".to_owned());
        }
        if parts.is_empty() {
            parts.push("no change".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn catalog(tools: &[(&str, &str)]) -> Catalog {
        Catalog::new(tools.iter().map(|(name, text)| Tool::sample(name, text)).collect())
    }

    fn text(old: &[(&str, &str)], new: &[(&str, &str)]) -> String {
        Diff::between(&catalog(old), &catalog(new)).to_string()
    }

    #[test]
    fn a_difference_is_told_in_words() {
        let old = [("a", "1"), ("b", "1"), ("c", "1")];
        assert_eq!(text(&old, &old), "no change");
        assert_eq!(text(&old, &[]), "3 removed");
        assert_eq!(
            text(&old, &[("a", "1"), ("x", "1"), ("y", "1"), ("c", "2")]),
            "2 added, 1 removed, 1 changed"
        );
        assert_eq!(text(&old, &[("b", "1"), ("a", "1"), ("c", "1")]), "reordered");
        assert_eq!(text(&old, &[("c", "1"), ("n", "1")]), "1 added, 2 removed");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_difference_is_empty_exactly_when_the_hashes_are_equal(
            old in prop::collection::vec((0_u8..5, 0_u8..2), 0..6),
            new in prop::collection::vec((0_u8..5, 0_u8..2), 0..6),
        ) {
            let build = |tools: &[(u8, u8)]| Catalog::new(
                tools
                    .iter()
                    .map(|(name, text)| Tool::sample(&name.to_string(), &text.to_string()))
                    .collect(),
            );
            let (old, new) = (build(&old), build(&new));
            let diff = Diff::between(&old, &new);
            prop_assert_eq!(diff.is_empty(), old.hash() == new.hash());
            prop_assert_eq!(
                old.tools().len() + diff.added.len(),
                new.tools().len() + diff.removed.len()
            );
        }
    }
}
