//! The side that connects to servers as the client under test of the official conformance suite:
//! a runtime with one server at the address that comes last on the command line, every tool called,
//! every prompt filled in, every resource read, and every form accepted with its defaults.
//!
//! The suite starts it: `conformance client --command target/debug/examples/conformance_client
//! --scenario tools_call` (docs/conformance.md).

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use switchboard::{
    access::{Asked, Gate, Principal},
    id::{Owner, ServerName},
    runtime::{CallRequest, Runtime, RuntimeConfig, ServerConfig, Subject, View},
    upstream::{TransportConfig, http::HttpConfig},
    wire::{Abilities, Ability, Primitive, raw},
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

    // What an answer is worth is the suite's to say: it sees both sides.
    let gate = Gate::new(runtime.clone());
    for mut request in requests(&*store.tools()?, &server, context.tool_calls)? {
        request.dialogue.abilities = Abilities::NONE.and(Ability::Form);
        gate.converse(&Principal::local(), &Owner::Store, request, accept).await.ok();
    }
    runtime.stop().await;
    Ok(())
}

/// Accepts a form with the defaults of its fields; anything else is declined.
async fn accept(asked: Asked) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Form {
        requested_schema: Schema,
    }
    let Ok(form) = serde_json::from_str::<Form>(asked.params.get()) else { return };
    let fields = form.requested_schema.properties.into_iter();
    let defaults =
        fields.filter_map(|(name, mut field)| Some((name, field.get_mut("default")?.take())));
    let content: Map<_, _> = defaults.collect();
    asked.reply.give(Ok(raw(&json!({ "action": "accept", "content": content }))));
}

/// One request about everything that the server offers.
fn requests(
    view: &View,
    server: &ServerName,
    mut calls: Vec<ToolCall>,
) -> anyhow::Result<Vec<CallRequest>> {
    let offered =
        |kind| view.items(kind).iter().filter(|item| item.server == *server).collect::<Vec<_>>();
    if calls.is_empty() {
        for tool in offered(Primitive::Tool) {
            let definition: Tool = serde_json::from_str(tool.raw.get())?;
            let arguments = definition.input_schema.made_up();
            calls.push(ToolCall { name: tool.exposed.to_string(), arguments });
        }
    }
    let tools = calls.into_iter().map(|call| CallRequest::new(call.name, &call.arguments));
    let prompts = offered(Primitive::Prompt).into_iter().map(|prompt| {
        let params = raw(&json!({ "name": prompt.exposed }));
        CallRequest::about(Subject::Prompt(prompt.exposed.to_string()), params.into())
    });
    let resources = offered(Primitive::Resource).into_iter().map(|resource| {
        let params = raw(&json!({ "uri": resource.exposed }));
        CallRequest::about(Subject::Resource(resource.exposed.to_string()), params.into())
    });
    Ok(tools.chain(prompts).chain(resources).collect())
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
