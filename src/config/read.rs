//! Trees to typed settings, one key at a time, so that every wrong key has an error of its own.
//!
//! serde stops at the first error. Here each value is first read alone, on top of a base that is
//! right; what fails is reported and left out. Errors never quote text, because it may be secret.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    parse::Tree,
    path::KeyPath,
    problem::{Report, nearest_key},
};

/// Reads a table on top of a base that holds every required key.
pub(crate) fn read<T: DeserializeOwned>(
    base: &Value,
    tree: &Tree,
    path: &KeyPath,
    report: &mut Report,
) -> Option<T> {
    let mut whole = base.clone();
    let mut leaves = Vec::new();
    collect(tree, &mut Vec::new(), &mut leaves);
    for (keys, value) in leaves {
        let mut alone = base.clone();
        put(&mut alone, &keys, value);
        match serde_json::from_value::<T>(alone) {
            Ok(_) => put(&mut whole, &keys, value),
            Err(error) => {
                let at = keys.iter().fold(path.clone(), |path, key| path.join(key));
                let (mut message, mut remedy) = explain(&error.to_string());
                if message == "must be string or map" {
                    // Only a word that is none of them makes serde say which there are.
                    let mut alone = base.clone();
                    put(&mut alone, &keys, &Value::String(String::new()));
                    let words = serde_json::from_value::<T>(alone).err();
                    (message, remedy) = explain(&words.map_or(message, |it| it.to_string()));
                }
                if remedy.is_empty() && message == "must be text" {
                    remedy = example(base, &keys);
                }
                report.error(&at, message, remedy);
            }
        }
    }
    match serde_json::from_value(whole) {
        Ok(read) => Some(read),
        Err(error) => {
            let (message, remedy) = explain(&error.to_string());
            report.error(path, message, remedy);
            None
        }
    }
}

/// Takes a root table with defaults out of the tree and reads it.
pub(crate) fn table<T: Default + Serialize + DeserializeOwned>(
    tree: &mut Tree,
    key: &str,
    report: &mut Report,
) -> T {
    let path = KeyPath::root(key);
    let table = take(tree, key, &path, report);
    let base = serde_json::to_value(T::default()).unwrap_or_default();
    read(&base, &table, &path, report).unwrap_or_default()
}

/// Takes a root table of named tables out of the tree: what is no table is reported.
pub(crate) fn tables(tree: &mut Tree, key: &str, report: &mut Report) -> BTreeMap<String, Tree> {
    let path = KeyPath::root(key);
    let mut named = take(tree, key, &path, report);
    let names: Vec<String> = named.keys().cloned().collect();
    names
        .into_iter()
        .map(|name| {
            let table = take(&mut named, &name, &path.join(&name), report);
            (name, table)
        })
        .collect()
}

/// Takes a table out of a tree; an absent one is empty, and what is no table is reported.
pub(crate) fn take(tree: &mut Tree, key: &str, path: &KeyPath, report: &mut Report) -> Tree {
    match tree.shift_remove(key) {
        Some(Value::Object(table)) => table,
        Some(_) => {
            report.error(path, "must be a table of keys", "");
            Tree::new()
        }
        None => Tree::new(),
    }
}

fn collect<'a>(
    tree: &'a Tree,
    above: &mut Vec<&'a str>,
    leaves: &mut Vec<(Vec<&'a str>, &'a Value)>,
) {
    for (key, value) in tree {
        above.push(key);
        match value.as_object() {
            Some(table) if !table.is_empty() => collect(table, above, leaves),
            Some(_) | None => leaves.push((above.clone(), value)),
        }
        above.pop();
    }
}

/// The default as an example of how text is written here.
fn example(base: &Value, keys: &[&str]) -> String {
    let default = keys.iter().try_fold(base, |value, key| value.get(*key));
    match default.and_then(Value::as_str) {
        Some(text) if !text.is_empty() => format!("such as {text:?}"),
        Some(_) | None => String::new(),
    }
}

fn put(into: &mut Value, keys: &[&str], value: &Value) {
    let Some((key, rest)) = keys.split_first() else {
        *into = value.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Tree::new());
    }
    if let Value::Object(table) = into {
        put(table.entry(*key).or_insert(Value::Null), rest, value);
    }
}

/// serde's words as a message and a remedy for the person who wrote the value.
fn explain(error: &str) -> (String, String) {
    let (what, expected) = error.rsplit_once(", expected ").unwrap_or((error, ""));
    let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    if let Some(key) = what.strip_prefix("unknown field ") {
        let remedy = nearest_key(key.trim_matches('`'), names);
        return ("unknown key".to_owned(), remedy);
    }
    if what.starts_with("unknown variant ") {
        return (format!("must be one of {}", names.join(", ")), String::new());
    }
    if let Some(key) = error.strip_prefix("missing field ") {
        return (format!("lacks the key {key}"), String::new());
    }
    if error.starts_with("data did not match any variant") {
        // The one value that may be of two types.
        return ("must be true, false, or a list of names".to_owned(), String::new());
    }
    if what.starts_with("invalid type") || what.starts_with("invalid value") {
        return (format!("must be {}", kind(expected)), String::new());
    }
    (error.to_owned(), String::new())
}

/// Rust's kinds of values in plain words.
fn kind(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "i32" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "text",
        "parsable string" | "an integer or string" => "a size such as \"4MiB\"",
        "a sequence" => "a list",
        "a map" => "a table of keys",
        other if other.starts_with("struct ") => "a table of keys",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::runtime::{LimitsConfig, MonitoringConfig, TimeoutsConfig};

    fn errors<T: Default + Serialize + DeserializeOwned>(value: Value) -> Vec<String> {
        let mut tree = Tree::from_iter([("t".to_owned(), value)]);
        let mut report = Report::default();
        table::<T>(&mut tree, "t", &mut report);
        report.errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_wrong_key_has_an_error_of_its_own() {
        assert_eq!(
            errors::<MonitoringConfig>(json!({
                "health_check_seconds": "hunter2",
                "healthcheck_seconds": 3,
                "cleanup_hours": true,
                "enable_reconnection": "yes",
                "reconnection_seconds": -1,
                "tools_update_hours": 3
            })),
            [
                "t.health_check_seconds: must be a whole number from 0 to 4294967295",
                "t.healthcheck_seconds: unknown key (did you mean `health_check_seconds`?)",
                "t.cleanup_hours: must be a number",
                "t.enable_reconnection: must be true or false",
                "t.reconnection_seconds: must be a whole number from 0 to 4294967295",
            ]
        );
    }

    #[test]
    fn a_right_key_counts_beside_a_wrong_one() {
        let mut tree = Tree::from_iter([(
            "t".to_owned(),
            json!({"connects": 7, "page_size": "x", "body_bytes": "1MiB"}),
        )]);
        let limits: LimitsConfig = table(&mut tree, "t", &mut Report::default());
        let expected = LimitsConfig {
            connects: 7,
            body_bytes: bytesize::ByteSize::mib(1),
            ..LimitsConfig::default()
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn durations_and_sizes_say_how_they_are_written() {
        assert_eq!(
            errors::<TimeoutsConfig>(json!({"call": "soon", "hang": 5})),
            [
                "t.call: \"soon\" is not a duration such as \"30s\" or \"2h\"",
                "t.hang: must be text (such as \"2m\")",
            ]
        );
        assert_eq!(
            errors::<LimitsConfig>(json!({"body_bytes": "lots", "message_bytes": true})),
            [
                "t.body_bytes: must be a size such as \"4MiB\"",
                "t.message_bytes: must be a size such as \"4MiB\"",
            ]
        );
        assert!(errors::<LimitsConfig>(json!({"body_bytes": 1024})).is_empty());
    }

    #[test]
    fn what_is_no_table_says_so() {
        assert_eq!(errors::<LimitsConfig>(json!("hunter2")), ["t: must be a table of keys"]);
    }
}
