//! What most commands about a running instance have in common: which instance, how its answer is
//! printed, and whose servers are meant.
//!
//! Arguments and nothing else.

use anyhow::Result;

use super::{Place, control::Control, output};
use crate::id::AgentId;

/// Which instance is asked, and how its answer is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Asking {
    #[command(flatten)]
    place: Place,
    /// Print everything as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Asking {
    /// The way to the instance.
    pub(super) fn control(&self) -> Result<Control> {
        let first = self.place.files.files.first();
        if let Some(missing) = first.filter(|it| self.place.state_dir.is_none() && !it.exists()) {
            output::warning(&format!("{} does not exist", missing.display()));
        }
        Ok(Control::of(&self.place.state_dir()?))
    }
}

/// The same, about the servers of one owner.
#[derive(Debug, clap::Args)]
pub(super) struct AskingOf {
    #[command(flatten)]
    pub(super) asking: Asking,
    /// Of this agent, instead of the top-level servers
    #[arg(long, value_name = "NAME")]
    pub(super) agent: Option<AgentId>,
}
