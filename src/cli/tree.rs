//! `tree`: the supervision tree of a running instance, once or as it changes.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{
    asking::Asking,
    control::Control,
    output,
    status::{Connection, Status, uptime},
};
use crate::{app::counted, runtime::told};

mod watch;

/// Arguments of `tree`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    asking: Asking,
    /// Draw it anew on every change, until Ctrl-C or q
    #[arg(long, short, conflicts_with = "json")]
    watch: bool,
}

/// Prints the tree, or shows it until that is enough.
pub(super) async fn run(args: Args) -> Result<()> {
    let control = args.asking.control()?;
    if args.watch {
        return watch::watch(&control).await;
    }
    if args.asking.json {
        output::json(&control.get::<serde_json::Value>("/status").await?)?;
    } else {
        output::foreign(&ask(&control).await?.join("\n"))?;
    }
    Ok(())
}

/// The tree of this moment, a line each.
async fn ask(control: &Control) -> Result<Vec<String>> {
    Ok(lines(&control.get::<Status>("/status").await?))
}

fn lines(status: &Status) -> Vec<String> {
    let mut owners: BTreeMap<&str, Vec<&Connection>> = BTreeMap::new();
    for agent in &status.agents {
        owners.entry(agent).or_default();
    }
    for connection in &status.servers {
        owners.entry(&connection.owner).or_default().push(connection);
    }
    let store = owners.remove("store").unwrap_or_default();
    let mut lines = vec![
        format!("root  {}, {}", uptime(status), counted(status.calls, "call")),
        format!("├── router  {}", counted(status.tools, "tool")),
        "├── agents".to_owned(),
    ];
    let last = owners.len();
    for (at, (owner, connections)) in std::iter::once(("store", store)).chain(owners).enumerate() {
        let (branch, below) =
            if at == last { ("└──", "    ") } else { ("├──", "│   ") };
        lines.push(format!("│   {branch} {owner}"));
        let names: Vec<String> = connections.iter().map(|it| it.name()).collect();
        let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        for (at, (connection, name)) in connections.iter().zip(names).enumerate() {
            let branch = if at + 1 == connections.len() { "└──" } else { "├──" };
            lines.push(format!("│   {below}{branch} {name:<widest$}  {}", standing(connection)));
        }
    }
    lines.push("└── janitor".to_owned());
    lines
}

/// Life, state, age, and what is going on.
fn standing(connection: &Connection) -> String {
    let mut text = format!("#{} {}", connection.incarnation, connection.state);
    if let Some(since) = connection.since() {
        text = format!("{text} for {}", told(since));
    }
    let facts = [
        connection.pid.map(|pid| format!("pid {pid}")),
        (connection.in_flight > 0).then(|| format!("{} in flight", connection.in_flight)),
        (connection.asking > 0).then(|| format!("{} waiting for an answer", connection.asking)),
        (connection.waiting > 0).then(|| format!("{} waiting", connection.waiting)),
        connection.next_try().map(|next| format!("next try in {}", told(next))),
    ];
    for fact in facts.into_iter().flatten() {
        text = format!("{text}, {fact}");
    }
    if let Some(cause) = connection.cause.as_deref().filter(|_| connection.state != "ready") {
        let words: Vec<&str> = cause.split_whitespace().collect();
        text = format!("{text}: {}", words.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tree_is_drawn_with_every_owner_and_the_story_of_each_connection() {
        let connection = |owner: &str, server: &str, state: &str| {
            json!({
                "owner": owner, "server": server, "state": state, "health": "healthy",
                "incarnation": 3, "since_ms": 125_000, "cause": null, "next_try_ms": null,
                "pid": null, "tools": 0, "calls": 0, "in_flight": 0, "waiting": 0,
            })
        };
        let mut clock = connection("store", "clock", "ready");
        (clock["pid"], clock["in_flight"], clock["waiting"]) = (json!(41), json!(1), json!(2));
        clock["cause"] = json!("an old story");
        let mut files = connection("store", "größe", "backoff");
        (files["since_ms"], files["next_try_ms"]) = (json!(400), json!(2100));
        files["cause"] = json!("the process\nexited with code 3");
        let mut idle = connection("research", "search", "idle");
        (idle["incarnation"], idle["since_ms"]) = (json!(0), json!(null));
        let status = json!({
            "phase": "serving", "ready": true, "uptime_seconds": 3725, "calls": 7, "tools": 1,
            "agents": ["empty", "research"], "servers": [clock, files, idle],
        });
        assert_eq!(
            lines(&Status::deserialize(status).unwrap()).join("\n"),
            "\
root  serving for 1h 2m 5s, 7 calls
├── router  1 tool
├── agents
│   ├── store
│   │   ├── clock  #3 ready for 2m 5s, pid 41, 1 in flight, 2 waiting
│   │   └── größe  #3 backoff for 0.4 s, next try in 2.1 s: the process exited with code 3
│   ├── empty
│   └── research
│       └── search  #0 idle
└── janitor"
        );
    }
}
