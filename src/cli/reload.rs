//! `reload`, `add` and `remove`: another configuration for a running instance.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::ArgGroup;
use serde::{Deserialize, de::Error as _};
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    asking::{Asking, AskingOf},
    output,
    status::Status,
    wait::Waiting,
};
use crate::{
    face::operator::{AddServer, RemoveServer},
    id::ServerName,
    runtime::{Changes, told},
    wire::raw,
};

/// Arguments of `add`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("way").required(true), after_help = "switchboard add time -- uvx mcp-server-time\n\
                  switchboard add wiki --url https://wiki.example.com/mcp --header 'Authorization=Bearer ${TOKEN}'")]
pub(super) struct AddArgs {
    /// The name of the server
    server: ServerName,
    #[command(flatten)]
    of: AskingOf,
    /// The address of a server over HTTP
    #[arg(long, value_name = "URL", group = "way")]
    url: Option<String>,
    /// A header of every request; `${VAR}` is filled in when it is read
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair, conflicts_with = "command")]
    headers: Vec<(String, String)>,
    /// A variable of the process; `${VAR}` is filled in when it is read
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair, conflicts_with = "url")]
    env: Vec<(String, String)>,
    /// Replace a server that was added before
    #[arg(long)]
    replace: bool,
    /// Return when it is ready, or fail with the reason why it is not; it stays added all the same
    #[arg(long)]
    wait: bool,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND", group = "way")]
    command: Vec<String>,
}

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    /// The name of the server
    server: ServerName,
    #[command(flatten)]
    of: AskingOf,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a name, `=` and a value")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Has the instance read its configuration anew.
pub(super) async fn run(asking: Asking) -> Result<()> {
    print(&asking.control()?.post("/reload", &json!({})).await?, asking.json)
}

/// Has the instance add a server.
pub(super) async fn add(args: AddArgs) -> Result<()> {
    let AskingOf { asking, agent } = args.of;
    let control = asking.control()?;
    let pairs = |pairs: Vec<(String, String)>| -> Map<String, Value> {
        pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
    };
    let mut entry = Map::new();
    let mut command = args.command.into_iter();
    match (args.url, command.next()) {
        (Some(url), _) => {
            entry.insert("url".to_owned(), Value::String(url));
            if !args.headers.is_empty() {
                entry.insert("headers".to_owned(), Value::Object(pairs(args.headers)));
            }
        }
        (None, Some(program)) => {
            entry.insert("command".to_owned(), Value::String(program));
            entry.insert("args".to_owned(), command.map(Value::String).collect());
            if !args.env.is_empty() {
                entry.insert("env".to_owned(), Value::Object(pairs(args.env)));
            }
        }
        (None, None) => bail!("name a command behind `--`, or a --url"),
    }
    let entry = raw(&entry);
    if let Some(agent) = &agent {
        let status: Status = control.get("/status").await?;
        if !status.agents.iter().any(|known| known == agent.as_str()) {
            output::warning(&format!("there is no agent {agent} yet; it is made for this server"));
        }
    }
    let (server, of) = (args.server.clone(), agent.clone());
    let waiting = if args.wait {
        Some(Waiting::begin(&control, of.as_ref(), &server, None).await?)
    } else {
        None
    };
    let wish = AddServer { server: args.server, agent, entry, replace: args.replace };
    print(&control.post("/servers/add", &wish).await?, asking.json)?;
    match waiting {
        Some(waiting) => waiting.ready().await.inspect_err(|_| {
            let of = of.as_ref().map_or_else(String::new, |agent| format!(" --agent {agent}"));
            let remove = format!("`switchboard remove {server}{of}` removes it");
            output::warning(&format!(
                "{server} stays configured although it is not ready; {remove}"
            ));
        }),
        None => Ok(()),
    }
}

/// Has the instance remove a server that was added.
pub(super) async fn remove(args: RemoveArgs) -> Result<()> {
    let AskingOf { asking, agent } = args.of;
    let control = asking.control()?;
    let wish = RemoveServer { server: args.server, agent };
    print(&control.post("/servers/remove", &wish).await?, asking.json)
}

/// What an instance says that it did.
#[derive(Debug, Deserialize)]
struct Reloaded {
    changes: Changes,
    /// An instance of an earlier version does not say.
    in_force: Option<InForce>,
    restart_needed: Vec<String>,
    warnings: Vec<String>,
}

/// Since when and by what the present configuration is in force.
#[derive(Debug, Deserialize)]
struct InForce {
    for_ms: u64,
    by: String,
}

fn print(answer: &RawValue, json: bool) -> Result<()> {
    let value: Value = serde_json::from_str(answer.get())?;
    if json {
        return Ok(output::json(&value)?);
    }
    let done = Reloaded::deserialize(value).map_err(|error| {
        serde_json::Error::custom(format!("the instance's answer is not understood: {error}"))
    })?;
    for warning in &done.warnings {
        output::warning(warning);
    }
    let mut text = done.changes.to_string();
    if let (true, Some(InForce { for_ms, by })) = (done.changes.is_empty(), done.in_force) {
        let ago = told(Duration::from_millis(for_ms));
        text = format!("{text}: the configuration was last applied {ago} ago ({by})");
    }
    output::data(&text)?;
    if !done.restart_needed.is_empty() {
        output::warning(&format!("restart needed: {}", done.restart_needed.join(", ")));
    }
    Ok(())
}
