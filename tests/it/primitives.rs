//! Prompts, resources, their templates and completion through the aggregate: two instances of the
//! public reference server, so that every name and every URI exists twice, and clients of both
//! eras.

use serde_json::{Value, json};
use switchboard::wire::Revision;

use crate::{
    servers::installed,
    support::{
        binary::Switchboard,
        http::{Client, Reply, Session},
        wait::until,
    },
};

const ARCHITECTURE: &str = "demo://resource/static/document/architecture.md";
const TEXT: &str = "demo://resource/dynamic/text/";

/// A client of either era.
enum Asking<'a> {
    Modern(&'a Client),
    Legacy(Session<'a>),
}

impl Asking<'_> {
    async fn ask(&self, method: &str, params: Value) -> Reply {
        match self {
            Self::Modern(client) => client.modern(method, params).await,
            Self::Legacy(session) => session.request(method, params).await,
        }
    }

    async fn list(&self, method: &str, member: &str, key: &str) -> Vec<String> {
        let reply = self.ask(method, json!({})).await;
        let items = reply.result()[member].as_array().unwrap();
        items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
    }

    /// The text of a resource, and the URI that it has in the answer.
    async fn read(&self, uri: &str) -> (String, String) {
        let reply = self.ask("resources/read", json!({ "uri": uri })).await;
        let contents = &reply.result()["contents"][0];
        let text = |member: &str| contents[member].as_str().unwrap().to_owned();
        (text("text"), text("uri"))
    }
}

/// Two servers that offer the same.
async fn twins() -> Switchboard {
    let program = installed("node_modules/.bin/mcp-server-everything");
    let config = json!({ "mcpServers": {
        "a": { "command": program },
        "b": { "command": program, "isolation": "shared" },
    }});
    let switchboard = Switchboard::serve(&config).await;
    until("both servers ready", async || {
        let status = switchboard.status().await;
        let servers = status["servers"].as_array().unwrap();
        servers.iter().all(|server| server["state"] == "ready").then_some(())
    })
    .await;
    switchboard
}

async fn prompts_are_listed_and_filled_in(asking: &Asking<'_>) {
    let prompts = asking.list("prompts/list", "prompts", "name").await;
    for expected in ["a_simple-prompt", "b_simple-prompt", "a_args-prompt", "b_resource-prompt"] {
        assert!(prompts.iter().any(|name| name == expected), "{expected} of {prompts:?}");
    }
    let arguments = json!({"city": "Zürich"});
    let filled = json!({"name": "b_args-prompt", "arguments": arguments});
    let reply = asking.ask("prompts/get", filled).await;
    let text = reply.result()["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.contains("Zürich"), "{text}");
    let unknown = asking.ask("prompts/get", json!({"name": "simple-prompt"})).await;
    assert_eq!(unknown.error()["code"], -32602);
    assert!(unknown.error()["message"].as_str().unwrap().contains("unknown prompt"));
}

async fn resources_are_read_where_they_are(asking: &Asking<'_>) {
    let uris = asking.list("resources/list", "resources", "uri").await;
    let second = format!("switchboard+b:{ARCHITECTURE}");
    assert!(uris.contains(&ARCHITECTURE.to_owned()) && uris.contains(&second), "{uris:?}");
    let (first_text, first_uri) = asking.read(ARCHITECTURE).await;
    let (second_text, second_uri) = asking.read(&second).await;
    assert_eq!((&*first_uri, &*second_uri), (ARCHITECTURE, &*second));
    assert_eq!(first_text, second_text, "they are twins");

    let templates =
        asking.list("resources/templates/list", "resourceTemplates", "uriTemplate").await;
    let template = format!("{TEXT}{{resourceId}}");
    assert!(templates.contains(&template), "{templates:?}");
    assert!(templates.contains(&format!("switchboard+b:{template}")), "{templates:?}");
    let (text, uri) = asking.read(&format!("{TEXT}7")).await;
    assert!(text.contains("Resource 7") && uri == format!("{TEXT}7"), "{uri}: {text}");
    let of_second = format!("switchboard+b:{TEXT}7");
    assert_eq!(asking.read(&of_second).await.1, of_second);

    let unknown = asking.ask("resources/read", json!({"uri": "none://at/all"})).await;
    let code = if matches!(asking, Asking::Modern(_)) { -32602 } else { -32002 };
    assert_eq!(unknown.error()["code"], code, "{}", unknown.error());
    assert_eq!(unknown.error()["data"]["uri"], "none://at/all");
}

async fn links_in_results_lead_back_to_their_server(asking: &Asking<'_>) {
    let call = json!({"name": "b_get-resource-links", "arguments": {"count": 2}});
    let reply = asking.ask("tools/call", call).await;
    let blocks = reply.result()["content"].as_array().unwrap();
    let links: Vec<&str> = blocks.iter().filter_map(|block| block["uri"].as_str()).collect();
    assert_eq!(links.len(), 2);
    assert!(links.iter().all(|link| link.starts_with("switchboard+b:demo://")), "{links:?}");
    let text = links.iter().find(|link| link.contains("/text/")).unwrap();
    assert_eq!(asking.read(text).await.1, *text);
}

async fn arguments_are_completed(asking: &Asking<'_>) {
    for (reference, argument, expected) in [
        (
            json!({"type": "ref/prompt", "name": "b_completable-prompt"}),
            json!({"name": "department", "value": "E"}),
            "Engineering",
        ),
        (
            json!({"type": "ref/resource", "uri": format!("switchboard+b:{TEXT}{{resourceId}}")}),
            json!({"name": "resourceId", "value": "1"}),
            "1",
        ),
    ] {
        let params = json!({"ref": reference, "argument": argument});
        let reply = asking.ask("completion/complete", params).await;
        assert_eq!(reply.result()["completion"]["values"], json!([expected]));
    }
    let odd = json!({"ref": {"type": "ref/tool", "name": "a_echo"}, "argument": {}});
    let refused = asking.ask("completion/complete", odd).await;
    assert_eq!(refused.error()["code"], -32602);
}

#[tokio::test]
async fn everything_that_two_twins_offer_is_reached_in_both_eras() {
    let switchboard = twins().await;
    let client = switchboard.client();
    let newest = client.initialize(Revision::LATEST_LEGACY).await;
    let oldest = client.initialize(Revision::V2025_03_26).await;
    for asking in [Asking::Modern(&client), Asking::Legacy(newest), Asking::Legacy(oldest)] {
        prompts_are_listed_and_filled_in(&asking).await;
        resources_are_read_where_they_are(&asking).await;
        arguments_are_completed(&asking).await;
        if !matches!(&asking, Asking::Legacy(session) if session.revision() < Revision::V2025_06_18)
        {
            links_in_results_lead_back_to_their_server(&asking).await;
        }
    }
    let status = switchboard.stop().await;
    assert!(status.success());
}
