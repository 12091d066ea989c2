//! Differences held against the table of changes: each must be of a row that is for the client,
//! and must be what that row says.

use std::{collections::BTreeSet, sync::Mutex};

use switchboard::wire::{
    Revision,
    change::{self, Body, Change, TABLE},
};

use super::tree::{Difference, Tree, differences};

/// The rows that were met.
#[derive(Default)]
pub struct Met(Mutex<BTreeSet<usize>>);

impl Met {
    /// Fails the test where what arrived differs from what was sent in another way than the table
    /// says.
    #[track_caller]
    pub fn check(&self, body: Body, client: Revision, sent: &Tree, arrived: &Tree) {
        for difference in differences(sent, arrived) {
            self.explain(body, client, &difference, "");
        }
    }

    /// Rows that nothing has met.
    pub fn missing(&self) -> Vec<Change> {
        let met = self.0.lock().unwrap();
        let rows = TABLE.iter().enumerate().filter(|(place, _)| !met.contains(place));
        rows.map(|(_, row)| *row).collect()
    }

    #[track_caller]
    fn explain(&self, body: Body, client: Revision, difference: &Difference, below: &str) {
        let at = format!("{below}{}", difference.at);
        let names = |way: &&str| {
            way.is_empty()
                || at.strip_prefix(way).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let place = TABLE.iter().position(|row| {
            row.body == body
                && row.is_for(client)
                && row.at.iter().any(names)
                && self.is_done(row, client, difference)
        });
        let Some(place) = place else {
            let text =
                |tree: &Option<Tree>| tree.as_ref().map_or("nothing".to_owned(), Tree::write);
            panic!(
                "a {client} client, {}, {at:?}:\n  {}\nbecame\n  {}",
                body.as_str(),
                text(&difference.before),
                text(&difference.after)
            );
        };
        self.0.lock().unwrap().insert(place);
    }

    /// Whether a difference is what a row says. This is the table's meaning, written a second time.
    fn is_done(&self, row: &Change, client: Revision, difference: &Difference) -> bool {
        let Difference { at, before, after } = difference;
        let text = |tree: &Option<Tree>| tree.as_ref().and_then(Tree::text).unwrap_or_default();
        let is = |tree: &Option<Tree>, leaf: &str| *tree == Some(Tree::Leaf(leaf.to_owned()));
        let (absent, removed) = (before.is_none(), after.is_none());
        match *row {
            change::ADDRESSED => text(before) == format!("s_{}", text(after)),
            change::TYPED => absent && is(after, "\"complete\""),
            change::ANSWERER => {
                text(after).to_lowercase() == "switchboard" || at.ends_with("/version") || removed
            }
            change::FRESHNESS => absent && (is(after, "0") || is(after, "\"private\"")),
            change::UNTYPED | change::LOOSE_SCHEMA | change::NO_ADDRESS_ID => removed,
            change::LOOSE_CONTENT => match after {
                None => at == "structuredContent" && !matches!(before, Some(Tree::Object(_))),
                Some(block) => absent && block.get("type") == Some(&Tree::Leaf("\"text\"".into())),
            },
            change::LATER_BLOCKS => self.is_reworded(client, difference, |kind| kind != "audio"),
            change::AUDIO => self.is_reworded(client, difference, |kind| kind == "audio"),
            change::RESULT_URIS => text(after) == format!("switchboard+s:{}", text(before)),
            change::EXPOSED => {
                let (before, after) = (text(before), text(after));
                after == format!("s_{before}") || after == format!("switchboard+s:{before}")
            }
            change::ASKER => {
                let prefixed = |tree: &Tree| {
                    let rest = tree.write();
                    is(after, &format!("\"[s] {}", &rest[1..]))
                };
                before.as_ref().is_some_and(prefixed) || absent && is(after, "\"s\"")
            }
            change::ADDRESS_ID => absent,
            change::ASKED_PROGRESS => {
                matches!(after, Some(Tree::Leaf(id)) if id.parse::<u64>().is_ok())
            }
            change::ERROR_CODE => is(after, "-32603") || is(after, "-32602"),
            _ => true,
        }
    }

    /// Whether a block became text with its JSON, but for `data`.
    fn is_reworded(
        &self,
        client: Revision,
        difference: &Difference,
        is_meant: fn(&str) -> bool,
    ) -> bool {
        let Some(block) = &difference.before else { return false };
        let kind = block.get("type").and_then(Tree::text).unwrap_or_default();
        let text = difference.after.as_ref().and_then(|after| after.get("text")?.text());
        let (true, Some(text)) = (is_meant(&kind), text) else { return false };
        for inner in differences(block, &Tree::read(&text)) {
            let is_of_data = inner.at == "data" || inner.at.starts_with("data/");
            if !is_of_data || inner.after.is_some() {
                self.explain(Body::Result, client, &inner, &format!("{}/", difference.at));
            }
        }
        true
    }
}
