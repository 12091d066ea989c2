//! `restart`: makes a server's connection anew.

use anyhow::Result;
use serde::Serialize;

use super::{Place, control::Control, output};
use crate::id::{AgentId, ServerName};

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
}

#[derive(Serialize)]
struct Restart<'a> {
    server: &'a ServerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a AgentId>,
}

/// Asks for the restart and returns; `status` shows how it goes.
pub(super) async fn run(args: Args) -> Result<()> {
    let control = Control::of(&args.place.state_dir()?);
    let restart = Restart { server: &args.server, agent: args.agent.as_ref() };
    control.post("/restart", &restart).await?;
    output::data(&format!("restarting {}", args.server))?;
    Ok(())
}
