//! `tools`: what a running instance offers.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::{asking::AskingOf, output, table::Table};

/// Prints a table of the tools.
pub(super) async fn run(of: AskingOf) -> Result<()> {
    let path = match &of.agent {
        Some(agent) => format!("/tools?agent={agent}"),
        None => "/tools".to_owned(),
    };
    let listed: Value = of.asking.control()?.get(&path).await?;
    if of.asking.json {
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
