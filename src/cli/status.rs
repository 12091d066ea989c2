//! `status`: what a running instance is doing.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::{Place, control::Control, output, table::Table};
use crate::app::counted;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Prints a line about the whole and a table of the connections.
pub(super) async fn run(args: Args) -> Result<()> {
    let control = Control::of(&args.place.state_dir()?);
    let status: Value = control.get("/status").await?;
    if args.json {
        output::json(&status)?;
    } else {
        let status = Status::deserialize(status)?;
        output::data(&status.render(output::width()))?;
    }
    Ok(())
}

/// The part of the answer that is shown.
#[derive(Debug, Deserialize)]
struct Status {
    phase: String,
    ready: bool,
    uptime_seconds: u64,
    calls: usize,
    tools: usize,
    state_problem: Option<String>,
    servers: Vec<Connection>,
}

#[derive(Debug, Deserialize)]
struct Connection {
    owner: String,
    server: String,
    session: Option<String>,
    state: String,
    health: String,
    incarnation: u64,
    cause: Option<String>,
    next_try_ms: Option<u64>,
    pid: Option<u32>,
    tools: usize,
    calls: u64,
}

impl Status {
    fn render(&self, width: Option<usize>) -> String {
        let uptime = humantime::format_duration(Duration::from_secs(self.uptime_seconds));
        let not = if self.ready { "" } else { ", not ready" };
        let head = format!(
            "{}{not} for {uptime}: {}, {}, {}\n",
            self.phase,
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
    fn cells(&self) -> [String; 10] {
        let next_try = self.next_try_ms.map(|millis| {
            // Tenths are enough to see it coming.
            let tenths = Duration::from_millis(millis.next_multiple_of(100));
            format!("in {}", humantime::format_duration(tenths))
        });
        [
            match &self.session {
                Some(session) => format!("{} (session {session})", self.server),
                None => self.server.clone(),
            },
            self.owner.clone(),
            self.state.clone(),
            self.health.clone(),
            self.incarnation.to_string(),
            self.pid.map_or_else(String::new, |pid| pid.to_string()),
            self.tools.to_string(),
            self.calls.to_string(),
            next_try.unwrap_or_default(),
            self.cause.clone().unwrap_or_default(),
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
        });
        let waiting = json!({
            "owner": owner, "server": "search", "state": "backoff", "incarnation": 1,
            "cause": "exit code 1", "next_try_ms": 2050, "pid": null, "tools": 0, "calls": 0,
            "health": "reconnecting",
        });
        let whole = json!({
            "phase": "serving", "ready": true, "uptime_seconds": 3725, "calls": 7, "tools": 2,
            "servers": [ready, waiting],
        });
        Status::deserialize(whole).unwrap()
    }

    #[test]
    fn a_connection_is_a_line_with_its_cause() {
        assert_eq!(
            status("store").render(None),
            "serving for 1h 2m 5s: 2 connections, 2 tools, 7 calls\n\
             SERVER  STATE    HEALTH        #  PID  TOOLS  CALLS  NEXT TRY     CAUSE\n\
             github  ready    healthy       3  41   2      7\n\
             search  backoff  reconnecting  1       0      0      in 2s 100ms  exit code 1\n"
        );
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
    fn owners_are_shown_where_there_are_agents() {
        let text = status("research").render(None);
        assert!(text.contains("SERVER  OWNER     STATE"), "{text}");
        assert!(text.contains("search  research  backoff"), "{text}");
    }
}
