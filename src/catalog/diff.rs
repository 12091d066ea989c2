//! What changed between two catalogs of one server, for the event log and for those who are told.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use super::{Catalog, Item};
use crate::wire::Primitive;

/// The difference between two catalogs, by the server's own names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// What is new, in its new order.
    pub added: Vec<Arc<str>>,
    /// What is gone, in its old order.
    pub removed: Vec<Arc<str>>,
    /// That whose definition is another, in its new order.
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
        let mut diff = Self::default();
        for primitive in Primitive::ALL {
            diff.compare(old.items(primitive), new.items(primitive));
        }
        diff
    }

    fn compare(&mut self, old: &[Item], new: &[Item]) {
        let before: HashMap<&str, (usize, &Item)> =
            (0..).zip(old).map(|(place, item)| (&*item.name, (place, item))).collect();
        let after: HashSet<&str> = new.iter().map(|item| &*item.name).collect();
        let mut last = 0;
        for item in new {
            let Some(&(place, was)) = before.get(&*item.name) else {
                self.added.push(Arc::clone(&item.name));
                continue;
            };
            self.reordered |= place < last;
            last = place;
            if was.raw.get() != item.raw.get() {
                self.changed.push(Arc::clone(&item.name));
            }
        }
        for item in old {
            if !after.contains(&*item.name) {
                self.removed.push(Arc::clone(&item.name));
            }
        }
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
        tools.iter().map(|(name, text)| Item::sample(name, text)).collect::<Vec<_>>().into()
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
            let build = |tools: &[(u8, u8)]| Catalog::from(
                tools
                    .iter()
                    .map(|(name, text)| Item::sample(&name.to_string(), &text.to_string()))
                    .collect::<Vec<_>>(),
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
