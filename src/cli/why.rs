//! `why`: what happened to a server, and what can be done.

use std::fmt::Write as _;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{asking::AskingOf, events::line, output};
use crate::{
    id::{AgentId, ServerName},
    runtime::{Event, Explanation},
};

/// Events that are shown; `--json` has them all.
const SHOWN: usize = 12;

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server's name in the configuration
    server: ServerName,
    #[command(flatten)]
    of: AskingOf,
    /// Of this session's own connection, as `status` names it, instead of the common one
    #[arg(long, value_name = "KEY")]
    session: Option<String>,
}

#[derive(Serialize)]
struct Named<'a> {
    server: &'a ServerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

/// Prints the explanation and what happened before.
pub(super) async fn run(args: Args) -> Result<()> {
    let control = args.of.asking.control()?;
    let (agent, session) = (args.of.agent.as_ref(), args.session.as_deref());
    let named = Named { server: &args.server, agent, session };
    let answer = control.post("/why", &named).await?;
    if args.of.asking.json {
        output::json(&serde_json::from_str::<Value>(answer.get())?)?;
    } else {
        let told: Told = serde_json::from_str(answer.get())?;
        output::foreign(&told.render())?;
    }
    Ok(())
}

/// The part of the answer that is shown.
#[derive(Debug, Deserialize)]
struct Told {
    explanation: Explanation,
    defined: Option<String>,
    events: Vec<Event>,
}

impl Told {
    fn render(&self) -> String {
        let Explanation { summary, why, decided, next, waiting, remedy, stderr, .. } =
            &self.explanation;
        let mut text = format!("{summary}\n");
        for (name, fact) in [
            ("why", why),
            ("decided", decided),
            ("next", next),
            ("waiting", waiting),
            ("do", remedy),
            ("defined", &self.defined),
        ] {
            if let Some(fact) = fact {
                // Writing to a string cannot fail, here and below.
                writeln!(text, "  {name:<8} {fact}").ok();
            }
        }
        if !stderr.is_empty() {
            text.push_str("\nits last error output\n");
            for line in stderr {
                writeln!(text, "  | {line}").ok();
            }
        }
        let hidden = self.events.len().saturating_sub(SHOWN);
        if !self.events.is_empty() {
            text.push_str("\nwhat happened\n");
        }
        for event in self.events.iter().skip(hidden) {
            writeln!(text, "  {}", line(event)).ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_known_is_a_line_each_and_nothing_else_is_shown() {
        let mut told = json!({
            "explanation": {
                "summary": "github waits before its next try (life #2, for 0.4 s)",
                "why": "the process exited with code 3 (pid 41, 0.4 s ago)",
                "decided": "try again in 1.2 s", "next": "in 0.8 s", "waiting": null,
                "remedy": "nothing yet", "brief": "", "stderr": ["no token", "bye"],
            },
            "defined": "team.toml: mcpServers.github",
            "events": [{
                "time": 86_400.5, "owner": "store", "server": "github", "incarnation": 2,
                "from": "connecting", "to": "backoff", "cause": "the process exited with code 3",
                "decision": "try again in 1.2 s", "next": 1.2,
            }],
        });
        assert_eq!(
            Told::deserialize(&told).unwrap().render(),
            "github waits before its next try (life #2, for 0.4 s)\n\
             \x20 why      the process exited with code 3 (pid 41, 0.4 s ago)\n\
             \x20 decided  try again in 1.2 s\n\
             \x20 next     in 0.8 s\n\
             \x20 do       nothing yet\n\
             \x20 defined  team.toml: mcpServers.github\n\
             \n\
             its last error output\n\
             \x20 | no token\n\
             \x20 | bye\n\
             \n\
             what happened\n\
             \x20 1970-01-02T00:00:00.500Z  github #2  connecting > backoff  the process exited with code 3; try again in 1.2 s\n"
        );
        told["events"] = Value::Array(vec![told["events"][0].clone(); SHOWN + 5]);
        let many = Told::deserialize(&told).unwrap().render();
        assert_eq!(many.matches("connecting > backoff").count(), SHOWN);
    }
}
