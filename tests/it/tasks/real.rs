//! Tasks of the real server "everything", which has one tool that is called as a task or not at all.

use serde_json::{Value, json};
use switchboard::{
    access::{Gate, Principal},
    id::Owner,
    runtime::ServerConfig,
    upstream::{TransportConfig, stdio::StdioConfig},
    wire::Revision,
};

use crate::{
    dialogue::talk::{Host, SERVER},
    servers::installed,
    support::{schema::assert_valid, wait::until},
};

const TOOL: &str = "simulate-research-query";

/// The tool comes some time after the handshake.
async fn host() -> Host {
    let program = installed("node_modules/.bin/mcp-server-everything");
    let stdio = StdioConfig::new(program.to_str().unwrap());
    let config = ServerConfig::new(TransportConfig::Stdio(stdio));
    let host = Host::over(config, tempfile::tempdir().unwrap()).await;
    let has_tool = |gate: &Gate| {
        let view = gate.view(&Principal::local(), &Owner::Store).unwrap();
        view.resolve(&format!("{SERVER}_{TOOL}")).map(drop)
    };
    until("the tool", async || has_tool(&host.gate)).await;
    host
}

fn query(ambiguous: bool) -> Value {
    let arguments = json!({"topic": "python", "ambiguous": ambiguous});
    json!({"name": format!("{SERVER}_{TOOL}"), "arguments": arguments})
}

fn report(result: &Value) -> &str {
    assert_ne!(result["isError"], true, "{result}");
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"))
}

#[tokio::test]
async fn whoever_takes_no_tasks_has_the_report_and_is_asked_on_the_way() {
    let host = host().await;
    let mut client = host.modern(json!({"elicitation": {}}));
    let id = client.ask("tools/call", query(true)).await;
    let wanted = client.wanted(id).await;
    let mut again = query(true);
    again["requestState"] = wanted["requestState"].clone();
    let asked = wanted["inputRequests"].as_object().unwrap().keys();
    let answer = json!({"action": "accept", "content": {"interpretation": "snake"}});
    again["inputResponses"] = asked.map(|key| (key.clone(), answer.clone())).collect();
    let id = client.ask("tools/call", again).await;
    let result = client.result(id).await;
    assert!(report(&result).contains("python (snake)"), "{result}");
}

#[tokio::test]
async fn whoever_takes_tasks_has_one() {
    let host = host().await;
    let mut client = host.legacy(json!({})).await;
    let mut params = query(false);
    params["task"] = json!({});
    let id = client.ask("tools/call", params).await;
    let handed = client.result(id).await;
    assert_valid(Revision::V2025_11_25, "CreateTaskResult", &handed);
    let task = handed["task"]["taskId"].clone();
    // It tells by itself how far it is.
    let ended = loop {
        let told = client.told("notifications/tasks/status").await;
        assert_eq!(told["taskId"], task);
        if told["status"] != "working" {
            break told;
        }
    };
    assert_eq!(ended["status"], "completed", "{ended}");
    let id = client.ask("tasks/result", json!({"taskId": task})).await;
    let result = client.result(id).await;
    assert!(report(&result).contains("Research Report: python"), "{result}");
}
