//! Questions over HTTP: to a client on the stream of its call, from a server in the answer to one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use futures::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Value, json};
use switchboard::{
    face::http::{HttpFace, HttpFaceConfig},
    runtime::ServerConfig,
    upstream::{TransportConfig, http::HttpConfig},
    wire::Revision,
};
use tokio::sync::{mpsc, oneshot};

use super::talk::{Host, accepted, call};
use crate::{
    mcp_host::Events,
    support::{
        http::Client,
        schema::assert_valid,
        upstream::{Asked, Upstream, faulty},
    },
};

const REVISION: Revision = Revision::LATEST_LEGACY;

/// A legacy session by hand, which declares that it can be asked.
async fn session(client: &Client) -> String {
    let params = json!({
        "protocolVersion": REVISION, "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "it", "version": "1"},
    });
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let response = client.post().json(&message).send().await.unwrap();
    response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
}

async fn post(client: &Client, session: &str, message: &Value) -> reqwest::Response {
    client.post().header("mcp-session-id", session).json(message).send().await.unwrap()
}

#[tokio::test]
async fn a_client_over_http_is_asked_on_its_calls_stream_and_posts_its_answer() {
    let host = Host::start("legacy").await;
    let config = HttpFaceConfig { port: 0, ..HttpFaceConfig::default() };
    let face = HttpFace::bind(&config).await.unwrap();
    let face = face.serve(64 * 1024, Arc::clone(&host.gate), None);
    let client = Client::new(format!("http://{}/mcp", face.local_addr()));
    let (mine, other) = (session(&client).await, session(&client).await);
    let message =
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call("form", "a")});
    let mut events = Events::of(REVISION, post(&client, &mine, &message).await);
    let asked = events.message().await;
    assert_valid(REVISION, "JSONRPCMessage", &asked);
    assert_eq!(asked["method"], "elicitation/create");
    let answer =
        |name: &str| json!({"jsonrpc": "2.0", "id": asked["id"], "result": accepted(name)});
    // An answer counts only in the session that was asked.
    assert_eq!(post(&client, &other, &answer("thief")).await.status(), 202);
    assert_eq!(post(&client, &mine, &answer("Ada")).await.status(), 202);
    let result = events.message().await;
    assert_eq!(result["id"], 2);
    let text = result["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), json!([accepted("Ada")]));
    assert_eq!(host.journal(), ["form a"]);
}

type Open = Arc<Mutex<HashMap<String, oneshot::Sender<Value>>>>;

fn event(message: &Value) -> Bytes {
    format!("data: {message}\n\n").into()
}

/// Asks in the answer to a call who it is, and answers with what it was told.
fn asks(asked: &Asked, open: &Open) -> Option<Response> {
    let id = &asked.message["id"];
    if asked.message.get("method").is_none() {
        let waiting = open.lock().unwrap().remove(id.as_str().unwrap_or_default());
        waiting.unwrap().send(asked.message["result"].clone()).unwrap();
        return Some(StatusCode::ACCEPTED.into_response());
    }
    if asked.method() != "tools/call" {
        return None;
    }
    let (sender, answer) = oneshot::channel();
    let who = asked.message["params"]["arguments"]["who"].as_str().unwrap();
    open.lock().unwrap().insert(who.to_owned(), sender);
    let params = json!({
        "message": who, "requestedSchema": {"type": "object", "properties": {}},
        "_meta": {"progressToken": who},
    });
    let question = json!({
        "jsonrpc": "2.0", "id": who, "method": "elicitation/create", "params": params,
    });
    let id = id.clone();
    let told = async move {
        let text = json!([answer.await.unwrap()]).to_string();
        let result = json!({"content": [{"type": "text", "text": text}]});
        event(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
    };
    let events = stream::iter([event(&question)]).chain(told.into_stream());
    let body = Body::from_stream(events.map(Ok::<_, std::convert::Infallible>));
    Some(([("content-type", "text/event-stream")], body).into_response())
}

#[tokio::test]
async fn a_server_over_http_hears_how_far_its_answer_is_in_order() {
    let (open, (heard, mut progress)) = (Open::default(), mpsc::unbounded_channel());
    let decide = move |asked: &Asked| {
        if asked.method() == "notifications/progress" {
            heard.send(asked.message["params"].clone()).unwrap();
            return Some(std::future::ready(StatusCode::ACCEPTED.into_response()).boxed());
        }
        Some(std::future::ready(asks(asked, &open)?).boxed())
    };
    let upstream = Upstream::serve(faulty(false, decide)).await;
    let http = HttpConfig { url: upstream.url(), headers: std::collections::BTreeMap::new() };
    let config = ServerConfig::new(TransportConfig::Http(http));
    let host = Host::over(config, tempfile::tempdir().unwrap()).await;
    let mut client = host.legacy(json!({"elicitation": {}})).await;
    let call = client.call("work", "one").await;
    let asked = client.asked("elicitation/create").await;
    for value in 1..=3 {
        let token = &asked["params"]["_meta"]["progressToken"];
        let params = json!({"progressToken": token, "progress": value});
        let method = "notifications/progress";
        client.say(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }
    for value in 1..=3 {
        let expected = json!({"progressToken": "one", "progress": value});
        assert_eq!(progress.recv().await.unwrap(), expected);
    }
    client.reply(&asked, accepted("1")).await;
    assert_eq!(client.learned(call).await, json!([accepted("1")]));
}

#[tokio::test]
async fn a_server_over_http_asks_about_the_very_call_that_it_answers() {
    let open = Open::default();
    let decide = move |asked: &Asked| Some(std::future::ready(asks(asked, &open)?).boxed());
    let upstream = Upstream::serve(faulty(false, decide)).await;
    let http = HttpConfig { url: upstream.url(), headers: std::collections::BTreeMap::new() };
    let config = ServerConfig::new(TransportConfig::Http(http));
    let host = Host::over(config, tempfile::tempdir().unwrap()).await;
    let mut one = host.legacy(json!({"elicitation": {}})).await;
    let mut two = host.legacy(json!({"elicitation": {}})).await;
    let mut modern = host.modern(json!({"elicitation": {}}));
    let calls = (one.call("work", "one").await, two.call("work", "two").await);
    let third = modern.call("work", "three").await;
    let wanted = modern.wanted(third).await;
    let asked = (one.asked("elicitation/create").await, two.asked("elicitation/create").await);
    assert_eq!(asked.0["params"]["message"], "[asker] one");
    assert_eq!(asked.1["params"]["message"], "[asker] two");
    assert!(wanted.to_string().contains("[asker] three"), "{wanted}");
    let retry = modern.retry("work", "three", &wanted, &accepted("3")).await;
    assert_eq!(modern.learned(retry).await, json!([accepted("3")]));
    two.reply(&asked.1, accepted("2")).await;
    one.reply(&asked.0, accepted("1")).await;
    assert_eq!(one.learned(calls.0).await, json!([accepted("1")]));
    assert_eq!(two.learned(calls.1).await, json!([accepted("2")]));
}
