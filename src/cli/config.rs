//! `config`: checks a configuration, shows it, describes what it may say.

use anyhow::Result;

use super::{Place, output, profile};
use crate::{
    app,
    config::{self, ConfigErrors, Loaded, Overrides, Profile, Sources},
};

/// What is done with the configuration.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Find everything that is wrong with it
    Check(Args),
    /// Print the settings in force and where each came from
    Show {
        #[command(flatten)]
        args: Args,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of a configuration file, for editors
    Schema,
}

/// Which configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// The monitoring profile
    #[arg(long, value_name = "NAME", value_parser = profile())]
    profile: Option<Profile>,
}

/// Reads and prints; nothing is started.
pub(super) fn run(command: Command) -> Result<()> {
    match command {
        Command::Check(args) => {
            let loaded = read(args, config::inspect)?;
            output::data(&summary(&loaded))?;
        }
        Command::Show { args, json } => {
            let loaded = read(args, config::load)?;
            if json {
                output::json(&config::show_json(&loaded))?;
            } else {
                output::data(&config::show(&loaded))?;
            }
        }
        Command::Schema => output::json(&config::schema())?,
    }
    Ok(())
}

fn read(args: Args, how: fn(&Sources) -> Result<Loaded, ConfigErrors>) -> Result<Loaded> {
    let sources = args.place.sources(Overrides::default(), args.profile)?;
    let loaded = how(&sources)?;
    for warning in &loaded.warnings {
        output::warning(&warning.to_string());
    }
    Ok(loaded)
}

fn summary(loaded: &Loaded) -> String {
    let read: Vec<String> = loaded.files.iter().map(|file| file.display().to_string()).collect();
    let from = if read.is_empty() { "built-in defaults".to_owned() } else { read.join(", ") };
    format!("{from}: ok, {}", app::counts(&loaded.config))
}
