//! `events`: what happened to the connections, and what happens.

use anyhow::{Result, bail};
use http::{Method, header};
use serde::{Deserialize, Serialize};

use super::{
    asking::Asking,
    control::{Control, ControlError, Lines},
    output,
    status::Status,
};
use crate::{
    id::{Owner, ServerName},
    runtime::Event,
};

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    asking: Asking,
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// Of this server alone
    #[arg(long, value_name = "NAME")]
    server: Option<ServerName>,
}

/// Which events are asked for.
#[derive(Debug, Serialize)]
struct Wanted {
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerName>,
    follow: bool,
}

/// Prints one event a line; with `--json` as the instance wrote it.
pub(super) async fn run(args: Args) -> Result<()> {
    let Args { asking, follow, server } = args;
    let control = asking.control()?;
    if let Some(server) = &server {
        let status: Status = control.get("/status").await?;
        if !status.servers.iter().any(|it| it.is_of(server.as_str())) {
            let unknown = format!(
                "no server {server} is connected; `switchboard status` lists those that are"
            );
            if !follow {
                bail!(unknown);
            }
            output::warning(&unknown);
        }
    }
    let mut lines = open(&control, server, follow).await?;
    while let Some(found) = lines.next().await? {
        if asking.json {
            output::data(&found)?;
        } else {
            output::foreign(&shown(&found)?)?;
        }
    }
    if follow { Err(ControlError::Ended.into()) } else { Ok(()) }
}

/// The kept events, and those to come if they are wanted, a line each.
pub(super) async fn open(
    control: &Control,
    server: Option<ServerName>,
    follow: bool,
) -> Result<Lines, ControlError> {
    let body = serde_json::to_vec(&Wanted { server, follow })?;
    let head = super::control::head(Method::POST, "/events")
        .header(header::CONTENT_TYPE, "application/json");
    control.lines(head, body.into()).await
}

fn shown(found: &str) -> Result<String, ControlError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Heard {
        Event(Box<Event>),
        Lost { lost: u64 },
    }
    Ok(match serde_json::from_str(found)? {
        Heard::Event(event) => line(&event),
        Heard::Lost { lost } => format!("{lost} events were lost: they came too fast"),
    })
}

/// An event on one line: when, whose, from where to where, why, and what was decided.
pub(super) fn line(event: &Event) -> String {
    let owner = match &event.owner {
        Owner::Store => String::new(),
        Owner::Agent(agent) => format!("{agent}/"),
    };
    let words = format!("{}; {}", event.cause, event.decision);
    let run = if event.earlier { "(an earlier run) " } else { "" };
    format!(
        "{}  {run}{owner}{} {}  {} > {}  {}",
        humantime::format_rfc3339_millis(event.time),
        event.seat(),
        event.incarnation,
        event.from,
        event.to,
        words.split_whitespace().collect::<Vec<_>>().join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_the_server_wrote() {
        let event = r#"{"time":0.0,"owner":"research","server":"a b","session":"00ff","incarnation":3,"from":"ready","to":"half_open","cause":"one\ntwo","decision":"go","next":null}"#;
        assert_eq!(
            shown(event).unwrap(),
            "1970-01-01T00:00:00.000Z  research/a b (session 00ff) #3  ready > half_open  one two; go"
        );
        let earlier = event.replace("\"time\"", "\"earlier\":true,\"time\"");
        assert!(shown(&earlier).unwrap().contains("Z  (an earlier run) research/a b"), "{earlier}");
        assert_eq!(shown(r#"{"lost":7}"#).unwrap(), "7 events were lost: they came too fast");
        assert!(matches!(shown("{}"), Err(ControlError::Foreign(_))));
    }
}
