//! `tools`: what a running instance offers.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::{Place, control::Control, output, table::Table};
use crate::id::AgentId;

/// Arguments of `tools`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// What this agent sees, instead of the tools of all top-level servers
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentId>,
    /// Print the whole definitions as JSON
    #[arg(long)]
    json: bool,
}

/// Prints a table of the tools.
pub(super) async fn run(args: Args) -> Result<()> {
    let control = Control::of(&args.place.state_dir()?);
    let path = match &args.agent {
        Some(agent) => format!("/tools?agent={agent}"),
        None => "/tools".to_owned(),
    };
    let listed: Value = control.get(&path).await?;
    if args.json {
        output::json(&listed)?;
    } else {
        let listed = Listed::deserialize(listed)?;
        output::data(&listed.render(output::width()))?;
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Listed {
    tools: Vec<Tool>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    name: String,
    title: Option<String>,
    description: Option<String>,
}

impl Listed {
    fn render(&self, width: Option<usize>) -> String {
        let mut table = Table::new(["TOOL", "DESCRIPTION"]);
        for tool in &self.tools {
            let said = tool.description.as_ref().or(tool.title.as_ref());
            // The rest is written for models.
            let first = said.and_then(|text| text.trim().lines().next());
            table.row([tool.name.clone(), first.unwrap_or_default().to_owned()]);
        }
        table.render(width)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_is_shown_by_its_first_line() {
        let listed = Listed::deserialize(json!({"tools": [
            {"name": "a_b", "title": "T", "description": "\nWhat it does.\n\nArgs: many", "inputSchema": {}},
            {"name": "c", "title": "Only a title"},
            {"name": "d"}
        ]}));
        assert_eq!(
            listed.unwrap().render(None),
            "TOOL  DESCRIPTION\na_b   What it does.\nc     Only a title\nd\n"
        );
    }
}
