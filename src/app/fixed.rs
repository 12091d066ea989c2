//! Settings that hold from the start of the program to its end.
//!
//! Pure: it compares two configurations, and says what a restart would change.

use std::time::Duration;

use serde_json::Value;

use crate::config::{Config, KeyPath};

/// Settings that differ from those that the parts were started with, and cannot follow.
pub(super) fn restart_needed(started: &Config, wanted: &Config) -> Vec<String> {
    let time = |duration: Duration| humantime::format_duration(duration).to_string();
    let parts = |config: &Config| {
        let Config { server, limits, telemetry, .. } = config;
        serde_json::json!({
            "server": {
                "host": server.host,
                "port": server.port,
                "session_idle": time(server.session_idle),
                "max_sessions": server.max_sessions,
                "keep_alive": time(server.keep_alive),
            },
            "limits": { "body_bytes": limits.body_bytes },
            "telemetry": { "otlp": telemetry.otlp, "log": { "format": telemetry.log.format } },
        })
    };
    let mut needed = Vec::new();
    differing(&KeyPath::default(), &parts(started), &parts(wanted), &mut needed);
    needed
}

fn differing(path: &KeyPath, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let other = after.get(key).unwrap_or(&Value::Null);
                differing(&path.join(key), value, other, found);
            }
        }
        _ if before != after => found.push(format!("{path} ({before} until then, not {after})")),
        _ => {}
    }
}
