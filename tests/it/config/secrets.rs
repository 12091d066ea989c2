//! No secret is ever shown: not in what is in force, not in an error, not in a warning.

use switchboard::config::{show, show_json};

use super::Space;

const CANARY: &str = "c4n4ry";

#[test]
fn what_is_shown_has_no_secret() {
    let space = Space::new()
        .file(
            "a.json",
            r#"{
              "mcpServers": {
                "child": {
                  "command": "npx",
                  "args": ["--token", "c4n4ry", "--key=c4n4ry", "${FROM_ENV}", "-e", "API_KEY=c4n4ry",
                           "postgres://ada:c4n4ry@db/x?password=c4n4ry"],
                  "env": {"TOKEN": "c4n4ry", "COPY": "${FROM_ENV:-c4n4ry}", "N": "${FROM_FILE}"},
                  "envFile": "vars"
                },
                "remote": {
                  "url": "https://ada:c4n4ry@example.com/mcp?key=c4n4ry&v=${FROM_ENV}",
                  "headers": {"Authorization": "Bearer c4n4ry"}
                }
              },
              "agents": {"a": {"mcpServers": {"own": {"command": "x", "env": {"T": "c4n4ry"}}}}},
              "telemetry": {"otlp": {"endpoint": "http://ada:c4n4ry@collector"}}
            }"#,
        )
        .beside(".env", "FROM_FILE=c4n4ry\n")
        .beside("vars", "OTHER=c4n4ry\n")
        .env("FROM_ENV", CANARY);
    let loaded = space.loaded();
    let text = show(&loaded);
    assert!(!text.contains(CANARY), "{text}");
    assert!(text.contains("OTHER = \"***\""), "{text}");
    assert!(text.contains("https://***@example.com/mcp?key=***&v=***"), "{text}");
    assert!(!show_json(&loaded).to_string().contains(CANARY));
    assert!(!format!("{:?}", loaded.warnings).contains(CANARY));
    assert!(!format!("{:?}", space.sources).contains(CANARY));
}

#[test]
fn no_error_has_a_secret() {
    let wrong = [
        r#"{"mcpServers": {"a": {"command": "x", "env": "TOKEN=c4n4ry"}}}"#,
        r#"{"mcpServers": {"a": {"command": "x", "env": {"TOKEN": ["c4n4ry"]}}}}"#,
        r#"{"mcpServers": {"a": {"command": "x", "env": {"A=B": "c4n4ry"}}}}"#,
        r#"{"mcpServers": {"a": {"command": "x", "args": "--token=c4n4ry"}}}"#,
        r#"{"mcpServers": {"a": {"command": "x", "args": [{"token": "c4n4ry"}]}}}"#,
        r#"{"mcpServers": {"a": {"command": {"x": "c4n4ry"}}}}"#,
        r#"{"mcpServers": {"a": {"url": "ftp://c4n4ry@example.com"}}}"#,
        r#"{"mcpServers": {"a": {"url": "https://c4n4ry@example.com:c4n4ry"}}}"#,
        r#"{"mcpServers": {"a": {"url": "https://x", "headers": {"X": "c4n4ry\n"}}}}"#,
        r#"{"mcpServers": {"a": {"url": "https://x", "headers": ["X: c4n4ry"]}}}"#,
        r#"{"mcpServers": {"a": {"command": "${NOPE}", "env": {"X": "${SECRET}"}}}}"#,
        r#"{"mcpServers": {"a": "c4n4ry"}}"#,
        r#"{"mcpServers": ["c4n4ry"]}"#,
        r#"{"telemetry": {"otlp": "http://c4n4ry@collector"}}"#,
        r#"{"telemetry": {"otlp": {"endpoint": "c4n4ry"}}}"#,
        r#"{"mcpServers": {"a": {"command": "c4n4ry" "#,
    ];
    for text in wrong {
        let space = Space::new().file("a.json", text).env("SECRET", CANARY);
        let errors = space.load().expect_err(text);
        let shown = format!("{errors} {errors:?}");
        assert!(!shown.contains(CANARY), "{text}: {shown}");
        assert!(!shown.contains("Option<"), "{text}: {shown}");
    }
}
