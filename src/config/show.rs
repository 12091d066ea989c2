//! The settings in force, each with the layer that it came from; secrets masked.
//!
//! Shows entries by the keys that a file has, and their texts as they were written, so that what
//! a variable holds is never shown.

use std::fmt::Write as _;

use bytesize::ByteSize;
use serde_json::{Map, Value, json};

use super::{
    load::Loaded,
    path::{KeyPath, quoted},
};

mod mask;

/// What is said of a value that no layer names.
const DEFAULT: &str = "default";

/// The settings as TOML-like lines, with the layer of each value behind it.
pub fn show(loaded: &Loaded) -> String {
    let mut text = String::new();
    section(&mut text, &tree(loaded), &KeyPath::default(), loaded);
    text
}

/// The settings as JSON: `config` has the values, `origins` the layer of each key path.
pub fn show_json(loaded: &Loaded) -> Value {
    let tree = tree(loaded);
    let mut origins = Map::new();
    collect(&tree, &KeyPath::default(), loaded, &mut origins);
    json!({"config": tree, "origins": origins})
}

/// The configuration as a file would have it.
fn tree(loaded: &Loaded) -> Map<String, Value> {
    let Ok(Value::Object(mut tree)) = serde_json::to_value(&loaded.config) else {
        return Map::new();
    };
    if let Some(Value::Object(limits)) = tree.get_mut("limits") {
        // A size's own text is rounded.
        let sizes = &loaded.config.limits;
        limits.insert("body_bytes".to_owned(), json!(bytes(sizes.body_bytes)));
        limits.insert("message_bytes".to_owned(), json!(bytes(sizes.message_bytes)));
        limits.insert("queue_bytes".to_owned(), json!(bytes(sizes.queue_bytes)));
    }
    let root = KeyPath::root("mcpServers");
    entries(&mut tree, &root, loaded);
    if let Some(Value::Object(agents)) = tree.get_mut("agents") {
        for (name, agent) in agents {
            if let Value::Object(agent) = agent {
                let path = KeyPath::root("agents").join(name).join("mcpServers");
                entries(agent, &path, loaded);
            }
        }
    }
    for value in tree.values_mut() {
        mask::urls(value);
    }
    tree
}

/// A size in the largest unit that gives it exactly.
fn bytes(size: ByteSize) -> String {
    let bytes = size.as_u64();
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    format!("{bytes}B")
}

fn entries(tree: &mut Map<String, Value>, path: &KeyPath, loaded: &Loaded) {
    let Some(Value::Object(servers)) = tree.get_mut("mcpServers") else {
        return;
    };
    for (name, server) in servers {
        if let Value::Object(server) = server {
            *server = entry(std::mem::take(server), &path.join(name), loaded);
        }
    }
}

/// A canonical definition by the keys of an entry.
fn entry(mut server: Map<String, Value>, path: &KeyPath, loaded: &Loaded) -> Map<String, Value> {
    let mut entry = Map::new();
    if let Some(Value::Object(transport)) = server.shift_remove("transport") {
        entry.extend(transport);
    }
    if let Some(Value::Object(rules)) = server.shift_remove("tool_rules")
        && let Some(Value::Object(tools)) = server.get_mut("tools")
    {
        tools.extend(rules);
    }
    entry.extend(server);
    for (key, value) in &mut entry {
        // Values of these two are masked already; the written text may have a default in it.
        if !matches!(key.as_str(), "env" | "headers") {
            as_written(value, &path.join(key), loaded);
        }
    }
    if let Some(Value::Array(args)) = entry.get_mut("args") {
        mask::arguments(args);
    }
    entry
}

/// Puts the text with its variables where their values are.
fn as_written(value: &mut Value, path: &KeyPath, loaded: &Loaded) {
    match value {
        Value::String(text) => {
            if let Some(written) = loaded.written.get(path) {
                written.clone_into(text);
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter_mut().enumerate() {
                as_written(value, &path.join(&at.to_string()), loaded);
            }
        }
        Value::Object(table) => {
            for (key, value) in table {
                as_written(value, &path.join(key), loaded);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn layer<'a>(path: &KeyPath, loaded: &'a Loaded) -> &'a str {
    loaded.origins.get(path).unwrap_or(DEFAULT)
}

/// One table: its values first, then the tables in it, each with a head of its own.
fn section(text: &mut String, table: &Map<String, Value>, path: &KeyPath, loaded: &Loaded) {
    let (tables, values): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_object());
    if !values.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        writeln!(text, "[{path}]").ok();
    }
    for (key, value) in values {
        let layer = layer(&path.join(key), loaded);
        writeln!(text, "{} = {value}  # {layer}", quoted(key)).ok();
    }
    for (key, value) in tables {
        if let Value::Object(table) = value {
            section(text, table, &path.join(key), loaded);
        }
    }
}

fn collect(
    table: &Map<String, Value>,
    path: &KeyPath,
    loaded: &Loaded,
    origins: &mut Map<String, Value>,
) {
    for (key, value) in table {
        let path = path.join(key);
        match value.as_object() {
            Some(table) => collect(table, &path, loaded, origins),
            None => {
                origins.insert(path.to_string(), json!(layer(&path, loaded)));
            }
        }
    }
}
