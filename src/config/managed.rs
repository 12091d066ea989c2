//! `managed.toml`: the servers that were added while an instance ran, as a layer of its own.
//!
//! Text in, text out: what a person wrote into the file stays as it is. It lies above the files
//! and below `.env` and the environment; who reads and writes it on disk is the application.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, Table};

use super::{
    dialect,
    load::{DEFAULT, Sources},
    parse::{Tree, parse},
    path::KeyPath,
    problem::Report,
};
use crate::id::{AgentId, ServerName};

/// The file's name in the state directory.
pub const MANAGED: &str = "managed.toml";

/// What the file says when nothing is left in it.
const EMPTY: &str = "# Servers that were added at run time: none.\n";

/// The layer of what was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    /// Where it stands; a file that is not there is an empty layer.
    pub path: PathBuf,
    /// What it would say, instead of what it says.
    pub text: Option<String>,
}

/// A text that is no managed layer.
#[derive(Debug, thiserror::Error)]
pub enum ManagedError {
    /// It is no TOML.
    #[error("{MANAGED} cannot be read; put it right or take it away: {0}")]
    Syntax(#[from] toml_edit::TomlError),
    /// Something else stands where servers are expected.
    #[error("{MANAGED} has something else than a table at {0:?}; put it right or take it away")]
    Shape(String),
    /// The entry has something that TOML cannot say, such as `null`.
    #[error("the entry cannot be written as TOML: {0}")]
    Entry(#[from] toml_edit::ser::Error),
}

/// Adds or replaces an entry, as it was written: variables are not filled in.
///
/// # Errors
/// [`ManagedError`]; the text stays as it is.
pub fn put(
    text: &str,
    agent: Option<&AgentId>,
    server: &ServerName,
    entry: &Map<String, Value>,
) -> Result<String, ManagedError> {
    let mut document: DocumentMut = text.parse()?;
    let entry = toml_edit::ser::to_document(entry)?.into_table();
    servers(&mut document, agent)?.insert(server.as_str(), Item::Table(entry));
    Ok(document.to_string())
}

/// Takes an entry away; `None` if it is not there.
///
/// # Errors
/// [`ManagedError`]; the text stays as it is.
pub fn remove(
    text: &str,
    agent: Option<&AgentId>,
    server: &ServerName,
) -> Result<Option<String>, ManagedError> {
    let mut document: DocumentMut = text.parse()?;
    let removed = servers(&mut document, agent)?.remove(server.as_str());
    Ok(removed.map(|_| match document.to_string() {
        // An empty file may be one that is being written, and is not taken for an answer.
        text if text.trim().is_empty() => EMPTY.to_owned(),
        text => text,
    }))
}

/// The file, or other layer below this one, that defines a server: the last of them, and what to
/// do about it, in words.
///
/// It needs no configuration that can be used, so that what is wrong can be taken away.
pub fn defined_in(
    sources: &Sources,
    agent: Option<&AgentId>,
    server: &ServerName,
) -> Option<String> {
    let files = sources.files();
    if files.is_empty() {
        let built_in = defines("default.toml", DEFAULT, agent, server);
        return built_in.then(|| {
            "the built-in configuration; a configuration file of your own replaces it".to_owned()
        });
    }
    let names = files.iter().rev().find(|file| {
        let text = std::fs::read_to_string(sources.folder.join(file));
        text.is_ok_and(|text| defines(&file.display().to_string(), &text, agent, server))
    });
    names.map(|file| format!("{}; change it there", file.display()))
}

fn defines(name: &str, text: &str, agent: Option<&AgentId>, server: &ServerName) -> bool {
    let Ok(mut tree) = parse(name, text) else { return false };
    let file = Path::new(name).file_name().and_then(|name| name.to_str());
    dialect::translate(&mut tree, file.unwrap_or_default(), &mut Report::default());
    let tree = Value::Object(tree);
    let owner = match agent {
        Some(agent) => tree.get("agents").and_then(|agents| agents.get(agent.as_str())),
        None => Some(&tree),
    };
    let servers = owner.and_then(|owner| owner.get("mcpServers"));
    servers.is_some_and(|servers| servers.get(server.as_str()).is_some())
}

/// Reports everything in the layer that is no server.
pub(super) fn only_servers(tree: &mut Tree, report: &mut Report) {
    let mut refuse = |path: &KeyPath| {
        report.error(path, "only servers may stand here", "put it into a configuration file");
    };
    tree.retain(|key, value| match (key.as_str(), value) {
        ("mcpServers", _) => true,
        ("agents", Value::Object(agents)) => {
            for (name, agent) in agents {
                let path = KeyPath::root(key).join(name);
                let Value::Object(agent) = agent else { continue };
                agent.retain(|key, _| {
                    let server = key == "mcpServers";
                    if !server {
                        refuse(&path.join(key));
                    }
                    server
                });
            }
            true
        }
        _ => {
            refuse(&KeyPath::root(key));
            false
        }
    });
}

fn servers<'d>(
    document: &'d mut DocumentMut,
    agent: Option<&AgentId>,
) -> Result<&'d mut Table, ManagedError> {
    let mut table = document.as_table_mut();
    let agent = agent.map(|agent| ["agents", agent.as_str()]);
    for key in agent.iter().flatten().copied().chain(["mcpServers"]) {
        let implicit = || {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        };
        table = table
            .entry(key)
            .or_insert_with(implicit)
            .as_table_mut()
            .ok_or_else(|| ManagedError::Shape(key.to_owned()))?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_entry_comes_and_goes_and_a_persons_words_stay() {
        let server = ServerName::new("My Server").unwrap();
        let agent = AgentId::new("research").unwrap();
        let written = "# mine\n[mcpServers.other]\ncommand = \"x\" # why\n";
        let new = entry(&json!({ "command": "y", "args": ["${A}"], "env": { "K": "v" } }));
        let text = put(written, None, &server, &new).unwrap();
        assert!(text.starts_with(written), "{text}");
        assert!(text.contains("[mcpServers.\"My Server\"]") && text.contains("\"${A}\""), "{text}");
        let both = put(&text, Some(&agent), &server, &new).unwrap();
        assert!(both.contains("[agents.research.mcpServers.\"My Server\"]"), "{both}");

        let back = remove(&both, Some(&agent), &server).unwrap().unwrap();
        assert_eq!(remove(&back, None, &server).unwrap().unwrap().trim(), written.trim());
        assert!(remove(written, None, &server).unwrap().is_none());
    }

    #[test]
    fn what_is_no_layer_is_left_alone() {
        let server = ServerName::new("a").unwrap();
        let new = entry(&json!({ "command": "y" }));
        for text in ["mcpServers = 1", "[[mcpServers]]", "= nothing"] {
            assert!(put(text, None, &server, &new).is_err(), "{text}");
        }
        assert!(put("", None, &server, &entry(&json!({ "command": null }))).is_err());
    }
}
