//! `restart`: makes a server's connection anew.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Place, control::Control, output, wait::Waiting};
use crate::id::{AgentId, Incarnation, ServerName};

/// Arguments of `restart`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server's name in the configuration
    server: ServerName,
    #[command(flatten)]
    place: Place,
    /// This agent's connection, instead of the shared one
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentId>,
    /// Only this session's own connection, as `status` names it; not with --handover, which only the
    /// connection that all share has
    #[arg(long, value_name = "KEY", conflicts_with = "handover")]
    session: Option<String>,
    /// Start the next process or session beside the present one, which serves until that is ready
    #[arg(long)]
    handover: bool,
    /// Return when it is ready, or fail with the reason why it is not
    #[arg(long)]
    wait: bool,
}

#[derive(Serialize)]
struct Restart<'a> {
    server: &'a ServerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    handover: bool,
}

#[derive(Deserialize)]
struct Restarted {
    incarnation: Option<Incarnation>,
}

/// Asks for the restart and returns; `status` shows how it goes. A handover is waited for.
pub(super) async fn run(args: Args) -> Result<()> {
    let control = Control::of(&args.place.state_dir()?);
    let Args { server, agent, session, handover, wait, .. } = &args;
    let (agent, session) = (agent.as_ref(), session.as_deref());
    let waiting = match wait {
        true => Some(Waiting::begin(&control, agent, server, session).await?),
        false => None,
    };
    let restart = Restart { server, agent, session, handover: *handover };
    let answer = control.post("/restart", &restart).await?;
    let Restarted { incarnation } = serde_json::from_str(answer.get())?;
    output::data(&match incarnation {
        Some(incarnation) => format!("{server} {incarnation} took over"),
        None if *handover => format!("{server} did not serve; restarting it"),
        None => format!("restarting {server}"),
    })?;
    match waiting.filter(|_| incarnation.is_none()) {
        Some(waiting) => waiting.ready().await,
        None => Ok(()),
    }
}
