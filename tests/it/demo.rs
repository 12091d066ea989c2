//! The demonstration server as a client meets it: raw lines in both eras, and rmcp's own client.

use std::process::Stdio;

use rmcp::{ServiceExt as _, model::CallToolRequestParams, transport::TokioChildProcess};
use serde_json::{Value, json};
use switchboard::wire::Revision;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::support::{binary::PROGRAM, schema::assert_valid, wait::PATIENCE};

/// A running `demo-server`, spoken to by hand.
struct Demo {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Demo {
    fn start() -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["demo-server", "--name", "mine"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    async fn send(&mut self, message: Value) {
        let line = format!("{message}\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> Option<Value> {
        let line = timeout(PATIENCE, self.output.next_line()).await;
        let line = line.expect("a line in time").unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Sends a request and gives everything up to its response, which is last.
    async fn ask(&mut self, id: u64, method: &str, params: Value) -> Vec<Value> {
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        let mut lines = Vec::new();
        loop {
            lines.push(self.line().await.expect("an answer"));
            if lines[lines.len() - 1]["id"] == id {
                return lines;
            }
        }
    }

    /// The result of a request that has no notifications.
    async fn result(&mut self, id: u64, method: &str, params: Value) -> Value {
        let mut lines = self.ask(id, method, params).await;
        assert_eq!(lines.len(), 1, "{lines:#?}");
        lines[0]["result"].take()
    }

    async fn initialized(revision: Revision) -> Self {
        let mut demo = Self::start();
        let params = json!({
            "protocolVersion": revision,
            "capabilities": {},
            "clientInfo": {"name": "it", "version": "1"},
        });
        let result = demo.result(0, "initialize", params).await;
        assert_valid(revision, "InitializeResult", &result);
        assert_eq!(result["protocolVersion"], json!(revision));
        assert_eq!(result["serverInfo"]["name"], "mine");
        demo.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        demo
    }

    /// Closes its input and waits until it has ended.
    async fn end(mut self) -> Option<i32> {
        drop(self.input);
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends when its input ends").unwrap().code()
    }
}

fn modern(mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(Revision::LATEST);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    params
}

#[tokio::test]
async fn legacy_clients_of_every_revision_list_and_call() {
    for revision in Revision::ALL {
        if revision == Revision::LATEST {
            continue;
        }
        let mut demo = Demo::initialized(revision).await;
        let listed = demo.result(1, "tools/list", json!({})).await;
        assert_valid(revision, "ListToolsResult", &listed);
        assert_eq!(listed["tools"].as_array().unwrap().len(), 5);
        let call = json!({"name": "echo", "arguments": {"text": "größe \u{1F4DE}"}});
        let echo = demo.result(2, "tools/call", call).await;
        assert_valid(revision, "CallToolResult", &echo);
        assert_eq!(echo["content"][0]["text"], "größe \u{1F4DE}");
        assert_eq!(demo.end().await, Some(0), "{revision}");
    }
}

#[tokio::test]
async fn modern_clients_need_no_handshake() {
    let mut demo = Demo::start();
    let facts = demo.result(1, "server/discover", modern(json!({}))).await;
    assert_valid(Revision::LATEST, "DiscoverResult", &facts);
    let listed = demo.result(2, "tools/list", modern(json!({}))).await;
    assert_valid(Revision::LATEST, "ListToolsResult", &listed);
    assert_eq!(listed["ttlMs"], 3_600_000);
    let call = modern(json!({"name": "add", "arguments": {"a": 1, "b": 0.5}}));
    let sum = demo.result(3, "tools/call", call).await;
    assert_valid(Revision::LATEST, "CallToolResult", &sum);
    assert_eq!(sum["structuredContent"], json!({"sum": 1.5}));
    assert_eq!(demo.end().await, Some(0));
}

#[tokio::test]
async fn what_a_caller_got_wrong_is_told_to_the_model() {
    let mut demo = Demo::initialized(Revision::LATEST_LEGACY).await;
    for (id, tool, arguments, told) in [
        (1, "now", json!({"zone": "Europe/Berln"}), "did you mean \"Europe/Berlin\"?"),
        (2, "echo", json!({}), "missing field `text`"),
        (3, "echo", json!({"text": "a", "loud": true}), "unknown field `loud`"),
        (4, "slow", json!({"seconds": -1}), "seconds must be 0 to 3600"),
        (5, "add", json!({"a": 1e308, "b": 1e308}), "too large"),
    ] {
        let call = json!({"name": tool, "arguments": arguments});
        let result = demo.result(id, "tools/call", call).await;
        assert_eq!(result["isError"], true, "{result:#}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(told), "{text}");
    }
    let unknown = demo.ask(6, "tools/call", json!({"name": "nope"})).await;
    assert_eq!(unknown[0]["error"]["code"], -32602);
    assert_eq!(demo.end().await, Some(0));
}

#[tokio::test]
async fn slow_work_reports_progress_and_can_be_cancelled() {
    let mut demo = Demo::initialized(Revision::LATEST_LEGACY).await;
    let call = json!({
        "name": "slow",
        "arguments": {"seconds": 0.1, "steps": 3},
        "_meta": {"progressToken": "mine"},
    });
    let lines = demo.ask(1, "tools/call", call).await;
    let steps: Vec<&Value> = lines.iter().filter(|line| line.get("method").is_some()).collect();
    let progress: Vec<f64> =
        steps.iter().map(|step| step["params"]["progress"].as_f64().unwrap()).collect();
    assert_eq!(progress, [1.0, 2.0, 3.0], "{lines:#?}");
    assert!(steps.iter().all(|step| step["params"]["progressToken"] == "mine"));

    let endless = json!({"name": "slow", "arguments": {"seconds": 3600, "steps": 1}});
    demo.send(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": endless})).await;
    let cancel = json!({"requestId": 2, "reason": "enough"});
    demo.send(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel}))
        .await;
    // Nothing answers a cancelled call, and what comes after it is served.
    assert_eq!(demo.result(3, "ping", json!({})).await, json!({}));
    assert_eq!(demo.end().await, Some(0));
}

#[tokio::test]
async fn it_crashes_when_it_is_asked_to() {
    for (arguments, code) in [(json!({"code": 42}), Some(42)), (json!({"how": "abort"}), None)] {
        let mut demo = Demo::initialized(Revision::LATEST_LEGACY).await;
        let params = json!({"name": "crash", "arguments": arguments});
        demo.send(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))
            .await;
        assert_eq!(demo.line().await, None, "no answer");
        let ended = timeout(PATIENCE, demo.child.wait()).await.unwrap().unwrap();
        assert_eq!(ended.code(), code, "{ended}");
    }
}

#[tokio::test]
async fn rmcps_own_client_gets_on_with_it() {
    let mut command = Command::new(PROGRAM);
    command.arg("demo-server");
    let client = ().serve(TokioChildProcess::new(command).unwrap()).await.unwrap();
    let tools = client.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), 5);
    let arguments = rmcp::object!({"zone": "Asia/Tokyo"});
    let now = client
        .call_tool(CallToolRequestParams::new("now").with_arguments(arguments))
        .await
        .unwrap();
    let said = now.structured_content.unwrap();
    assert!(said["time"].as_str().unwrap().ends_with("+09:00"), "{said}");
    client.cancel().await.unwrap();
}
