//! One server entry, from any client's keys to ours.
//!
//! The table of keys is the whole dialect; what it lacks is left out with a warning.

use std::time::Duration;

use serde_json::{Value, json};

use super::nearest_entry_key;
use crate::config::{parse::Tree, path::KeyPath, problem::Report};

/// What a key of an entry means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The key of ours that it is.
    Key(&'static str),
    /// `enabled`, turned round.
    Disabled,
    /// Names of tools that are shown.
    Allow,
    /// Names of tools that are not shown.
    Deny,
    /// Whether the client's user is asked before a call. Nobody is asked here, so it says nothing.
    Approval,
}

use Meaning::{Allow, Approval, Deny, Disabled, Key};

/// Every key that an entry may have. Of several for the same thing the first one here counts.
pub(crate) const KEYS: [(&str, Meaning); 40] = [
    ("type", Key("type")),
    ("transport", Key("type")),
    ("transportType", Key("type")),
    ("command", Key("command")),
    ("args", Key("args")),
    ("env", Key("env")),
    ("envFile", Key("envFile")),
    ("env_file", Key("envFile")),
    ("inherit_env", Key("inherit_env")),
    ("cwd", Key("cwd")),
    ("working_dir", Key("cwd")),
    ("httpUrl", Key("url")),
    ("serverUrl", Key("url")),
    ("url", Key("url")),
    ("headers", Key("headers")),
    ("disabled", Disabled),
    ("enabled", Key("enabled")),
    ("description", Key("description")),
    ("tags", Key("tags")),
    ("contact", Key("contact")),
    ("order", Key("order")),
    ("startup", Key("startup")),
    ("isolation", Key("isolation")),
    ("protocol", Key("protocol")),
    ("restart", Key("restart")),
    ("required", Key("required")),
    ("max_in_flight", Key("max_in_flight")),
    ("max_queue", Key("max_queue")),
    ("idle_stop", Key("idle_stop")),
    ("trust_annotations", Key("trust_annotations")),
    ("retry", Key("retry")),
    ("timeout", Key("timeout")),
    ("roots", Key("roots")),
    ("tools", Key("tools")),
    ("includeTools", Allow),
    ("excludeTools", Deny),
    ("disabledTools", Deny),
    ("alwaysAllow", Approval),
    ("autoApprove", Approval),
    ("trust", Approval),
];

pub(super) fn translate(mut written: Tree, path: &KeyPath, report: &mut Report) -> Tree {
    let mut entry = Tree::new();
    for (key, meaning) in KEYS {
        let Some(value) = written.shift_remove(key) else {
            continue;
        };
        let (ours, value) = match meaning {
            Key(ours) => (ours, value),
            Disabled => ("enabled", opposite(value)),
            Allow => {
                name_tools(&mut entry, "allow", value);
                continue;
            }
            Deny => {
                name_tools(&mut entry, "deny", value);
                continue;
            }
            Approval => continue,
        };
        let value = shape(ours, value);
        match entry.get(ours) {
            Some(first) if *first != value => report.warn(
                &path.join(key),
                format!("not read, because another key gives `{ours}` already"),
                "keep one of them",
            ),
            Some(_) => {}
            None => {
                entry.insert(ours.to_owned(), value);
            }
        }
    }
    command_line(&mut entry);
    for key in written.keys() {
        report.warn(&path.join(key), "unknown key, not read", nearest_entry_key(key));
    }
    entry
}

/// What clients write in several ways, in one. What is wrong stays as it is, because only the
/// merged entry tells whether it counts: a later layer may switch it off.
fn shape(key: &str, value: Value) -> Value {
    match (key, value) {
        ("type", Value::String(name)) => Value::String(transport(&name)),
        ("args" | "command", Value::Array(words)) => words.into_iter().map(text).collect(),
        ("env" | "headers", Value::Object(table)) => {
            table.into_iter().map(|(key, value)| (key, text(value))).collect()
        }
        ("timeout", Value::Number(number)) => {
            let duration = number.as_f64().map(timeout).unwrap_or_default();
            Value::String(humantime::format_duration(duration).to_string())
        }
        ("roots", Value::Array(roots)) => roots.into_iter().map(root).collect(),
        ("tools", Value::Array(names)) => json!({"allow": names}),
        (_, value) => value,
    }
}

/// The spellings of a transport's name; one that nobody knows stays as it is.
fn transport(name: &str) -> String {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|char| char.to_ascii_lowercase())
        .collect();
    match plain.as_str() {
        "stdio" | "local" => "stdio",
        "http" | "streamablehttp" | "remote" => "http",
        "sse" => "sse",
        "ws" | "websocket" => "ws",
        _ => name,
    }
    .to_owned()
}

/// A number or a truth value as text, because people write ports and flags without quotes.
fn text(value: Value) -> Value {
    if value.is_number() || value.is_boolean() { Value::String(value.to_string()) } else { value }
}

/// A root without a name may be written as its URI alone.
fn root(root: Value) -> Value {
    if root.is_string() { json!({ "uri": root }) } else { root }
}

/// Clients write milliseconds or seconds and do not say which: 1000 and more is milliseconds.
/// Nothing and less is zero, which is refused later.
fn timeout(number: f64) -> Duration {
    let seconds = if number >= 1000.0 { number / 1000.0 } else { number };
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn opposite(value: Value) -> Value {
    value.as_bool().map_or(value, |disabled| Value::Bool(!disabled))
}

/// A `command` that is a list holds its own first arguments.
fn command_line(entry: &mut Tree) {
    let Some(Value::Array(words)) = entry.get_mut("command") else {
        return;
    };
    let mut words = std::mem::take(words).into_iter();
    let command = words.next().unwrap_or_else(|| Value::String(String::new()));
    let mut args: Vec<Value> = words.collect();
    if let Some(Value::Array(more)) = entry.get_mut("args") {
        args.append(more);
    }
    entry.insert("command".to_owned(), command);
    if !args.is_empty() {
        entry.insert("args".to_owned(), Value::Array(args));
    }
}

/// Adds tools that a client names one by one to our globs; nothing in a name is a pattern.
fn name_tools(entry: &mut Tree, list: &str, names: Value) {
    let tools = entry.entry("tools").or_insert_with(|| json!({}));
    let Value::Object(tools) = tools else {
        return;
    };
    match (tools.get_mut(list), names) {
        (Some(Value::Array(globs)), Value::Array(names)) => {
            globs.extend(names.into_iter().map(plain));
        }
        (None, Value::Array(names)) => {
            let globs = names.into_iter().map(plain).collect();
            tools.insert(list.to_owned(), globs);
        }
        (_, wrong) => {
            tools.insert(list.to_owned(), wrong);
        }
    }
}

/// A name as a glob that matches nothing else.
fn plain(name: Value) -> Value {
    match name.as_str() {
        Some(text) => Value::String(globset::escape(text)),
        None => name,
    }
}
