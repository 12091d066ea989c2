//! Every spelling of an entry's keys.

use serde_json::json;

use super::*;

/// A file's servers in our keys, and the paths of the warnings.
fn translated(servers: &Value) -> (Value, Vec<String>) {
    let mut tree = Tree::from_iter([("mcpServers".to_owned(), servers.clone())]);
    let mut report = Report::default();
    assert_eq!(translate(&mut tree, "a.json", &mut report), None);
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let warned = report.warnings.into_iter().map(|problem| problem.path);
    (tree.remove("mcpServers").unwrap(), warned.collect())
}

#[test]
fn every_alias_is_a_key_of_ours() {
    for (written, ours) in [
        (json!({"httpUrl": "u"}), json!({"url": "u"})),
        (json!({"roots": ["file:///a"]}), json!({"roots": [{"uri": "file:///a"}]})),
        (json!({"serverUrl": "u"}), json!({"url": "u"})),
        (json!({"working_dir": "d"}), json!({"cwd": "d"})),
        (json!({"env_file": "f"}), json!({"envFile": "f"})),
        (json!({"disabled": true}), json!({"enabled": false})),
        (json!({"type": "local"}), json!({"type": "stdio"})),
        (json!({"type": "STDIO"}), json!({"type": "stdio"})),
        (json!({"type": "remote"}), json!({"type": "http"})),
        (json!({"type": "streamableHttp"}), json!({"type": "http"})),
        (json!({"type": "streamable_http"}), json!({"type": "http"})),
        (json!({"transport": "streamable-http"}), json!({"type": "http"})),
        (json!({"transportType": "http"}), json!({"type": "http"})),
        (json!({"type": "websocket"}), json!({"type": "ws"})),
        (json!({"type": "other"}), json!({"type": "other"})),
        (json!({"timeout": 999}), json!({"timeout": "16m 39s"})),
        (json!({"timeout": 1000}), json!({"timeout": "1s"})),
        (json!({"timeout": 1.5}), json!({"timeout": "1s 500ms"})),
        (json!({"timeout": -1}), json!({"timeout": "0s"})),
        (json!({"timeout": "2m"}), json!({"timeout": "2m"})),
        (json!({"args": ["-p", 80, true]}), json!({"args": ["-p", "80", "true"]})),
        (json!({"env": {"A": 1, "B": "x"}}), json!({"env": {"A": "1", "B": "x"}})),
        (
            json!({"command": ["a", "b"], "args": ["c"]}),
            json!({"command": "a", "args": ["b", "c"]}),
        ),
        (json!({"tools": ["*"]}), json!({"tools": {"allow": ["*"]}})),
        (json!({"includeTools": ["a"]}), json!({"tools": {"allow": ["a"]}})),
        (
            json!({"tools": {"deny": ["a*"]}, "disabledTools": ["b*"], "excludeTools": ["c"]}),
            json!({"tools": {"deny": ["a*", "c", "b[*]"]}}),
        ),
        (json!({"alwaysAllow": ["a"], "autoApprove": [], "trust": true}), json!({})),
    ] {
        let (entries, warned) = translated(&json!({"a": written}));
        assert_eq!(entries["a"], ours, "{written}");
        assert!(warned.is_empty(), "{written}: {warned:?}");
    }
}

#[test]
fn what_is_not_read_is_named() {
    let (entries, warned) = translated(&json!({
        "a": {"url": "one", "httpUrl": "two", "dev": {"watch": "x"}, "gallery": true}
    }));
    assert_eq!(entries["a"], json!({"url": "two"}));
    assert_eq!(warned, ["mcpServers.a.url", "mcpServers.a.dev", "mcpServers.a.gallery"]);
}

#[test]
fn private_servers_of_agents_are_entries_too() {
    let mut tree: Tree = serde_json::from_value(json!({
        "agents": {"a": {"mcpServers": {"p": {"serverUrl": "u"}}}},
        "servers": {"q": {"disabled": true}},
        "inputs": [],
        "monitoring": "production"
    }))
    .unwrap();
    let profile = translate(&mut tree, "a.json", &mut Report::default());
    assert_eq!(profile.as_deref(), Some("production"));
    assert_eq!(
        Value::Object(tree),
        json!({
            "agents": {"a": {"mcpServers": {"p": {"url": "u"}}}},
            "mcpServers": {"q": {"enabled": false}}
        })
    );
}

#[test]
fn of_a_clients_own_settings_only_the_servers_are_read() {
    let mut tree: Tree = serde_json::from_value(json!({
        "mcp": {"servers": {"a": {"command": "a"}}, "inputs": []},
        "telemetry": {"enabled": true},
        "editor.fontSize": 14
    }))
    .unwrap();
    let mut report = Report::default();
    translate(&mut tree, "settings.json", &mut report);
    assert_eq!(Value::Object(tree), json!({"mcpServers": {"a": {"command": "a"}}}));
    assert_eq!(
        report.warnings[0].message,
        "only the servers of this file are read, not telemetry, editor.fontSize"
    );
}
