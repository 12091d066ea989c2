//! The side that connects to servers as the client under test of the official conformance suite:
//! a runtime with one server at the address that comes last on the command line, every tool called.
//!
//! The suite starts it: `conformance client --command target/debug/examples/conformance_client
//! --scenario tools_call` (docs/conformance.md).

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use switchboard::{
    id::ServerName,
    runtime::{CallRequest, Runtime, RuntimeConfig, ServerConfig},
    upstream::{TransportConfig, http::HttpConfig},
};

/// What the suite says about a scenario, as far as it concerns us.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Context {
    /// Calls to make instead of one of each tool.
    tool_calls: Vec<ToolCall>,
}

#[derive(Deserialize)]
struct ToolCall {
    name: String,
    arguments: Value,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().next_back().context("the server's address is missing")?;
    let context: Context = match std::env::var("MCP_CONFORMANCE_CONTEXT") {
        Ok(context) => serde_json::from_str(&context)?,
        Err(_) => Context::default(),
    };

    let mut config = RuntimeConfig::default();
    // The suite names tools as its server does.
    config.catalog.prefix = switchboard::catalog::Prefix::Never;
    let runtime = Runtime::spawn(config).await?;
    let store = runtime.store();
    let server = ServerName::new("suite")?;
    let transport = TransportConfig::Http(HttpConfig { url, headers: BTreeMap::new() });
    store.add(server.clone(), ServerConfig::new(transport)).await?;
    store.wait_ready(&server, Duration::from_secs(10)).await?;

    let view = store.tools()?;
    let listed = view.tools().iter().filter(|tool| tool.server == server);
    let mut calls = context.tool_calls;
    if calls.is_empty() {
        for tool in listed {
            let definition: Tool = serde_json::from_str(tool.raw.get())?;
            let arguments = definition.input_schema.made_up();
            calls.push(ToolCall { name: tool.exposed.to_string(), arguments });
        }
    }
    for call in calls {
        // What an answer is worth is the suite's to say: it sees both sides.
        store.call(CallRequest::new(call.name, &call.arguments)).await.ok();
    }
    runtime.stop().await;
    Ok(())
}

/// A tool as it is listed, as far as it takes to call it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    input_schema: Schema,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Schema {
    required: Vec<String>,
    properties: BTreeMap<String, Value>,
}

impl Schema {
    /// A value for each argument that must be there.
    fn made_up(&self) -> Value {
        let value = |name: &String| {
            let kind = self.properties.get(name).and_then(|property| property.get("type"));
            let value = match kind.and_then(Value::as_str) {
                Some("number" | "integer") => json!(1),
                Some("boolean") => json!(true),
                _ => json!("a text"),
            };
            (name.clone(), value)
        };
        Value::Object(self.required.iter().map(value).collect::<Map<_, _>>())
    }
}
