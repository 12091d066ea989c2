//! MCP over standard streams: both eras by line, one era for good, calls at the same time.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{
    face::stdio::{StdioOptions, serve},
    id::Owner,
    runtime::RuntimeHandle,
    wire::Revision,
};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf,
        WriteHalf, duplex, split,
    },
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    mcp_host::{grow, modern, runtime},
    mcp_modern::step,
    support::{
        outgoing::to_client,
        schema::assert_valid,
        script::{Script, text},
        wait::PATIENCE,
    },
};

const LINE_BYTES: usize = 4096;

/// A client at the other end of the streams.
struct Client {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    stop: CancellationToken,
    serving: JoinSet<std::io::Result<()>>,
    runtime: RuntimeHandle,
    /// The legacy revision that was agreed on; it is modern until then.
    revision: Revision,
    /// Its last request.
    asked: Option<(u64, String)>,
}

impl Client {
    async fn start(script: &Script, grace: Duration) -> Self {
        let (runtime, gate) = runtime(script, 1000).await;
        let (ours, theirs) = duplex(64 * 1024);
        let (reader, writer) = split(theirs);
        let options = StdioOptions { owner: Owner::Store, line_bytes: LINE_BYTES, grace };
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(serve(reader, writer, gate, options, stop.clone()));
        let (output, input) = split(ours);
        let output = BufReader::new(output).lines();
        Self { input, output, stop, serving, runtime, revision: Revision::LATEST, asked: None }
    }

    async fn say(&mut self, message: &Value) {
        self.say_line(&message.to_string()).await;
    }

    async fn say_line(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn request(&mut self, id: u64, method: &str, params: Value) {
        self.asked = Some((id, method.to_owned()));
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
    }

    async fn hear(&mut self) -> Value {
        let line = timeout(PATIENCE, self.output.next_line()).await.expect("a line in time");
        self.read(&line.unwrap().expect("a line before the end"))
    }

    fn read(&self, line: &str) -> Value {
        let message: Value = serde_json::from_str(line).unwrap();
        let asked = self.asked.as_ref().filter(|(id, _)| message["id"] == *id);
        to_client(self.revision, asked.map(|(_, method)| method.as_str()), &message);
        message
    }

    async fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.request(id, method, params).await;
        let answer = self.hear().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    async fn initialize(&mut self, revision: Revision) {
        self.revision = revision;
        let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {}});
        let answer = self.ask(0, "initialize", params).await;
        assert_valid(revision, "InitializeResult", &answer["result"]);
        assert_eq!(answer["result"]["protocolVersion"], json!(revision));
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    }

    /// Closes the input and hears what is still said.
    async fn close(mut self) -> Vec<Value> {
        self.input.shutdown().await.unwrap();
        let mut rest = Vec::new();
        while let Some(line) = timeout(PATIENCE, self.output.next_line()).await.unwrap().unwrap() {
            rest.push(self.read(&line));
        }
        let served = timeout(PATIENCE, self.serving.join_next()).await.unwrap();
        served.unwrap().unwrap().unwrap();
        rest
    }
}

/// A tool that says when it hangs and when it was cancelled.
fn hanging() -> (Script, mpsc::Receiver<&'static str>) {
    let (said, hears) = mpsc::channel(4);
    let script = Script::new().echo().tool("hang", move |call| {
        let said = said.clone();
        async move {
            said.send("started").await.unwrap();
            call.context.ct.cancelled().await;
            said.send("cancelled").await.unwrap();
            Ok(text("nobody reads this"))
        }
    });
    (script, hears)
}

async fn heard(hears: &mut mpsc::Receiver<&'static str>) -> &'static str {
    timeout(PATIENCE, hears.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_legacy_client_initialises_calls_and_hears_of_changes() {
    let script = Script::new().echo().tool("step", step);
    for revision in [Revision::V2024_11_05, Revision::V2025_11_25] {
        let mut client = Client::start(&script, PATIENCE).await;
        assert_eq!(client.ask(1, "ping", json!({})).await["result"], json!({}));
        let early = client.ask(2, "tools/list", json!({})).await;
        assert_eq!(early["error"]["code"], -32600);
        client.initialize(revision).await;
        let listed = client.ask(3, "tools/list", json!({})).await;
        assert_valid(revision, "ListToolsResult", &listed["result"]);
        let call = json!({"name": "demo_step", "_meta": {"progressToken": "p"}});
        client.request(4, "tools/call", call).await;
        for progress in [1.0, 2.0] {
            let message = client.hear().await;
            assert_eq!(message["params"]["progressToken"], "p");
            assert_eq!(message["params"]["progress"].as_f64(), Some(progress));
        }
        assert_eq!(client.hear().await["result"]["content"][0]["text"], "stepped");
        for unknown in ["server/discover", "subscriptions/listen"] {
            let answer = client.ask(5, unknown, modern(json!({}))).await;
            assert_eq!(answer["error"]["code"], -32601, "{unknown}");
        }
        let runtime = client.runtime.clone();
        grow(&runtime, &script, revision.as_str()).await;
        let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
        assert_eq!(client.hear().await, changed);
        assert!(client.close().await.is_empty());
    }
}

#[tokio::test]
async fn a_modern_client_probes_calls_and_listens() {
    let script = Script::new().echo();
    let mut client = Client::start(&script, PATIENCE).await;
    let probe = client.ask(1, "server/discover", modern(json!({}))).await;
    assert_valid(Revision::LATEST, "DiscoverResult", &probe["result"]);
    let future = {
        let mut params = modern(json!({}));
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
        params
    };
    let refused = client.ask(2, "tools/list", future).await;
    assert_eq!(refused["error"]["code"], -32022);
    assert_eq!(client.ask(3, "ping", json!({})).await["result"], json!({}));
    let call = modern(json!({"name": "demo_echo", "arguments": {"a": 1}}));
    let called = client.ask(4, "tools/call", call).await;
    assert_valid(Revision::LATEST, "CallToolResult", &called["result"]);
    for (id, method) in [(5, "initialize"), (6, "ping")] {
        assert_eq!(client.ask(id, method, modern(json!({}))).await["error"]["code"], -32601);
    }
    assert_eq!(client.ask(7, "tools/list", json!({})).await["error"]["code"], -32602);
    let filter = modern(json!({"notifications": {"toolsListChanged": true}}));
    let acknowledged = client.ask_stream(8, filter.clone()).await;
    assert_valid(Revision::LATEST, "SubscriptionsAcknowledgedNotification", &acknowledged);
    let runtime = client.runtime.clone();
    grow(&runtime, &script, "more").await;
    let changed = client.hear().await;
    let subscription = "io.modelcontextprotocol/subscriptionId";
    assert_eq!(changed["params"]["_meta"][subscription], 8);
    client
        .say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 8}}))
        .await;
    client.ask_stream(9, filter).await;
    let rest = client.close().await;
    assert_eq!(rest[0]["id"], 9);
    assert_valid(Revision::LATEST, "SubscriptionsListenResult", &rest[0]["result"]);
    assert_eq!(rest[1]["method"], "notifications/cancelled");
    assert_eq!(rest[1]["params"]["requestId"], 9);
    assert_eq!(rest.len(), 2);
}

impl Client {
    /// Opens a subscription and hears its acknowledgement.
    async fn ask_stream(&mut self, id: u64, filter: Value) -> Value {
        self.request(id, "subscriptions/listen", filter).await;
        let acknowledged = self.hear().await;
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
        acknowledged
    }
}

#[tokio::test]
async fn calls_run_at_the_same_time_and_are_cancelled_by_notification() {
    let (script, mut hears) = hanging();
    let mut client = Client::start(&script, PATIENCE).await;
    client.initialize(Revision::V2025_06_18).await;
    client.request(1, "tools/call", json!({"name": "demo_hang"})).await;
    assert_eq!(heard(&mut hears).await, "started");
    let again = client.ask(1, "ping", json!({})).await;
    assert_eq!(again["error"]["code"], -32600);
    let echoed = client.ask(2, "tools/call", json!({"name": "demo_echo"})).await;
    assert_eq!(echoed["result"]["content"][0]["text"], "{}");
    client
        .say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}))
        .await;
    assert_eq!(heard(&mut hears).await, "cancelled");
    assert!(client.close().await.is_empty());
}

#[tokio::test]
async fn what_is_in_flight_is_answered_after_the_input_ended() {
    let script = Script::new().echo();
    let mut client = Client::start(&script, PATIENCE).await;
    client.initialize(Revision::V2025_06_18).await;
    client.request(1, "tools/call", json!({"name": "demo_echo"})).await;
    let rest = client.close().await;
    assert_eq!((rest.len(), &rest[0]["id"]), (1, &json!(1)));
}

#[tokio::test]
async fn a_stop_waits_for_calls_no_longer_than_its_grace() {
    let (script, mut hears) = hanging();
    let mut client = Client::start(&script, Duration::from_millis(50)).await;
    client.initialize(Revision::V2025_06_18).await;
    client.request(1, "tools/call", json!({"name": "demo_hang"})).await;
    assert_eq!(heard(&mut hears).await, "started");
    client.stop.cancel();
    let served = timeout(PATIENCE, client.serving.join_next()).await.unwrap();
    served.unwrap().unwrap().unwrap();
    assert_eq!(heard(&mut hears).await, "cancelled");
}

#[tokio::test]
async fn lines_that_are_no_message_are_refused_and_the_next_one_is_served() {
    let mut client = Client::start(&Script::new().echo(), PATIENCE).await;
    client.initialize(Revision::V2025_03_26).await;
    let long = "x".repeat(LINE_BYTES + 1);
    for (line, code) in [("hello", -32700), ("{}", -32600), (&*long, -32600), ("[]", -32600)] {
        client.say_line(line).await;
        let answer = client.hear().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(null), &json!(code)));
    }
    client.say_line("").await;
    client
        .say(&json!([
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
            {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "demo_echo"}},
        ]))
        .await;
    let answers = client.hear().await;
    assert_eq!(answers.as_array().unwrap().len(), 2, "{answers}");
    assert!(client.close().await.is_empty());
}
