//! `stdio`: one MCP client over standard input and output.
//!
//! An instance of the same space that runs already serves it, so that servers are started once
//! for all clients; else this process does.

use anyhow::Result;

use super::{
    Place,
    control::{Control, ControlError},
    relay,
};
use crate::{
    app,
    config::Overrides,
    guard::Guard,
    id::{AgentId, Owner},
};

/// Arguments of `stdio`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Show this agent's tools, instead of those of all top-level servers
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentId>,
}

/// Serves until standard input ends.
pub(super) async fn run(args: Args, guard: Guard) -> Result<()> {
    let control = Control::of(&args.place.state_dir()?);
    match control.connect().await {
        Ok(_) => relay::run(control, args.agent.as_ref()).await,
        Err(ControlError::NoInstance { .. }) => {
            let sources = args.place.sources(Overrides::default(), None)?;
            let owner = args.agent.map_or(Owner::Store, Owner::Agent);
            app::pipe::run(&sources, owner, guard).await
        }
        Err(error) => Err(error.into()),
    }
}
