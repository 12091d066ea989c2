//! Keys from environment variables: `SWITCHBOARD_`, `__` between levels; and files of variables.
//!
//! Variables come in as a map: this module never reads the process's own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{dialect::KEYS, parse::Tree, problem::Problem};

/// How our variables start.
const PREFIX: &str = "SWITCHBOARD_";

/// Keys where variables cannot be read off what is there already.
const AGENT: [&str; 3] = ["servers", "tools", "mcpServers"];
const GROUP: [&str; 4] = ["servers", "strategy", "intensity", "period"];

/// The keys that the variables name. `below` is what the layers under them hold: names are
/// matched without regard to case and punctuation there (`MY_SERVER` is `my-server`), and a new
/// name keeps its case. A variable of one word that is no table is not a key (`SWITCHBOARD_PORT`
/// is what Kubernetes sets for a service of our name). The text of `SWITCHBOARD_MONITORING` is
/// given beside the keys: it names a profile.
pub(crate) fn tree(
    variables: &BTreeMap<String, String>,
    below: &Tree,
    roots: &[String],
) -> (Tree, Option<String>) {
    let mut tree = Tree::new();
    let mut profile = None;
    for (name, text) in variables {
        let Some(levels) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let levels: Vec<&str> = levels.split("__").collect();
        let Some((root, levels)) = levels.split_first() else {
            continue;
        };
        let known = matching(root, roots.iter().map(String::as_str));
        if known.is_none() && levels.is_empty() {
            continue;
        }
        let mut path = vec![known.unwrap_or_else(|| root.to_lowercase())];
        for level in levels {
            path.push(key(level, &path, below));
        }
        let value = value(text, &path, below);
        if let Value::String(name) = &value
            && path == ["monitoring"]
        {
            profile = Some(name.clone());
        } else {
            insert(&mut tree, &path, value);
        }
    }
    (tree, profile)
}

/// The variable of a root key, which is the beginning of those of keys below it.
pub(crate) fn named(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase())
}

/// The key that one level means.
fn key(level: &str, path: &[String], below: &Tree) -> String {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let known: Vec<&str> = match path.as_slice() {
        ["mcpServers", _] | ["agents", _, "mcpServers", _] => {
            KEYS.iter().map(|(key, _)| *key).collect()
        }
        // A program's own variables and header names are written as they are meant.
        [.., "env" | "headers"] => Vec::new(),
        ["agents", _] => AGENT.to_vec(),
        ["groups", _] => GROUP.to_vec(),
        _ => find(below, &path)
            .and_then(Value::as_object)
            .map(|table| table.keys().map(String::as_str).collect())
            .unwrap_or_default(),
    };
    matching(level, known).unwrap_or_else(|| level.to_owned())
}

/// The one known key that this spells; an exact one is preferred.
fn matching<'a>(level: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let fold = |text: &str| -> String {
        text.chars()
            .map(|char| if char.is_alphanumeric() { char.to_ascii_lowercase() } else { '_' })
            .collect()
    };
    let mut found = None;
    for candidate in known {
        if candidate == level {
            return Some(candidate.to_owned());
        }
        if fold(candidate) == fold(level) {
            if found.is_some() {
                return None;
            }
            found = Some(candidate.to_owned());
        }
    }
    found
}

/// Numbers, truth values, lists and tables are written as in JSON; text is everything else, and
/// whatever stands where text belongs.
fn value(text: &str, path: &[String], below: &Tree) -> Value {
    let keys: Vec<&str> = path.iter().map(String::as_str).collect();
    let is_text = matches!(keys.as_slice(), [.., "env" | "headers", _])
        || find(below, &keys).is_some_and(Value::is_string);
    if is_text {
        return Value::String(text.to_owned());
    }
    match serde_json::from_str(text) {
        Ok(Value::Null) | Err(_) => Value::String(text.to_owned()),
        Ok(value) => value,
    }
}

fn find<'a>(tree: &'a Tree, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(tree.get(*first)?, |value, key| value.get(*key))
}

fn insert(tree: &mut Tree, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        tree.insert(first.clone(), value);
        return;
    }
    let slot = tree.entry(first.clone()).or_insert_with(|| Value::Object(Tree::new()));
    if !slot.is_object() {
        *slot = Value::Object(Tree::new());
    }
    if let Value::Object(table) = slot {
        insert(table, rest, value);
    }
}

/// Reads a file of `NAME=value` lines. The error names the line and never quotes it.
pub(crate) fn variables(file: &str, text: &str) -> Result<BTreeMap<String, String>, Problem> {
    dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(|error| {
        let mut path = String::new();
        // The error has the rest of the line that it could not read, and no number.
        if let dotenvy::Error::LineParse(rest, _) = &error
            && let Some(start) = rest.lines().next()
            && let Some(at) = text.lines().position(|line| line.contains(start))
        {
            path = format!("line {}", at + 1);
        }
        Problem {
            file: Some(file.to_owned()),
            path,
            message: "not a line of the form NAME=value".to_owned(),
            remedy: "put a value with spaces or signs into quotes".to_owned(),
        }
    })
}
