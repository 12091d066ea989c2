//! Whether the programs that servers run are there: what a start would find out later.
//!
//! Looks at files and starts nothing. Part of `config check` and `add` alone, because programs come
//! and go while an instance runs.

use std::{collections::BTreeMap, ffi::OsString};

use crate::{
    actor::server::ServerConfig,
    config::{
        load::{Loaded, Sources},
        path::KeyPath,
        problem::Problem,
    },
    id::ServerName,
    upstream::{ConnectError, TransportConfig},
};

/// A warning for each server that could not be started in this environment.
pub fn missing_programs(loaded: &Loaded, sources: &Sources) -> Vec<Problem> {
    let config = &loaded.config;
    let mut found = within(&config.mcp_servers, &KeyPath::root("mcpServers"), loaded, sources);
    for (name, agent) in &config.agents {
        let path = KeyPath::root("agents").join(name.as_str()).join("mcpServers");
        found.extend(within(&agent.private, &path, loaded, sources));
    }
    found
}

fn within(
    servers: &BTreeMap<ServerName, ServerConfig>,
    path: &KeyPath,
    loaded: &Loaded,
    sources: &Sources,
) -> Vec<Problem> {
    let missing = |(name, server): (&ServerName, &ServerConfig)| {
        let TransportConfig::Stdio(stdio) = &server.transport else { return None };
        if stdio.command.is_empty() {
            // That is an error already.
            return None;
        }
        let ours = sources.env.iter();
        let ours = ours.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        match stdio.program(ours) {
            Err(missing @ ConnectError::Spawn { .. }) if server.enabled => {
                let path = path.join(name.as_str()).join("command");
                Some(Problem {
                    file: loaded.origins.nearest(&path).map(str::to_owned),
                    path: path.to_string(),
                    message: missing.to_string(),
                    remedy: String::new(),
                })
            }
            Ok(_) | Err(_) => None,
        }
    };
    servers.iter().filter_map(missing).collect()
}
