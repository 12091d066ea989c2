//! Watching over HTTP: the streams that carry updates, and what ends with them.

use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::{
    face::http::{HttpFace, HttpFaceConfig},
    wire::Revision,
};

use super::watched::{ONE, TWO, Watched, touch_any};
use crate::{
    mcp_host::Events,
    support::{http::Client, schema::assert_valid},
};

const UPDATED: &str = "notifications/resources/updated";

async fn updated(events: &mut Events, revision: Revision) -> Value {
    let message = events.message().await;
    assert_valid(revision, "JSONRPCMessage", &message);
    assert_eq!(message["method"], UPDATED, "{message}");
    message["params"].clone()
}

fn lines(servers: &[(char, &str)]) -> Vec<String> {
    servers.iter().map(|(sign, uri)| format!("{sign} {uri}")).collect()
}

#[tokio::test]
async fn updates_come_over_the_streams_of_http_and_end_with_them() {
    let servers = Watched::start("legacy", "stdio").await;
    let config = HttpFaceConfig { port: 0, ..HttpFaceConfig::default() };
    let face = HttpFace::bind(&config).await.unwrap();
    let face = face.serve(64 * 1024, Arc::clone(&servers.host.gate), None);
    let url = format!("http://{}/mcp", face.local_addr());
    let client = Client::new(&*url);

    let session = client.initialize(Revision::LATEST_LEGACY).await;
    let resources = &session.server["capabilities"]["resources"];
    assert_eq!(*resources, json!({"listChanged": true, "subscribe": true}));
    let answer = session.request("resources/subscribe", json!({"uri": ONE})).await;
    assert_eq!(*answer.result(), json!({}));
    // What changes before anybody listens is told once somebody does, and once.
    for _ in 0..3 {
        touch_any(&servers, ONE).await;
    }
    let mut stream = Events::of(Revision::LATEST_LEGACY, session.stream().await);
    assert_eq!(updated(&mut stream, session.revision()).await, json!({"uri": ONE}));

    let params = json!({"notifications": {"resourceSubscriptions": [ONE, TWO]}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": Revision::LATEST,
        "io.modelcontextprotocol/clientCapabilities": {},
    }});
    let method = "subscriptions/listen";
    let message = json!({"jsonrpc": "2.0", "id": "l", "method": method, "params": params});
    let post = client
        .post()
        .header("mcp-protocol-version", Revision::LATEST.as_str())
        .header("mcp-method", method);
    let mut listening = Events::of(Revision::LATEST, post.json(&message).send().await.unwrap());
    let acknowledged = listening.message().await;
    let agreed = &acknowledged["params"]["notifications"]["resourceSubscriptions"];
    assert_eq!(*agreed, json!([ONE, TWO]), "{acknowledged}");
    let first = updated(&mut listening, Revision::LATEST).await;
    assert_eq!(first["uri"], TWO, "the other was held before");
    touch_any(&servers, ONE).await;
    let second = updated(&mut listening, Revision::LATEST).await;
    assert_eq!(second["uri"], ONE);
    assert_eq!(second["_meta"]["io.modelcontextprotocol/subscriptionId"], "l");
    assert_eq!(updated(&mut stream, session.revision()).await["uri"], ONE);

    drop(listening);
    servers.journals(&lines(&[('+', ONE), ('+', TWO), ('-', TWO)])).await;
    assert_eq!(session.end().await, 204);
    servers.journals(&lines(&[('+', ONE), ('+', TWO), ('-', TWO), ('-', ONE)])).await;
    let unknown = client.modern("resources/subscribe", json!({"uri": ONE})).await;
    assert_eq!(unknown.error()["code"], -32601, "it is of the legacy era");
}
