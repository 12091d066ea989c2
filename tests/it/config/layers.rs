//! Later layers win, key by key, and every value knows where it came from.

use std::time::Duration;

use switchboard::{
    config::{KeyPath, Overrides, Profile},
    restart::Strategy,
    runtime::{MonitoringConfig, Retry, Startup},
    upstream::{TransportConfig, stdio::InheritEnv},
};

use super::Space;

const TOML: &str = r#"
[mcpServers."My Files"]
command = "files"
args = ["--root", "/data"]
startup = "lazy"
max_in_flight = 4
inherit_env = ["SSH_AUTH_SOCK"]
timeout = "2m"
tools = { deny = ["rm_*"], "get_*" = { retry = "safe", timeout = "2m", action = "req_llm" } }

[mcpServers.tunnel]
command = ["ssh", "-N"]

[groups.database]
servers = ["tunnel", "My Files"]
strategy = "rest_for_one"

[agents.research]
servers = ["My Files"]
tools = { deny = ["files_write*"] }
[agents.research.mcpServers.private]
serverUrl = "http://127.0.0.1:9000/mcp"

[monitoring]
cleanup_hours = 12

[limits]
body_bytes = "8MiB"
"#;

const YAML: &str = r#"
mcpServers:
  My Files:
    command: files
    args: [--root, /data]
    startup: lazy
    max_in_flight: 4
    inherit_env: [SSH_AUTH_SOCK]
    timeout: 120
    tools:
      deny: ["rm_*"]
      get_*: {retry: safe, timeout: 2m, action: req_llm}
  tunnel:
    command: ssh
    args: [-N]
groups:
  database: {servers: [tunnel, My Files], strategy: rest_for_one}
agents:
  research:
    servers: [My Files]
    tools: {deny: ["files_write*"]}
    mcpServers:
      private: {httpUrl: "http://127.0.0.1:9000/mcp"}
monitoring: {cleanup_hours: 12}
limits: {body_bytes: 8MiB}
"#;

const JSON: &str = r#"{
  // the same again
  "mcpServers": {
    "My Files": {
      "command": "files", "args": ["--root", "/data"], "startup": "lazy", "max_in_flight": 4,
      "inherit_env": ["SSH_AUTH_SOCK"], "timeout": 120000,
      "tools": {"deny": ["rm_*"], "get_*": {"retry": "safe", "timeout": "2m", "action": "req_llm"}},
    },
    "tunnel": {"command": ["ssh"], "args": ["-N"], "type": "local"},
  },
  "groups": {"database": {"servers": ["tunnel", "My Files"], "strategy": "rest_for_one"}},
  "agents": {
    "research": {
      "servers": ["My Files"],
      "tools": {"deny": ["files_write*"]},
      "mcpServers": {"private": {"url": "http://127.0.0.1:9000/mcp", "type": "streamableHttp"}},
    },
  },
  "monitoring": {"cleanup_hours": 12},
  "limits": {"body_bytes": "8MiB"},
}"#;

#[test]
fn the_three_formats_mean_the_same() {
    let toml = Space::new().file("a.toml", TOML).loaded().config;
    let yaml = Space::new().file("a.yaml", YAML).loaded().config;
    let json = Space::new().file("a.json", JSON).loaded().config;
    assert_eq!(toml, yaml);
    assert_eq!(toml, json);

    let files = &toml.mcp_servers["My Files"];
    assert_eq!(files.startup, Startup::Lazy);
    assert_eq!(files.timeout, Some(Duration::from_mins(2)));
    assert_eq!(files.tool_rules["get_*"].retry, Some(Retry::Safe));
    let TransportConfig::Stdio(stdio) = &files.transport else {
        panic!("{files:?}");
    };
    assert_eq!(stdio.inherit_env, InheritEnv::Names(vec!["SSH_AUTH_SOCK".to_owned()]));
    assert_eq!(toml.groups["database"].strategy, Strategy::RestForOne);
    assert_eq!(toml.agents["research"].private.len(), 1);
}

#[test]
fn every_layer_is_on_top_of_those_before_it() {
    let file = |port: u16| format!("[server]\nport = {port}\n");
    let mut space = Space::new();
    assert_eq!(space.loaded().config.server.port, 18200);
    space = space.file("one.toml", &file(1));
    assert_eq!(space.loaded().config.server.port, 1);
    space = space.file("two.json", "{\"server\": {\"port\": 2}}");
    assert_eq!(space.loaded().config.server.port, 2);
    space = space.beside(".env", "SWITCHBOARD_SERVER__PORT=3\n");
    assert_eq!(space.loaded().config.server.port, 3);
    space = space.env("SWITCHBOARD_SERVER__PORT", "4");
    assert_eq!(space.loaded().config.server.port, 4);
    space.sources.overrides = Overrides { host: Some("localhost".to_owned()), port: Some(5) };
    let loaded = space.loaded();
    assert_eq!(loaded.config.server.port, 5);
    assert_eq!(loaded.config.server.host, "localhost");
    assert_eq!(loaded.files.len(), 2);
}

#[test]
fn every_value_knows_its_layer() {
    let mut space = Space::new()
        .file(
            "one.toml",
            "monitoring = \"production\"\n[mcpServers.a]\ncommand = \"a\"\nargs = [\"x\"]\n",
        )
        .file("two.toml", "[mcpServers.a]\nargs = [\"y\"]\n")
        .env("SWITCHBOARD_TIMEOUTS__CALL", "90s");
    space.sources.overrides.port = Some(0);
    let loaded = space.loaded();
    let layer = |path: &[&str]| {
        let path = path.iter().fold(KeyPath::default(), |path, key| path.join(key));
        loaded.origins.get(&path).unwrap_or("none").to_owned()
    };
    assert_eq!(layer(&["mcpServers", "a", "command"]), "one.toml");
    assert_eq!(layer(&["mcpServers", "a", "args"]), "two.toml");
    assert_eq!(layer(&["timeouts", "call"]), "environment");
    assert_eq!(layer(&["timeouts", "connect"]), "default");
    assert_eq!(layer(&["server", "port"]), "command line");
    assert_eq!(layer(&["monitoring", "health_check_seconds"]), "profile production");
    assert_eq!(layer(&["monitoring", "enable_reconnection"]), "default");
}

#[test]
fn a_profile_stands_under_the_files_and_the_command_line_chooses_it() {
    let mut space = Space::new()
        .file("a.yaml", "monitoring: development")
        .file("b.toml", "[monitoring]\ncleanup_hours = 1\n");
    let monitoring = space.loaded().config.monitoring;
    assert_eq!(monitoring.health_check_seconds, 15);
    assert!((monitoring.cleanup_hours - 1.0).abs() < f64::EPSILON);
    space.sources.profile = Some(Profile::Production);
    let monitoring = space.loaded().config.monitoring;
    assert_eq!(monitoring.health_check_seconds, 60);
    assert!((monitoring.cleanup_hours - 1.0).abs() < f64::EPSILON);
    space.sources.profile = None;
    let space = space
        .env("SWITCHBOARD_MONITORING", "production")
        .env("SWITCHBOARD_MONITORING__RECONNECTION_SECONDS", "7");
    let monitoring = space.loaded().config.monitoring;
    assert_eq!(monitoring.health_check_seconds, 60);
    assert_eq!(monitoring.reconnection_seconds, 7);
}

#[test]
fn variables_of_the_environment_reach_every_key() {
    let loaded = Space::new()
        .file("a.json", r#"{"mcpServers": {"my-files": {"command": "a"}}}"#)
        .env("SWITCHBOARD_MCPSERVERS__MY_FILES__ENV__Token", "007")
        .env("SWITCHBOARD_MCPSERVERS__MY_FILES__ARGS", r#"["-v", 1]"#)
        .env("SWITCHBOARD_MCPSERVERS__MY_FILES__MAX_IN_FLIGHT", "3")
        .env("SWITCHBOARD_mcpServers__newOne__serverUrl", "http://127.0.0.1/mcp")
        .env("SWITCHBOARD_AGENTS__research__SERVERS", r#"["newOne"]"#)
        .env("SWITCHBOARD_MONITORING__ENABLE_RECONNECTION", "false")
        .env("SWITCHBOARD_MONITORING__TOOLS_UPDATE_HOURS", "0.1")
        .env("SWITCHBOARD_SERVER__PUBLIC_URL", "https://example.com")
        .env("SWITCHBOARD_TELEMETRY__LOG__FORMAT", "json")
        // Kubernetes sets these for a service of our name, and the command line has its own.
        .env("SWITCHBOARD_PORT", "tcp://10.0.0.1:80")
        .env("SWITCHBOARD_STATE_DIR", "/tmp")
        .loaded();
    let files = &loaded.config.mcp_servers["my-files"];
    assert_eq!(files.max_in_flight.map(Into::into), Some(3_u32));
    let TransportConfig::Stdio(stdio) = &files.transport else {
        panic!("{files:?}");
    };
    assert_eq!(stdio.env["Token"].expose(), "007");
    assert_eq!(stdio.args, ["-v", "1"]);
    assert_eq!(loaded.config.mcp_servers.len(), 2);
    assert_eq!(loaded.config.agents["research"].servers[0].as_str(), "newOne");
    assert!(!loaded.config.monitoring.enable_reconnection);
    assert!((loaded.config.monitoring.tools_update_hours - 0.1).abs() < f64::EPSILON);
    assert_eq!(loaded.config.server.public_url, "https://example.com");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn entries_use_the_variables_of_env_files_and_of_the_environment() {
    let space = Space::new()
        .file(
            "conf/a.toml",
            "[mcpServers.a]\ncommand = \"a\"\nargs = [\"${ONE}\", \"${TWO}\", \"$$\"]\n",
        )
        .beside("conf/.env", "ONE=\"from the file\"\nTWO='from the file'\n")
        .env("TWO", "from the environment");
    let loaded = space.loaded();
    let TransportConfig::Stdio(stdio) = &loaded.config.mcp_servers["a"].transport else {
        panic!("stdio");
    };
    assert_eq!(stdio.args, ["from the file", "from the environment", "$"]);
}

#[test]
fn relative_paths_start_from_the_file_that_wrote_them() {
    let space = Space::new()
        .file("one/a.toml", "[mcpServers.a]\ncommand = \"a\"\ncwd = \"sub\"\n")
        .file("two/b.toml", "[mcpServers.a]\nenvFile = \"vars\"\nargs = [\"${workspaceFolder}\"]\n")
        .beside("two/vars", "NAME=value\n");
    let loaded = space.loaded();
    let TransportConfig::Stdio(stdio) = &loaded.config.mcp_servers["a"].transport else {
        panic!("stdio");
    };
    let folder = space.folder.path();
    assert_eq!(stdio.cwd.as_deref(), Some(folder.join("one/sub").as_path()));
    assert_eq!(stdio.args, [folder.join("two").display().to_string()]);
    assert_eq!(stdio.env["NAME"].expose(), "value");
}

#[test]
fn a_later_file_switches_a_server_off_in_any_words() {
    let loaded = Space::new()
        .file("a.json", r#"{"mcpServers": {"a": {"command": "a", "disabled": false}}}"#)
        .file("b.toml", "[mcpServers.a]\nenabled = false\n")
        .loaded();
    assert!(!loaded.config.mcp_servers["a"].enabled);
}

#[test]
fn a_profile_replaces_only_what_it_names() {
    for (profile, expected) in
        [(Profile::Production, (60, 4.0, 120, 24.0)), (Profile::Development, (15, 1.0, 30, 24.0))]
    {
        let mut space = Space::new();
        space.sources.profile = Some(profile);
        let (health, tools, reconnection, cleanup) = expected;
        let monitoring = MonitoringConfig {
            health_check_seconds: health,
            tools_update_hours: tools,
            reconnection_seconds: reconnection,
            cleanup_hours: cleanup,
            ..MonitoringConfig::default()
        };
        assert_eq!(space.loaded().config.monitoring, monitoring, "{profile}");
    }
}
