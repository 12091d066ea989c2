//! JSON as it is written: numbers and strings stay text, keys may stand twice, and two texts are
//! compared member by member.

use std::collections::BTreeSet;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A number, a text or a constant, as it is written.
    Leaf(String),
    List(Vec<Tree>),
    /// Keys as they are written, with their quotes.
    Object(Vec<(String, Tree)>),
}

/// One member that is not what it was. Absent on one side, it was added or removed.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Its way: keys and `*` or `+`, as the table of changes writes them.
    pub at: String,
    pub before: Option<Tree>,
    pub after: Option<Tree>,
}

impl Tree {
    /// Reads a text that is JSON.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let mut rest = text;
        let tree = value(&mut rest);
        assert!(rest.trim().is_empty(), "more than one value: {text}");
        tree
    }

    /// A member, by its plain key; the last one of that key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().rev().find(|(name, _)| *name == format!("\"{key}\"")).map(|(_, it)| it)
    }

    /// What a way of plain keys leads to.
    #[track_caller]
    pub fn at(&self, keys: &[&str]) -> &Self {
        let found = keys.iter().try_fold(self, |tree, key| tree.get(key));
        found.unwrap_or_else(|| panic!("no {keys:?} in {}", self.write()))
    }

    /// The entries of a list.
    pub fn entries(&self) -> &[Self] {
        if let Self::List(entries) = self { entries } else { &[] }
    }

    /// A text's content.
    pub fn text(&self) -> Option<String> {
        if let Self::Leaf(text) = self { serde_json::from_str(text).ok() } else { None }
    }

    /// As JSON without spaces.
    pub fn write(&self) -> String {
        match self {
            Self::Leaf(text) => text.clone(),
            Self::List(entries) => {
                let entries: Vec<String> = entries.iter().map(Self::write).collect();
                format!("[{}]", entries.join(","))
            }
            Self::Object(members) => {
                let member = |(key, it): &(String, Self)| format!("{key}:{}", it.write());
                let members: Vec<String> = members.iter().map(member).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::List(entries) if entries.is_empty())
            || matches!(self, Self::Object(members) if members.is_empty())
    }
}

fn value(rest: &mut &str) -> Tree {
    *rest = rest.trim_start();
    match rest.as_bytes()[0] {
        b'{' => {
            let mut members = Vec::new();
            while separated(rest, '}') {
                let Tree::Leaf(key) = value(rest) else { panic!("a key at {rest}") };
                *rest = rest.trim_start().strip_prefix(':').expect("a colon");
                members.push((key, value(rest)));
            }
            Tree::Object(members)
        }
        b'[' => {
            let mut entries = Vec::new();
            while separated(rest, ']') {
                entries.push(value(rest));
            }
            Tree::List(entries)
        }
        b'"' => {
            let mut escaped = false;
            let end = rest[1..].find(|char| {
                let is_end = char == '"' && !escaped;
                escaped = char == '\\' && !escaped;
                is_end
            });
            leaf(rest, end.expect("the end of a text") + 2)
        }
        _ => {
            let is_end = |char: char| char.is_whitespace() || matches!(char, ',' | ']' | '}');
            let end = rest.find(is_end).unwrap_or(rest.len());
            leaf(rest, end)
        }
    }
}

fn leaf(rest: &mut &str, end: usize) -> Tree {
    let (text, after) = rest.split_at(end);
    *rest = after;
    Tree::Leaf(text.to_owned())
}

/// Goes to the next entry: past what opens or separates, or past the end, which is the last.
fn separated(rest: &mut &str, end: char) -> bool {
    for step in 0..2 {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(end) {
            *rest = after;
            return false;
        }
        if step == 0 {
            *rest = &rest[1..];
        }
    }
    true
}

/// Everything that differs.
pub fn differences(before: &Tree, after: &Tree) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(Some(before), Some(after), String::new(), &mut found);
    found
}

fn compare(before: Option<&Tree>, after: Option<&Tree>, at: String, found: &mut Vec<Difference>) {
    let nothing = (Tree::List(Vec::new()), Tree::Object(Vec::new()));
    // What has another type is another thing.
    let kind = |tree: Option<&Tree>| tree.and_then(|tree| tree.get("type").cloned());
    let is_other = kind(before).is_some() && kind(after).is_some() && kind(before) != kind(after);
    match (before, after) {
        (Some(Tree::Object(old)), Some(Tree::Object(new))) if !is_other => {
            members(old, new, &at, found);
        }
        (Some(Tree::List(old)), Some(Tree::List(new))) => entries(old, new, &at, found),
        // What is added or removed with members is its members.
        (None, Some(tree @ Tree::List(_))) if !tree.is_empty() => {
            compare(Some(&nothing.0), after, at, found);
        }
        (None, Some(tree @ Tree::Object(_))) if !tree.is_empty() => {
            compare(Some(&nothing.1), after, at, found);
        }
        (Some(tree @ Tree::Object(_)), None) if !tree.is_empty() => {
            compare(before, Some(&nothing.1), at, found);
        }
        (before, after) if before == after => {}
        (before, after) => {
            found.push(Difference { at, before: before.cloned(), after: after.cloned() });
        }
    }
}

fn entries(old: &[Tree], new: &[Tree], at: &str, found: &mut Vec<Difference>) {
    for place in 0..old.len().max(new.len()) {
        let step = if place < old.len() { "*" } else { "+" };
        let (before, after) = (old.get(place), new.get(place));
        if place < old.len() {
            compare(before, after, way(at, step), found);
        } else {
            found.push(Difference { at: way(at, step), before: None, after: after.cloned() });
        }
    }
}

fn members(old: &[(String, Tree)], new: &[(String, Tree)], at: &str, found: &mut Vec<Difference>) {
    let keys: BTreeSet<&String> = old.iter().chain(new).map(|(key, _)| key).collect();
    for key in keys {
        let of_key = |(name, tree): &'_ (String, Tree)| (name == key).then(|| tree.clone());
        let before: Vec<Tree> = old.iter().filter_map(of_key).collect();
        let after: Vec<Tree> = new.iter().filter_map(of_key).collect();
        for place in 0..before.len().max(after.len()) {
            compare(before.get(place), after.get(place), way(at, &key[1..key.len() - 1]), found);
        }
    }
    let order = |of: &[(String, Tree)], other: &[(String, Tree)]| -> Vec<String> {
        let stays = |key: &String| other.iter().any(|(name, _)| name == key);
        of.iter().map(|(key, _)| key.clone()).filter(stays).collect()
    };
    if found.is_empty() {
        assert_eq!(order(old, new), order(new, old), "the order of members at {at:?}");
    }
}

fn way(at: &str, step: &str) -> String {
    if at.is_empty() { step.to_owned() } else { format!("{at}/{step}") }
}
