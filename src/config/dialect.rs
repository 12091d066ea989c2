//! What MCP clients write, in our own words.
//!
//! One layer at a time and before layers are merged, so that `disabled` in one file and `enabled`
//! in the next are the same key. Knows keys and shapes; variables and types come later.

use serde_json::Value;

use super::{
    parse::Tree,
    path::KeyPath,
    problem::{Report, nearest_key},
};

mod entry;

pub(crate) use entry::{KEYS, Meaning};

/// Files that belong to a client and hold its other settings as well: only the servers are read.
const CLIENT_FILES: [&str; 3] = ["claude_desktop_config.json", ".claude.json", "settings.json"];

/// Root keys of clients that say nothing to us: questions of VS Code (asking for one is an error
/// where it is used), and the editor's schema.
const SILENT: [&str; 2] = ["inputs", "$schema"];

/// Puts a layer into our own words. Gives the profile that `monitoring = "…"` names, which is a
/// layer of its own.
pub(crate) fn translate(tree: &mut Tree, file_name: &str, report: &mut Report) -> Option<String> {
    if CLIENT_FILES.contains(&file_name) {
        only_servers(tree, report);
    }
    for key in SILENT {
        tree.shift_remove(key);
    }
    rename_servers(tree, report);
    entries(tree, &KeyPath::root("mcpServers"), report);
    if let Some(Value::Object(agents)) = tree.get_mut("agents") {
        for (name, agent) in agents {
            if let Value::Object(agent) = agent {
                let path = KeyPath::root("agents").join(name).join("mcpServers");
                entries(agent, &path, report);
            }
        }
    }
    let profile = tree.get("monitoring")?.as_str()?.to_owned();
    tree.shift_remove("monitoring");
    Some(profile)
}

/// Keeps of a client's own settings what names servers, VS Code's `mcp.servers` included.
fn only_servers(tree: &mut Tree, report: &mut Report) {
    if let Some(Value::Object(mut mcp)) = tree.shift_remove("mcp")
        && let Some(servers) = mcp.remove("servers")
    {
        tree.entry("servers").or_insert(servers);
    }
    let (servers, other): (Tree, Tree) = std::mem::take(tree)
        .into_iter()
        .partition(|(key, _)| key == "mcpServers" || key == "servers");
    *tree = servers;
    if !other.is_empty() {
        let keys: Vec<String> = other.into_iter().map(|(key, _)| key).collect();
        report.warn(
            &KeyPath::default(),
            format!("only the servers of this file are read, not {}", keys.join(", ")),
            "our own settings belong into a file of their own",
        );
    }
}

/// `servers`, VS Code's word, becomes `mcpServers`.
fn rename_servers(tree: &mut Tree, report: &mut Report) {
    let Some(servers) = tree.shift_remove("servers") else {
        return;
    };
    match (tree.get_mut("mcpServers"), servers) {
        (Some(Value::Object(known)), Value::Object(servers)) => {
            for (name, entry) in servers {
                if known.contains_key(&name) {
                    report.error(
                        &KeyPath::root("servers").join(&name),
                        "the same server stands under `mcpServers` too",
                        "keep one of them",
                    );
                } else {
                    known.insert(name, entry);
                }
            }
        }
        (Some(_), _) => report.error(
            &KeyPath::root("servers"),
            "must be a table of servers, as `mcpServers`",
            "",
        ),
        (None, servers) => {
            tree.insert("mcpServers".to_owned(), servers);
        }
    }
}

/// Translates every entry of the `mcpServers` in a tree.
fn entries(tree: &mut Tree, path: &KeyPath, report: &mut Report) {
    let Some(Value::Object(servers)) = tree.get_mut("mcpServers") else {
        return;
    };
    for (name, entry) in servers {
        if let Value::Object(written) = entry {
            *written = entry::translate(std::mem::take(written), &path.join(name), report);
        }
    }
}

/// The remedy for a key that no entry has.
fn nearest_entry_key(key: &str) -> String {
    nearest_key(key, KEYS.iter().map(|(key, _)| *key))
}

#[cfg(test)]
mod tests;
