//! The JSON Schema of what a file may hold, for completion in editors.
//!
//! Made from the same types and the same table of keys that reading uses. An entry may hold more:
//! unknown keys there are warnings.

use schemars::{JsonSchema, generate::SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{
    Config,
    dialect::{KEYS, Meaning},
};
use crate::{
    actor::server::{ServerConfig, ToolRule},
    upstream::{Root, http::HttpConfig, stdio::StdioConfig},
};

/// The schema of a configuration file.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let mut root = properties::<Config>(&mut generator);
    let entry = entry(&mut generator);
    let servers = json!({
        "description": "Servers, by name.",
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/Entry"}
    });
    root.insert("servers".to_owned(), servers.clone());
    root.insert("mcpServers".to_owned(), servers.clone());
    root.insert("inputs".to_owned(), json!({"type": "array"}));
    root.insert("$schema".to_owned(), json!({"type": "string"}));
    let table = root.remove("monitoring").unwrap_or_default();
    root.insert(
        "monitoring".to_owned(),
        json!({"anyOf": [{"enum": ["production", "development"]}, table]}),
    );
    let mut defs = generator.take_definitions(true);
    defs.insert("Entry".to_owned(), entry);
    if let Some(agent) = defs.get_mut("AgentConfig").and_then(|agent| agent.get_mut("properties"))
        && let Value::Object(agent) = agent
    {
        agent.insert("mcpServers".to_owned(), servers);
    }
    // Reached only through what stands above in another form.
    for name in ["ServerConfig", "TransportConfig", "Secret"] {
        defs.remove(name);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Switchboard configuration",
        "type": "object",
        "properties": root,
        "additionalProperties": false,
        "$defs": defs
    })
}

/// The schema of a server entry: our keys from the types that they become, and every alias.
fn entry(generator: &mut SchemaGenerator) -> Value {
    let mut ours = properties::<ServerConfig>(generator);
    ours.remove("transport");
    ours.remove("tool_rules");
    ours.extend(properties::<StdioConfig>(generator));
    ours.extend(properties::<HttpConfig>(generator));
    let rule = generator.subschema_for::<ToolRule>();
    let root = generator.subschema_for::<Root>();
    let scalars = json!({"type": ["string", "number", "boolean"]});
    let names = json!({"type": "array", "items": {"type": "string"}});
    let filter = json!({
        "description": "Which tools are shown; what holds for tools whose name matches a glob.",
        "anyOf": [names, {
            "type": "object",
            "properties": {"allow": names, "deny": names},
            "additionalProperties": rule
        }]
    });
    for (key, schema) in [
        (
            "type",
            json!({"description": "stdio or http, in any client's spelling.", "type": "string"}),
        ),
        (
            "command",
            json!({"description": "The program, or a list of it and its arguments.", "anyOf": [{"type": "string"}, names]}),
        ),
        (
            "args",
            json!({"description": "Its arguments, passed as they are.", "type": "array", "items": scalars}),
        ),
        (
            "env",
            json!({"description": "Variables set beside the default environment.", "type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}),
        ),
        ("envFile", json!({"description": "A file of further variables.", "type": "string"})),
        (
            "headers",
            json!({"description": "Headers of every request.", "type": "object", "additionalProperties": scalars}),
        ),
        (
            "timeout",
            json!({"description": "Deadline of its calls: a duration such as \"2m\", or a number: from 1000 on milliseconds, below seconds.", "type": ["string", "number"]}),
        ),
        (
            "roots",
            json!({"description": "The places that it is told of when it asks for roots, instead of its clients' own: file:// URIs.", "type": "array", "items": {"anyOf": [{"type": "string"}, root]}}),
        ),
        ("tools", filter),
    ] {
        ours.insert(key.to_owned(), schema);
    }
    let mut properties = Map::new();
    for (key, meaning) in KEYS {
        let schema = match meaning {
            Meaning::Key(key) => ours.get(key).cloned().unwrap_or_default(),
            Meaning::Disabled => json!({"type": "boolean"}),
            Meaning::Allow | Meaning::Deny => names.clone(),
            Meaning::Approval => json!({}),
        };
        properties.insert(key.to_owned(), schema);
    }
    json!({
        "description": "A server, as any MCP client writes it.",
        "type": "object",
        "properties": properties
    })
}

/// The properties of a type, each with its description and default.
fn properties<T: JsonSchema>(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let schema = T::json_schema(generator).to_value();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.cloned().unwrap_or_default()
}
