//! The command line: arguments, and one file for each command.
//!
//! Owned by `main`. Data goes to standard output and errors to standard error, both through
//! `output` alone. A command about a running instance asks it over its control socket.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::{
    Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    app::state::StateDir,
    config::{
        Overrides, Profile, Sources,
        managed::{MANAGED, Managed},
    },
    guard::Guard,
};

mod asking;
mod call;
mod config;
mod control;
mod demo_server;
mod events;
mod exit;
pub(crate) mod output;
mod relay;
mod reload;
mod restart;
mod serve;
mod status;
mod stdio;
mod table;
mod tools;
mod tree;
mod wait;
mod why;

pub use exit::report;

/// How long threads that hang in a system call are waited for at the end.
const LINGER: Duration = Duration::from_millis(200);

/// Keeps MCP servers connected for fleets of AI agents.
#[derive(Debug, Parser)]
#[command(
    name = "switchboard",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Without a configuration file it runs two demonstration servers. \
                  `switchboard config schema` prints what a file may say."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the servers and serve their tools over MCP
    Serve(serve::Args),
    /// Serve one MCP client over standard input and output
    Stdio(stdio::Args),
    /// Check, show or describe the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Show what a running instance is doing
    Status(asking::Asking),
    /// Explain why a server is as it is, and what can be done
    Why(why::Args),
    /// Show what happened to the connections
    Events(events::Args),
    /// Draw the supervision tree of a running instance
    Tree(tree::Args),
    /// List the tools that a running instance offers
    Tools(asking::AskingOf),
    /// Call a tool of a running instance
    Call(call::Args),
    /// Restart a server's connection in a running instance: calls under way are lost, but for --handover
    Restart(restart::Args),
    /// Have a running instance read its configuration anew
    Reload(asking::Asking),
    /// Add a server to a running instance, for good
    Add(reload::AddArgs),
    /// Remove a server that was added to a running instance
    Remove(reload::RemoveArgs),
    /// Be a small MCP server to try things with, over standard input and output
    DemoServer(demo_server::Args),
}

/// Which configuration is read.
#[derive(Debug, clap::Args)]
struct Files {
    /// A configuration file (TOML, YAML or JSON); several are laid on top of one another
    #[arg(long = "config", short = 'c', value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Which instance is meant: there is at most one for each state directory.
#[derive(Debug, clap::Args)]
struct Place {
    #[command(flatten)]
    files: Files,
    /// The instance's state directory [default: one for each configuration file]
    #[arg(long, value_name = "DIR", env = "SWITCHBOARD_STATE_DIR", hide_env_values = true)]
    state_dir: Option<PathBuf>,
}

impl Place {
    /// What its configuration is read from, what was added to it among that.
    fn sources(self, overrides: Overrides, profile: Option<Profile>) -> Result<Sources> {
        // Without a place for state nothing can have been added.
        let managed = self
            .state_dir()
            .ok()
            .map(|state| Managed { path: state.path().join(MANAGED), text: None });
        let sources = Sources::from_process(self.files.files, overrides, profile)
            .context("failed to find out where this process runs")?;
        Ok(Sources { managed, ..sources })
    }

    fn state_dir(&self) -> Result<StateDir> {
        let first = self.files.files.first().map(PathBuf::as_path);
        Ok(StateDir::locate(self.state_dir.as_deref(), first)?)
    }
}

/// A monitoring profile by its name.
fn profile() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new([Profile::Production, Profile::Development].map(Profile::as_str))
        .try_map(|name| name.parse::<Profile>())
}

/// Runs the command that the process was started with and gives the code to end with. A command
/// that starts servers has them guarded.
///
/// # Errors
/// What failed, for [`report`].
pub fn run(guard: Guard) -> Result<ExitCode> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and the version are among these; clap knows where each belongs.
        Err(error) => {
            error.print()?;
            return Ok(exit::of_clap(&error));
        }
    };
    match cli.command {
        Command::Serve(args) => on_all_cores(serve::run(args, guard)),
        Command::Stdio(args) => on_all_cores(stdio::run(args, guard)),
        Command::Config(command) => config::run(command),
        Command::Status(args) => on_this_thread(status::run(args)),
        Command::Why(args) => on_this_thread(why::run(args)),
        Command::Events(args) => on_this_thread(events::run(args)),
        Command::Tree(args) => on_this_thread(tree::run(args)),
        Command::Tools(args) => on_this_thread(tools::run(args)),
        Command::Call(args) => return on_this_thread(call::run(args)),
        Command::Restart(args) => on_this_thread(restart::run(args)),
        Command::Reload(args) => on_this_thread(reload::run(args)),
        Command::Add(args) => on_this_thread(reload::add(args)),
        Command::Remove(args) => on_this_thread(reload::remove(args)),
        Command::DemoServer(args) => on_this_thread(demo_server::run(args)),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn on_this_thread<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    complete(&mut Builder::new_current_thread(), command)
}

fn on_all_cores<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    complete(&mut Builder::new_multi_thread(), command)
}

fn complete<T>(runtime: &mut Builder, command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime: Runtime = runtime.enable_all().build()?;
    let outcome = runtime.block_on(command);
    // A read of standard input that nobody will answer must not keep the process.
    runtime.shutdown_timeout(LINGER);
    outcome
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("switchboard").chain(line.split(' ')))
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_takes_what_the_contract_says() {
        for line in [
            "serve --config a.toml --config b.json --host ::1 --port 0 --state-dir /s --profile production",
            "stdio --config a.toml --agent research",
            "config check",
            "config show --json",
            "config schema",
            "status --json",
            "why github --agent research --json",
            "events --follow --server github --json",
            "tree --watch",
            "tree --json",
            "tools --agent research --json",
            "call github_search {\"q\":1} --agent research --timeout 2m",
            "call github_search -",
            "restart github --agent research",
            "reload --json",
            "add time --agent research --env A=b -- uvx mcp-server-time --local",
            "add wiki --url http://127.0.0.1:1/mcp --header A=b --replace",
            "remove time --agent research",
            "demo-server --name clock",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
        for line in [
            "serve --profile test",
            "stdio --agent a/b",
            "call",
            "call a {} --timeout 5",
            "why",
            "tree --watch --json",
            "add time",
            "add time --url http://a -- b",
            "add time --header A=b -- b",
            "frobnicate",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
