//! `restart`: makes a server's connection anew.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Place, control::Control, output};
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
    /// Start the next process or session beside the present one, which serves until that is ready
    #[arg(long)]
    handover: bool,
}

#[derive(Serialize)]
struct Restart<'a> {
    server: &'a ServerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a AgentId>,
    handover: bool,
}

#[derive(Deserialize)]
struct Restarted {
    incarnation: Option<Incarnation>,
}

/// Asks for the restart and returns; `status` shows how it goes. A handover is waited for.
pub(super) async fn run(args: Args) -> Result<()> {
    let control = Control::of(&args.place.state_dir()?);
    let Args { server, agent, handover, .. } = &args;
    let restart = Restart { server, agent: agent.as_ref(), handover: *handover };
    let answer = control.post("/restart", &restart).await?;
    let Restarted { incarnation } = serde_json::from_str(answer.get())?;
    output::data(&match incarnation {
        Some(incarnation) => format!("{server} {incarnation} took over"),
        None => format!("restarting {server}"),
    })?;
    Ok(())
}
