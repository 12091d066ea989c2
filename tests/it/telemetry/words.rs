//! What leaves by telemetry: what whoever samples wants, and no argument, result or secret.

use serde_json::{Value, json};

use super::{CALLER, Collector, TRACE, config};
use crate::support::{
    binary::{PROGRAM, Switchboard},
    wait::until,
};

/// Answers each call with the trace that it was called in.
const MIRROR: &str = "import sys, json\n\
    for line in sys.stdin:\n\
    \x20   m = json.loads(line)\n\
    \x20   if 'id' not in m: continue\n\
    \x20   a = {'jsonrpc': '2.0', 'id': m['id']}\n\
    \x20   if m['method'] == 'initialize': a['result'] = {'protocolVersion': '2025-11-25', 'capabilities': {'tools': {}}, 'serverInfo': {'name': 's', 'version': '1'}}\n\
    \x20   elif m['method'] == 'tools/list': a['result'] = {'tools': [{'name': 'context', 'inputSchema': {'type': 'object'}}]}\n\
    \x20   elif m['method'] == 'tools/call': a['result'] = {'content': [{'type': 'text', 'text': m['params']['_meta']['traceparent']}]}\n\
    \x20   else: a['error'] = {'code': -32601, 'message': 'no'}\n\
    \x20   print(json.dumps(a), flush=True)\n";

async fn start(config: &Value, variables: &[(&str, &str)]) -> Switchboard {
    Switchboard::serve_in(tempfile::tempdir().unwrap(), config, variables).await
}

/// The flags that a server gets where its caller sends these.
async fn flags(switchboard: &Switchboard, trace: &str, sent: &str) -> String {
    let meta = json!({ "traceparent": format!("00-{trace}-{CALLER}-{sent}") });
    let params = json!({ "name": "s_context", "arguments": {}, "_meta": meta });
    let seen = switchboard.client().modern("tools/call", params).await.text().to_owned();
    assert!(seen.starts_with(&format!("00-{trace}-")), "{seen}");
    seen.rsplit('-').next().unwrap().to_owned()
}

#[tokio::test]
async fn who_samples_decides_and_it_is_said_further_on() {
    const OTHER: &str = "1af7651916cd43dd8448eb211c80319c";
    let collector = Collector::http().await;
    let mut config = config(&json!({ "endpoint": collector.endpoint }));
    config["mcpServers"] = json!({ "s": { "command": "python3", "args": ["-c", MIRROR] } });
    // By default the caller decides.
    let switchboard = start(&config, &[]).await;
    assert_eq!(flags(&switchboard, OTHER, "00").await, "00");
    assert_eq!(flags(&switchboard, TRACE, "01").await, "01");
    assert!(switchboard.stop().await.success(), "what is queued goes out at the end");
    until("the sampled one", async || (collector.collected.spans(TRACE).len() == 2).then_some(()))
        .await;
    assert_eq!(collector.collected.spans(OTHER).len(), 0);

    // The variables of OpenTelemetry overrule that.
    for (sampler, sent, expected) in [("always_off", "01", "00"), ("always_on", "00", "01")] {
        let collector = Collector::http().await;
        config["telemetry"]["otlp"]["endpoint"] = json!(collector.endpoint);
        let switchboard = start(&config, &[("OTEL_TRACES_SAMPLER", sampler)]).await;
        assert_eq!(flags(&switchboard, TRACE, sent).await, expected, "{sampler}");
        assert!(switchboard.stop().await.success());
        let spans = collector.collected.spans(TRACE).len();
        assert_eq!(spans, if expected == "01" { 2 } else { 0 }, "{sampler}");
    }
}

/// Secrets of a configuration, and what passes through in calls.
const CANARIES: [(&str, &str); 5] = [
    ("configured", "c4n4ry-environment"),
    ("argument", "c4n4ry-argument"),
    ("result", "c4n4ry-result"),
    ("metadata", "c4n4ry-metadata"),
    ("credentials", "c4n4ry-authorization"),
];

#[tokio::test]
async fn a_collector_and_a_scraper_learn_no_secret() {
    for (collector, protocol) in
        [(Collector::grpc().await, "grpc"), (Collector::http().await, "http/protobuf")]
    {
        let otlp = json!({ "endpoint": collector.endpoint, "protocol": protocol });
        let mut config = config(&otlp);
        let loud = "echo \"$SECRET\" >&2; exec \"$0\" demo-server";
        let secret = json!({ "SECRET": "c4n4ry-environment" });
        config["mcpServers"]["loud"] =
            json!({ "command": "sh", "args": ["-c", loud, PROGRAM], "env": secret });
        let dies = "echo \"$SECRET\" >&2; exit 3";
        config["mcpServers"]["dies"] =
            json!({ "command": "sh", "args": ["-c", dies], "env": secret });
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20c4n4ry-authorization");
        let switchboard = start(&config, &[headers]).await;
        let client = switchboard.client();
        let meta = json!({
            "traceparent": format!("00-{TRACE}-{CALLER}-01"), "note": "c4n4ry-metadata",
        });
        for (tool, arguments) in [
            ("loud_echo", json!({ "text": "c4n4ry-argument c4n4ry-result" })),
            ("loud_add", json!({ "a": "c4n4ry-argument" })),
            ("loud_crash", json!({ "why": "c4n4ry-argument" })),
        ] {
            let params = json!({ "name": tool, "arguments": arguments, "_meta": meta.clone() });
            client.modern("tools/call", params).await;
        }
        let url = switchboard.url().replace("/mcp", "/metrics");
        let scraped = reqwest::get(url).await.unwrap().text().await.unwrap();
        assert!(switchboard.stop().await.success(), "what is queued goes out at the end");
        let exported = until("traces and measurements are there", async || {
            let words = collector.collected.words.lock().join("\n");
            (words.contains("tools/call echo") && words.contains("operation.duration"))
                .then_some(words)
        })
        .await;
        assert!(exported.contains("loud") && scraped.contains("loud"));
        for (who, words) in [("the collector", &exported), ("the scraper", &scraped)] {
            for (what, canary) in CANARIES {
                let line = words.lines().find(|line| line.contains(canary));
                assert!(line.is_none(), "{who} got the {what} ({protocol}): {line:?}");
            }
        }
    }
}
