//! `serve`: the instance itself.

use anyhow::Result;

use super::{Place, output, profile};
use crate::{
    app,
    config::{Overrides, Profile},
    guard::Guard,
};

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// The address or name to listen on
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The monitoring profile
    #[arg(long, value_name = "NAME", value_parser = profile())]
    profile: Option<Profile>,
}

/// Serves until it is told to end, and prints one line when it is ready.
pub(super) async fn run(args: Args, guard: Guard) -> Result<()> {
    let state = args.place.state_dir()?;
    let overrides = Overrides { host: args.host, port: args.port };
    let sources = args.place.sources(overrides, args.profile)?;
    app::serve(&sources, &state, guard, output::data).await
}
