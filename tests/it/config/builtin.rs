//! What holds without any file.

use serde_json::{Value, json};
use switchboard::{
    config::{Config, schema, show, show_json},
    id::ServerName,
    runtime::RuntimeConfig,
    upstream::TransportConfig,
};

use super::Space;

const DEFAULT: &str = include_str!("../../../config/default.toml");

/// Every key path of a JSON value that is no table.
fn leaves(value: &Value, path: &str, into: &mut Vec<String>) {
    match value.as_object() {
        Some(table) if !table.is_empty() => {
            for (key, value) in table {
                leaves(value, &format!("{path}.{key}"), into);
            }
        }
        Some(_) | None => into.push(path.to_owned()),
    }
}

#[test]
fn the_default_file_equals_the_defaults_of_the_code_and_has_every_key() {
    let mut written: Value = figment::Figment::from(figment_toml(DEFAULT)).extract().unwrap();
    written.as_object_mut().unwrap().remove("mcpServers");
    let text = serde_json::to_string(&written).unwrap();
    let loaded = Space::new().file("default.json", &text).loaded();
    assert_eq!(loaded.config, Config::default());

    let mut known = serde_json::to_value(Config::default()).unwrap();
    known.as_object_mut().unwrap().remove("mcpServers");
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    leaves(&known, "", &mut expected);
    leaves(&written, "", &mut found);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

fn figment_toml(text: &str) -> impl figment::Provider {
    use figment::providers::Format as _;
    figment::providers::Toml::string(text)
}

#[test]
fn the_schema_knows_every_key_of_the_default_file_and_refuses_others() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut written: Value = figment::Figment::from(figment_toml(DEFAULT)).extract().unwrap();
    written["agents"] = json!({"a": {"servers": [], "mcpServers": {"p": {"url": "http://x"}}}});
    written["groups"] = json!({"g": {"servers": ["demo"]}});
    let errors: Vec<String> =
        validator.iter_errors(&written).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    for wrong in [
        json!({"monitorng": {}}),
        json!({"monitoring": "fast"}),
        json!({"limits": {"conects": 1}}),
        json!({"server": {"port": 70000}}),
        json!({"mcpServers": {"a": {"args": "x"}}}),
        json!({"agents": {"a": {"mcpServers": {"p": {"startup": "soon"}}}}}),
        json!({"groups": {"g": {}}}),
        json!({"servers": {"a": {"url": "http://x", "roots": "file:///a"}}}),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
    for right in [
        json!({"monitoring": "production"}),
        json!({"servers": {"a": {"command": ["npx"], "anything": 1}}}),
        json!({"servers": {"a": {"url": "http://x", "roots": ["file:///a", {"uri": "file:///b"}]}}}),
    ] {
        assert!(validator.is_valid(&right), "{right}");
    }
}

#[test]
fn the_commented_keys_of_an_entry_are_right_too() {
    let entry: String = DEFAULT
        .lines()
        .skip_while(|line| !line.starts_with("# What an entry may say"))
        .skip(1)
        .take_while(|line| line.starts_with('#'))
        .filter(|line| line.starts_with("#   ") && line.contains(" = "))
        .map(|line| line.trim_start_matches('#').trim())
        .collect::<Vec<_>>()
        .join("\n");
    assert!(entry.lines().count() >= 14, "{entry}");
    let written = format!("[mcpServers.a]\ncommand = \"a\"\n{entry}");
    let loaded = Space::new().file("a.toml", &written).loaded();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let bare = Space::new().file("a.toml", "[mcpServers.a]\ncommand = \"a\"\n");
    let mut expected = bare.loaded().config.mcp_servers["a"].clone();
    let found = &loaded.config.mcp_servers["a"];
    // Where there is no default, the comment shows an example.
    expected.max_in_flight = found.max_in_flight;
    expected.timeout = found.timeout;
    expected.roots.clone_from(&found.roots);
    expected.tool_rules = found.tool_rules.clone();
    assert_eq!(*found, expected);
}

#[test]
fn without_a_file_there_are_two_demonstration_servers() {
    let loaded = Space::new().loaded();
    let names: Vec<&str> = loaded.config.mcp_servers.keys().map(ServerName::as_str).collect();
    assert_eq!(names, ["clock", "demo"]);
    let TransportConfig::Stdio(clock) = &loaded.config.mcp_servers["clock"].transport else {
        panic!("stdio");
    };
    assert_eq!(clock.command, "/opt/switchboard");
    assert_eq!(clock.args, ["demo-server", "--name", "clock"]);
    assert!(loaded.files.is_empty());
    let runtime = RuntimeConfig::from(loaded.config);
    assert_eq!(runtime.servers.len(), 2);
}

#[test]
fn a_file_of_ones_own_has_no_demonstration_servers() {
    let loaded = Space::new().file("a.toml", "").loaded();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn the_default_file_is_read_where_there_is_one() {
    let space = Space::new().beside("xdg/switchboard/config.yaml", "limits: {connects: 2}");
    let xdg = space.folder.path().join("xdg").display().to_string();
    let space = space.env("XDG_CONFIG_HOME", &xdg);
    let loaded = space.loaded();
    assert_eq!(loaded.config.limits.connects, 2);
    assert_eq!(loaded.files.len(), 1);
    assert!(loaded.config.mcp_servers.is_empty());
}

#[test]
fn what_is_in_force_is_shown_with_its_layer() {
    let space = Space::new()
        .file(
            "a.json",
            r#"{"mcpServers": {"my files": {"command": "files", "timeout": 90000,
                "args": ["--as", "${USER:-nobody}"], "tools": {"get_*": {"retry": "safe"}}}}}"#,
        )
        .env("SWITCHBOARD_LIMITS__CONNECTS", "9")
        .env("SWITCHBOARD_LIMITS__BODY_BYTES", "1500000");
    let loaded = space.loaded();
    let text = show(&loaded);
    for line in [
        "[mcpServers.\"my files\"]",
        "command = \"files\"  # a.json",
        "args = [\"--as\",\"${USER:-nobody}\"]  # a.json",
        "timeout = \"1m 30s\"  # a.json",
        "restart = \"permanent\"  # default",
        "[mcpServers.\"my files\".tools.\"get_*\"]",
        "retry = \"safe\"  # a.json",
        "connects = 9  # environment",
        "body_bytes = \"1500000B\"  # environment",
        "message_bytes = \"64MiB\"  # default",
        "port = 18200  # default",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
    }
    let json = show_json(&loaded);
    assert_eq!(json["config"]["limits"]["connects"], 9);
    assert_eq!(json["origins"]["limits.connects"], "environment");
    assert_eq!(json["origins"]["mcpServers.\"my files\".timeout"], "a.json");
}
