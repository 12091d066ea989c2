//! Rules that types cannot state: ranges, names that refer to one another, what is safe to open.
//!
//! Looks at finished settings and changes nothing.

use std::{collections::BTreeMap, fmt::Debug, ops::RangeInclusive, time::Duration};

use super::{
    Config,
    path::KeyPath,
    problem::{Report, nearest_key},
};
use crate::{catalog::ToolFilter, id::ServerName};

mod program;
mod server;

pub use program::missing_programs;
pub(crate) use server::server;

/// Checks everything but the servers themselves, which are checked as they are read.
pub(crate) fn check(config: &Config, report: &mut Report) {
    monitoring(config, report);
    timeouts(config, report);
    limits(config, report);
    catalog(config, report);
    groups(config, report);
    agents(config, report);
    #[cfg(feature = "face-http")]
    face(config, report);
    #[cfg(feature = "cli")]
    telemetry(config, report);
}

fn within<T: PartialOrd + Debug>(
    value: &T,
    range: &RangeInclusive<T>,
    path: &KeyPath,
    report: &mut Report,
) {
    if !range.contains(value) {
        report.error(
            path,
            format!("{value:?} is out of range"),
            format!("{:?} to {:?}", range.start(), range.end()),
        );
    }
}

fn at_least_one(value: bool, path: &KeyPath, report: &mut Report) {
    if !value {
        report.error(path, "must not be 0", "1 or more");
    }
}

fn not_zero(value: Duration, path: &KeyPath, report: &mut Report) {
    if value.is_zero() {
        report.error(path, "must be longer than zero", "such as \"30s\"");
    }
}

fn monitoring(config: &Config, report: &mut Report) {
    let (it, at) = (&config.monitoring, KeyPath::root("monitoring"));
    for (value, key) in [
        (it.health_check_seconds, "health_check_seconds"),
        (it.reconnection_seconds, "reconnection_seconds"),
    ] {
        within(&value, &(1..=3600), &at.join(key), report);
    }
    let hours = at.join("tools_update_hours");
    within(&it.tools_update_hours, &(0.01..=168.0), &hours, report);
    within(&it.cleanup_hours, &(0.1..=720.0), &at.join("cleanup_hours"), report);
}

fn timeouts(config: &Config, report: &mut Report) {
    let (it, at) = (&config.timeouts, KeyPath::root("timeouts"));
    // `drain` may be zero: stop at once.
    for (value, key) in [
        (it.connect, "connect"),
        (it.start, "start"),
        (it.call, "call"),
        (it.call_max, "call_max"),
        (it.health_check, "health_check"),
        (it.hang, "hang"),
    ] {
        not_zero(value, &at.join(key), report);
    }
    if it.call_max < it.call {
        report.error(
            &at.join("call_max"),
            "is shorter than `call`, which it bounds",
            "make it at least as long",
        );
    }
}

fn limits(config: &Config, report: &mut Report) {
    let (it, at) = (&config.limits, KeyPath::root("limits"));
    for (value, key) in [
        (it.connects_per_agent > 0, "connects_per_agent"),
        (it.connects > 0, "connects"),
        (it.body_bytes.as_u64() > 0, "body_bytes"),
        (it.message_bytes.as_u64() > 0, "message_bytes"),
        (it.queue_bytes.as_u64() > 0, "queue_bytes"),
        (it.page_size > 0, "page_size"),
    ] {
        at_least_one(value, &at.join(key), report);
    }
    if it.queue_bytes < it.body_bytes {
        report.error(
            &at.join("queue_bytes"),
            "is smaller than `body_bytes`, so that a call could be too long for any moment",
            "make it at least as large",
        );
    }
}

fn catalog(config: &Config, report: &mut Report) {
    let (it, at) = (&config.catalog, KeyPath::root("catalog"));
    let length = at.join("max_name_length");
    within(&it.max_name_length, &(16..=128), &length, report);
    let separator = it.separator.as_bytes();
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    if separator.is_empty() || separator.len() > 4 || !separator.iter().all(known) {
        report.error(
            &at.join("separator"),
            "is not a separator that every client accepts in a tool's name",
            "1 to 4 letters, digits, `_`, `-` or `.`",
        );
    }
}

fn groups(config: &Config, report: &mut Report) {
    let mut members: BTreeMap<&ServerName, &str> = BTreeMap::new();
    for (name, group) in &config.groups {
        let at = KeyPath::root("groups").join(name);
        let servers = at.join("servers");
        if group.servers.is_empty() {
            report.error(&servers, "a group needs members", "name its servers");
        }
        known_servers(&group.servers, config, &servers, report);
        for server in &group.servers {
            if let Some(other) = members.insert(server, name) {
                report.error(
                    &servers,
                    format!("{server:?} is in the group {other:?} already"),
                    "a server has one failure domain: take it out of one group",
                );
            }
        }
        at_least_one(group.intensity > 0, &at.join("intensity"), report);
        not_zero(group.period, &at.join("period"), report);
    }
}

fn agents(config: &Config, report: &mut Report) {
    for (name, agent) in &config.agents {
        let at = KeyPath::root("agents").join(name.as_str());
        known_servers(&agent.servers, config, &at.join("servers"), report);
        globs(&agent.tools, &at.join("tools"), report);
        for private in agent.private.keys() {
            if config.mcp_servers.contains_key(private) {
                report.error(
                    &at.join("mcpServers").join(private.as_str()),
                    "hides the top-level server of the same name",
                    "choose another name",
                );
            }
        }
    }
}

fn known_servers(names: &[ServerName], config: &Config, path: &KeyPath, report: &mut Report) {
    for name in names {
        if !config.mcp_servers.contains_key(name) {
            let known = config.mcp_servers.keys().map(ServerName::as_str);
            report.error(
                path,
                format!("the server {name:?} is not configured"),
                nearest_key(name.as_str(), known),
            );
        }
    }
}

/// Reports the globs of a filter that do not compile.
fn globs(filter: &ToolFilter, path: &KeyPath, report: &mut Report) {
    for (list, key) in [(&filter.allow, "allow"), (&filter.deny, "deny")] {
        for text in list {
            glob(text, &path.join(key), report);
        }
    }
}

fn glob(text: &str, path: &KeyPath, report: &mut Report) {
    if let Err(error) = globset::Glob::new(text) {
        report.error(
            path,
            format!("{text:?} is not a glob: {}", error.kind()),
            "`*`, `?`, `[ab]` and `{one,two}` are patterns; `[[]` is a plain bracket",
        );
    }
}

#[cfg(feature = "face-http")]
fn face(config: &Config, report: &mut Report) {
    let (it, at) = (&config.server, KeyPath::root("server"));
    not_zero(it.session_idle, &at.join("session_idle"), report);
    not_zero(it.keep_alive, &at.join("keep_alive"), report);
    at_least_one(it.max_sessions > 0, &at.join("max_sessions"), report);
    if !it.public_url.is_empty() {
        server::url(&it.public_url, &at.join("public_url"), report);
    }
    let host = it.host.trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost"
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if it.host.is_empty() {
        report.error(&at.join("host"), "is empty", "such as \"127.0.0.1\"");
    } else if !local && !config.access.insecure {
        report.error(
            &at.join("host"),
            format!(
                "{:?} is reachable from other machines, and callers are not asked who they are",
                it.host
            ),
            "listen on 127.0.0.1, or set access.insecure = true if something else guards the port",
        );
    }
}

#[cfg(feature = "cli")]
fn telemetry(config: &Config, report: &mut Report) {
    let at = KeyPath::root("telemetry");
    let level = &config.telemetry.log.level;
    // A bare word that is no level would be taken for a target, and silence everything else.
    let word = level.split(',').map(str::trim).find(|part| {
        !part.contains(['=', '[']) && part.parse::<tracing::level_filters::LevelFilter>().is_err()
    });
    let problem = match (word, tracing_subscriber::EnvFilter::try_new(level)) {
        (Some(word), _) => Some(format!("{word:?} is not a log level")),
        (None, Err(error)) => Some(format!("{level:?} is not a log filter: {error}")),
        (None, Ok(_)) => None,
    };
    if let Some(problem) = problem {
        report.error(
            &at.join("log").join("level"),
            problem,
            "a level such as \"info\", or directives such as \"info,switchboard=debug\"",
        );
    }
    let endpoint = &config.telemetry.otlp.endpoint;
    if !endpoint.is_empty() {
        server::url(endpoint, &at.join("otlp").join("endpoint"), report);
    }
}
