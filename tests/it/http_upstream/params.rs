//! `Mcp-Param-*` headers of a client that no schema names, on their way to a server.

use std::sync::{Arc, Mutex};

use serde_json::json;
use switchboard::{
    access::Gate,
    face::http::{HttpFace, HttpFaceConfig},
    wire::Revision,
};

use super::working;
use crate::support::{http::Client, upstream::Asked};

/// What a call had: its headers but for those of every request.
fn params_of(asked: &Asked) -> Vec<(String, String)> {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
    let named = asked.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    let mut found: Vec<_> = named
        .filter(|(name, _)| name.starts_with("mcp-param-") || name == "cookie" || name == "x-mine")
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn parameters_in_headers_that_no_schema_names_reach_a_modern_server_with_their_call() {
    for (era, expected) in [
        (true, vec![("mcp-param-tenant".to_owned(), "=?base64?YQ==?=".to_owned())]),
        (false, Vec::new()),
    ] {
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let hears = Arc::clone(&heard);
        let (_upstream, runtime, _) = working(era, move |_, asked| {
            if asked.method() == "tools/call" {
                hears.lock().unwrap().push(params_of(asked));
            }
            None
        })
        .await;
        let config = HttpFaceConfig { port: 0, ..HttpFaceConfig::default() };
        let face = HttpFace::bind(&config).await.unwrap();
        let face = face.serve(64 * 1024, Gate::new(runtime.clone()), None);
        let client = Client::new(format!("http://{}/mcp", face.local_addr()));
        let params = json!({"name": "a_work", "arguments": {}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": Revision::LATEST,
            "io.modelcontextprotocol/clientCapabilities": {},
        }});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let post = || {
            let post = client.post().header("mcp-protocol-version", Revision::LATEST.as_str());
            post.header("mcp-method", "tools/call").header("mcp-name", "a_work").json(&message)
        };
        let one = post().header("Mcp-Param-Tenant", "=?base64?YQ==?=");
        let answer = one.header("cookie", "c=1").header("x-mine", "1").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(post().send().await.unwrap().status().is_success());
        assert_eq!(*heard.lock().unwrap(), [expected, Vec::new()], "modern: {era}");

        let many = (0..17).fold(post(), |post, it| post.header(format!("mcp-param-{it}"), "x"));
        let refused = many.send().await.unwrap();
        assert_eq!(refused.status(), 400);
        let refused: serde_json::Value = refused.json().await.unwrap();
        assert_eq!(refused["error"]["code"], -32020, "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains("at most 16"), "{refused}");
        assert_eq!(heard.lock().unwrap().len(), 2);
        runtime.stop().await;
    }
}
