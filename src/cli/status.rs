//! `status`: what a running instance is doing.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::{asking::Asking, output, table::Table};
use crate::{app::counted, runtime::told};

/// Prints a line about the whole and a table of the connections.
pub(super) async fn run(asking: Asking) -> Result<()> {
    let status: Value = asking.control()?.get("/status").await?;
    if asking.json {
        output::json(&status)?;
    } else {
        let status = Status::deserialize(status)?;
        output::data(&status.render(output::width()))?;
    }
    Ok(())
}

/// The part of the answer that is shown, here and by `tree`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    phase: String,
    ready: bool,
    uptime_seconds: u64,
    pub(super) calls: usize,
    pub(super) tools: usize,
    pub(super) agents: Vec<String>,
    state_problem: Option<String>,
    pub(super) servers: Vec<Connection>,
}

/// One connection.
#[derive(Debug, Deserialize)]
pub(super) struct Connection {
    pub(super) owner: String,
    server: String,
    session: Option<String>,
    pub(super) state: String,
    health: String,
    pub(super) incarnation: u64,
    since_ms: Option<u64>,
    pub(super) cause: Option<String>,
    cause_ms: Option<u64>,
    next_try_ms: Option<u64>,
    pub(super) pid: Option<u32>,
    tools: usize,
    calls: u64,
    pub(super) in_flight: usize,
    pub(super) waiting: usize,
    /// An instance of an earlier version does not say.
    #[serde(default)]
    pub(super) asking: usize,
    /// Nor whether readiness waits for it.
    #[serde(default)]
    required: bool,
}

/// Where the whole stands and for how long.
pub(super) fn uptime(status: &Status) -> String {
    let uptime = humantime::format_duration(Duration::from_secs(status.uptime_seconds));
    if status.ready {
        return format!("{} for {uptime}", status.phase);
    }
    let missing = status.servers.iter().filter(|server| server.is_missing());
    let missing: Vec<String> = missing.map(Connection::standing).collect();
    let names = if missing.is_empty() { "" } else { ", waiting for " };
    format!("{} (up {uptime}), not ready{names}{}", status.phase, missing.join(", "))
}

impl Status {
    fn render(&self, width: Option<usize>) -> String {
        let ready = self.servers.iter().filter(|server| server.state == "ready").count();
        let head = format!(
            "{}: {}, {ready} ready, {}, {}\n",
            uptime(self),
            counted(self.servers.len(), "connection"),
            counted(self.tools, "tool"),
            counted(self.calls, "call"),
        );
        let problem = self.state_problem.as_ref();
        let kept = problem
            .map_or_else(String::new, |why| format!("state is kept in memory only: {why}\n"));
        let owners: BTreeSet<&str> = self.servers.iter().map(|it| &*it.owner).collect();
        let with_owner = owners.iter().any(|owner| *owner != "store");
        let columns = [
            "SERVER", "OWNER", "STATE", "HEALTH", "#", "PID", "TOOLS", "CALLS", "NEXT TRY", "CAUSE",
        ];
        let shown = |column: usize| column != 1 || with_owner;
        let pick = |cells: [String; 10]| {
            let cells = cells.into_iter().enumerate();
            cells.filter(move |(column, _)| shown(*column)).map(|(_, cell)| cell)
        };
        let names = columns.into_iter().enumerate();
        let names = names.filter(|(column, _)| shown(*column)).map(|(_, name)| name);
        let mut table = Table::new(names);
        for server in &self.servers {
            table.row(pick(server.cells()));
        }
        head + &kept + &table.render(width)
    }
}

impl Connection {
    /// The server, and whose session's own connection it is.
    pub(super) fn name(&self) -> String {
        match &self.session {
            Some(session) => format!("{} (session {session})", self.server),
            None => self.server.clone(),
        }
    }

    /// Whether readiness waits for it. One that its first call starts counts as ready.
    fn is_missing(&self) -> bool {
        self.required && !matches!(&*self.state, "ready" | "idle")
    }

    /// Its name, its state, and for how long it has been in it.
    fn standing(&self) -> String {
        let since = self.since().map(|since| format!(" for {}", told(since)));
        format!("{} ({}{})", self.name(), self.state, since.unwrap_or_default())
    }

    /// Whether it is this owner's connection to this server.
    pub(super) fn is(&self, owner: &str, server: &str, session: Option<&str>) -> bool {
        self.owner == owner && self.server == server && self.session.as_deref() == session
    }

    /// Whether it is a connection to this server.
    pub(super) fn is_of(&self, server: &str) -> bool {
        self.server == server
    }

    /// How it is. One that sleeps until its first call is not on its way anywhere.
    fn health(&self) -> &str {
        if self.state == "idle" { "asleep" } else { &self.health }
    }

    /// How long it has been in its state.
    pub(super) fn since(&self) -> Option<Duration> {
        self.since_ms.map(Duration::from_millis)
    }

    /// How long it is until the next try.
    pub(super) fn next_try(&self) -> Option<Duration> {
        self.next_try_ms.map(Duration::from_millis)
    }

    /// The cause, and how long ago it came about.
    fn explained(&self) -> String {
        let ago = self.cause_ms.map(Duration::from_millis);
        match (&self.cause, ago) {
            (Some(cause), Some(ago)) => format!("{} ago: {cause}", told(ago)),
            (Some(cause), None) => cause.clone(),
            (None, _) => String::new(),
        }
    }

    fn cells(&self) -> [String; 10] {
        let next_try = self.next_try().map(|next| format!("in {}", told(next)));
        [
            self.name(),
            self.owner.clone(),
            self.state.clone(),
            self.health().to_owned(),
            self.incarnation.to_string(),
            self.pid.map_or_else(String::new, |pid| pid.to_string()),
            // Its tools are listed over the connection that all share.
            self.session.as_ref().map_or_else(|| self.tools.to_string(), |_| String::new()),
            self.calls.to_string(),
            next_try.unwrap_or_default(),
            self.explained(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(owner: &str) -> Status {
        let ready = json!({
            "owner": "store", "server": "github", "state": "ready", "incarnation": 3,
            "cause": null, "next_try_ms": null, "pid": 41, "tools": 2, "calls": 7, "health": "healthy",
            "in_flight": 0, "waiting": 0,
        });
        let waiting = json!({
            "owner": owner, "server": "search", "state": "backoff", "incarnation": 1,
            "cause": "exit code 1", "cause_ms": 3000, "next_try_ms": 2049, "pid": null, "tools": 0, "calls": 0,
            "health": "reconnecting", "in_flight": 0, "waiting": 0,
        });
        let whole = json!({
            "phase": "serving", "ready": true, "uptime_seconds": 3725, "calls": 7, "tools": 2,
            "agents": [], "servers": [ready, waiting],
        });
        Status::deserialize(whole).unwrap()
    }

    #[test]
    fn a_connection_is_a_line_with_its_cause() {
        assert_eq!(
            status("store").render(None),
            "serving for 1h 2m 5s: 2 connections, 1 ready, 2 tools, 7 calls\n\
             SERVER  STATE    HEALTH        #  PID  TOOLS  CALLS  NEXT TRY  CAUSE\n\
             github  ready    healthy       3  41   2      7\n\
             search  backoff  reconnecting  1       0      0      in 2.0 s  3.0 s ago: exit code 1\n"
        );
    }

    #[test]
    fn an_instance_that_is_not_ready_says_which_server_is_missing_and_since_when() {
        let mut status = Status { ready: false, ..status("store") };
        for server in &mut status.servers {
            (server.required, server.since_ms) = (true, Some(2000));
        }
        let head = "serving (up 1h 2m 5s), not ready, waiting for search (backoff for 2.0 s)";
        assert_eq!(uptime(&status), head);
        status.servers.clear();
        assert_eq!(uptime(&status), "serving (up 1h 2m 5s), not ready");
    }

    #[test]
    fn a_state_that_cannot_be_written_is_told() {
        let status = Status { state_problem: Some("disk full".to_owned()), ..status("store") };
        let text = status.render(None);
        assert!(
            text.contains("7 calls\nstate is kept in memory only: disk full\nSERVER"),
            "{text}"
        );
    }

    #[test]
    fn the_tools_of_a_sessions_own_connection_are_blank() {
        let mut status = status("store");
        for server in &mut status.servers {
            (server.session, server.tools) = (Some("k".to_owned()), 0);
        }
        let text = status.render(None);
        assert!(text.contains("healthy       3  41          7"), "{text}");
    }

    #[test]
    fn owners_are_shown_where_there_are_agents() {
        let text = status("research").render(None);
        assert!(text.contains("SERVER  OWNER     STATE"), "{text}");
        assert!(text.contains("search  research  backoff"), "{text}");
    }
}
