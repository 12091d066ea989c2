//! Traces and metrics of the real program, received by a real OTLP collector in this process.

mod spans;
mod words;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::any_value::Value as Any,
    trace::v1::{Span, span::SpanKind},
};
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::support::{
    binary::{PROGRAM, Switchboard},
    wait::until,
};

/// Everything that was exported.
#[derive(Clone, Default)]
struct Collected {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<String>>>,
    /// Each export as text.
    words: Arc<Mutex<Vec<String>>>,
}

impl Collected {
    fn take_traces(&self, request: ExportTraceServiceRequest) {
        self.words.lock().push(format!("{request:#?}"));
        let scopes = request.resource_spans.into_iter().flat_map(|it| it.scope_spans);
        self.spans.lock().extend(scopes.flat_map(|scope| scope.spans));
    }

    fn take_metrics(&self, request: ExportMetricsServiceRequest) {
        self.words.lock().push(format!("{request:#?}"));
        let scopes = request.resource_metrics.into_iter().flat_map(|it| it.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.metrics.lock().extend(names);
    }

    fn spans(&self, trace: &str) -> Vec<Span> {
        let spans = self.spans.lock();
        spans.iter().filter(|span| hex(&span.trace_id) == trace).cloned().collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[tonic::async_trait]
impl TraceService for Collected {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take_traces(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collected {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take_metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// A collector that serves until it is dropped.
struct Collector {
    endpoint: String,
    collected: Collected,
    _serving: JoinSet<()>,
}

impl Collector {
    async fn grpc() -> Self {
        let (listener, endpoint) = listener().await;
        let collected = Collected::default();
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collected.clone()))
            .add_service(MetricsServiceServer::new(collected.clone()));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { endpoint, collected, _serving: serving }
    }

    async fn http() -> Self {
        let (listener, endpoint) = listener().await;
        let collected = Collected::default();
        let traces = |State(collected): State<Collected>, body: Bytes| async move {
            collected.take_traces(ExportTraceServiceRequest::decode(body).unwrap());
        };
        let metrics = |State(collected): State<Collected>, body: Bytes| async move {
            collected.take_metrics(ExportMetricsServiceRequest::decode(body).unwrap());
        };
        let routes = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(collected.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { endpoint, collected, _serving: serving }
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

fn config(otlp: &Value) -> Value {
    json!({
        "mcpServers": { "demo": { "command": PROGRAM, "args": ["demo-server"] } },
        "telemetry": { "otlp": otlp, "log": { "level": "info" } },
    })
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|it| it.key == key)?.value.clone()?.value?;
    if let Any::IntValue(number) = found {
        return Some(number.to_string());
    }
    let Any::StringValue(text) = found else { return None };
    Some(text)
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Calls a tool as part of a caller's trace.
async fn call(switchboard: &Switchboard, tool: &str, trace: &str) {
    let meta = json!({ "traceparent": format!("00-{trace}-{CALLER}-01") });
    let params = json!({ "name": tool, "arguments": { "text": "x" }, "_meta": meta });
    switchboard.client().modern("tools/call", params).await;
}

#[tokio::test]
async fn a_call_is_one_trace_from_its_caller_to_its_server_over_both_protocols() {
    for (collector, protocol) in
        [(Collector::grpc().await, "grpc"), (Collector::http().await, "http/protobuf")]
    {
        let otlp = json!({ "endpoint": collector.endpoint, "protocol": protocol });
        let switchboard = Switchboard::serve(&config(&otlp)).await;
        call(&switchboard, "demo_echo", TRACE).await;
        call(&switchboard, "demo_nothing", "1af7651916cd43dd8448eb211c80319c").await;
        assert!(switchboard.stop().await.success(), "what is queued goes out at the end");

        let spans = until("both spans are there", async || {
            let spans = collector.collected.spans(TRACE);
            (spans.len() == 2).then_some(spans)
        })
        .await;
        let of = |kind: SpanKind| {
            spans.iter().find(|span| span.kind == i32::from(kind)).unwrap().clone()
        };
        let (received, sent) = (of(SpanKind::Server), of(SpanKind::Client));
        assert_eq!(hex(&received.parent_span_id), CALLER, "{protocol}");
        assert_eq!(sent.parent_span_id, received.span_id);
        assert_eq!(received.name, "tools/call demo_echo");
        assert_eq!(sent.name, "tools/call echo");
        for (span, key, value) in [
            (&received, "mcp.method.name", "tools/call"),
            (&received, "gen_ai.tool.name", "demo_echo"),
            (&received, "mcp.protocol.version", "2026-07-28"),
            (&sent, "gen_ai.tool.name", "echo"),
            (&sent, "switchboard.server", "demo"),
            (&sent, "network.transport", "pipe"),
            (&sent, "switchboard.incarnation", "1"),
        ] {
            assert_eq!(attribute(span, key).as_deref(), Some(value), "{key}");
        }
        let failed = collector.collected.spans("1af7651916cd43dd8448eb211c80319c");
        assert_eq!(failed.len(), 1);
        assert_eq!(attribute(&failed[0], "error.type").as_deref(), Some("-32602"));
        let names = collector.collected.metrics.lock().clone();
        for name in ["mcp.server.operation.duration", "mcp.client.operation.duration"] {
            assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
        }
    }
}

#[tokio::test]
async fn a_server_gets_the_context_of_our_span_or_the_callers_own() {
    let script = "import sys, json\n\
        for line in sys.stdin:\n\
        \x20   m = json.loads(line)\n\
        \x20   if 'id' not in m: continue\n\
        \x20   if m['method'] == 'initialize': r = {'protocolVersion': '2025-11-25', 'capabilities': {'tools': {}}, 'serverInfo': {'name': 's', 'version': '1'}}\n\
        \x20   elif m['method'] == 'tools/list': r = {'tools': [{'name': 'context', 'inputSchema': {'type': 'object'}}]}\n\
        \x20   elif m['method'] == 'tools/call': r = {'content': [{'type': 'text', 'text': m['params'].get('_meta', {}).get('traceparent', 'none')}]}\n\
        \x20   else:\n\
        \x20       print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'error': {'code': -32601, 'message': 'no'}}), flush=True)\n\
        \x20       continue\n\
        \x20   print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': r}), flush=True)\n";
    let collector = Collector::http().await;
    for (endpoint, own) in [(collector.endpoint.clone(), true), (String::new(), false)] {
        let mut config = config(&json!({ "endpoint": endpoint }));
        config["mcpServers"]["s"] = json!({ "command": "python3", "args": ["-c", script] });
        let switchboard = Switchboard::serve(&config).await;
        let sent = format!("00-{TRACE}-{CALLER}-01");
        let meta = json!({ "traceparent": sent });
        let params = json!({ "name": "s_context", "arguments": {}, "_meta": meta });
        let reply = switchboard.client().modern("tools/call", params).await;
        let seen = reply.text().to_owned();
        assert!(switchboard.stop().await.success());
        if own {
            assert!(seen.contains(TRACE) && !seen.contains(CALLER), "{seen}");
            let client = until("our span is there", async || {
                let spans = collector.collected.spans(TRACE);
                spans.into_iter().find(|span| span.kind == i32::from(SpanKind::Client))
            })
            .await;
            assert!(seen.contains(&hex(&client.span_id)), "{seen}");
        } else {
            assert_eq!(seen, sent, "without traces of ours the caller's own passes");
        }
    }
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_disturbs_nobody() {
    let (silent, endpoint) = listener().await;
    let (gone, nowhere) = listener().await;
    drop(gone);
    for endpoint in [endpoint, nowhere] {
        for protocol in ["grpc", "http/protobuf"] {
            let otlp = json!({ "endpoint": endpoint, "protocol": protocol });
            let switchboard = Switchboard::serve(&config(&otlp)).await;
            let mut calls = JoinSet::new();
            for _ in 0..50 {
                let client = switchboard.client();
                calls.spawn(async move {
                    for _ in 0..10 {
                        let said = json!({ "text": "on" });
                        assert_eq!(client.call("demo_echo", said).await.text(), "on");
                    }
                });
            }
            calls.join_all().await;
            let stopped = Instant::now();
            let status = switchboard.stop().await;
            assert!(status.success(), "it ends in order: {protocol}");
            // Two seconds for what is left to export, and what everything else takes.
            assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
        }
    }
    drop(silent);
}

#[tokio::test]
async fn metrics_are_there_for_prometheus_with_bounded_labels() {
    let switchboard = Switchboard::serve(&config(&json!({}))).await;
    let client = switchboard.client();
    for number in 0..30 {
        client.call("demo_echo", json!({ "text": "hush-hush" })).await;
        client.modern(&format!("made/up{number}"), json!({})).await;
        client.call(&format!("no_tool_{number}"), json!({})).await;
    }
    let url = switchboard.url().replace("/mcp", "/metrics");
    let response = reqwest::get(&url).await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let text = response.text().await.unwrap();
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        samples.insert(name.to_owned(), value.to_owned());
    }
    let sample = |start: &str| {
        let found = samples.iter().find(|(name, _)| name.starts_with(start));
        found.map_or_else(|| panic!("{start} in {text}"), |(_, value)| value.clone())
    };
    assert_eq!(sample("switchboard_connections{"), "1");
    assert_eq!(sample("switchboard_calls_total{"), "30");
    sample("mcp_server_operation_duration_seconds_bucket{");
    sample("mcp_client_operation_duration_seconds_count{");
    assert!(!text.contains("made/up") && !text.contains("no_tool") && !text.contains("hush"));
    assert!(samples.len() < 400, "{} samples", samples.len());
    assert!(switchboard.stop().await.success());
}
