//! What nobody reads: a client that asks and never takes what waits for it is cut off over HTTP and
//! left alone over lines, holds up nobody else, and one that is merely slow gets everything.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rmcp::model::ProgressNotificationParam;
use serde_json::{Value, json};
use switchboard::{
    access::Gate,
    face::stdio::{StdioOptions, serve},
    id::Owner,
    wire::Revision,
};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream,
        Lines, ReadHalf, WriteHalf, duplex, split,
    },
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    mcp_host::{Host, modern, runtime},
    support::{
        outgoing::to_client,
        script::{Script, text},
        wait::PATIENCE,
    },
};

/// More than the buffers of both sides hold, so that an answer cannot go out unread.
const ANSWER: usize = 5 * 1024 * 1024;
/// Longer than an answer may wait for its reader, shorter than anything else that ends a
/// connection: the next head may be awaited for two minutes.
const UNREAD: Duration = Duration::from_secs(45);
/// Shorter than an answer may wait.
const SLOW: Duration = Duration::from_secs(20);

/// Asks for one long answer, over a connection that holds little of it.
async fn ask(host: &Host) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let url = host.url("");
    let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let params = modern(json!({ "name": "demo_long", "arguments": {} }));
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let body = body.to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: {}\r\n\
         mcp-method: tools/call\r\nmcp-name: demo_long\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        Revision::LATEST,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

fn long() -> Script {
    Script::new().tool("long", async |_| Ok(text("x".repeat(ANSWER))))
}

/// What is left of an answer. A connection that was cut may be reset.
async fn rest(mut stream: TcpStream) -> usize {
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.ok();
    read.len()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_its_answer_is_cut_off() {
    let host = Host::start(long()).await;
    let stream = ask(&host).await;
    stream.readable().await.unwrap();
    sleep(UNREAD).await;
    let read = rest(stream).await;
    assert!(read < ANSWER, "the whole answer was kept for it: {read} bytes");
    host.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_its_whole_answer() {
    let host = Host::start(long()).await;
    let mut stream = ask(&host).await;
    let mut read = 0;
    for _ in 0..4 {
        let mut piece = vec![0; ANSWER / 5];
        read += stream.read_exact(&mut piece).await.unwrap();
        sleep(SLOW).await;
    }
    read += rest(stream).await;
    assert!(read > ANSWER, "{read} bytes");
    host.stop().await;
}

/// Reports of progress that a server makes in one call, far more than are kept for a client.
const FLOOD: u32 = 5000;

/// A server that says when it has said everything.
fn flooding() -> (Script, mpsc::Receiver<()>) {
    let (said, hears) = mpsc::channel(1);
    let script = Script::new().legacy().echo().tool("flood", move |call| {
        let said = said.clone();
        async move {
            let token = call.context.meta.get_progress_token().unwrap();
            for step in 1..=FLOOD {
                let params = ProgressNotificationParam::new(token.clone(), f64::from(step));
                let params = params.with_message("x".repeat(100));
                call.context.peer.notify_progress(params).await.unwrap();
            }
            said.send(()).await.unwrap();
            Ok(text("flooded"))
        }
    });
    (script, hears)
}

/// A legacy client over lines that hold a kilobyte unread.
struct Client {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    stop: CancellationToken,
    serving: JoinSet<io::Result<()>>,
}

impl Client {
    async fn open(gate: &Arc<Gate>) -> Self {
        let (ours, theirs) = duplex(1024);
        let (reader, writer) = split(theirs);
        let options =
            StdioOptions { owner: Owner::Store, line_bytes: 4096, grace: Duration::from_secs(2) };
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(serve(reader, writer, Arc::clone(gate), options, stop.clone()));
        let (output, input) = split(ours);
        let output = BufReader::new(output).lines();
        let mut client = Self { input, output, stop, serving };
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "it", "version": "1"}});
        client.ask(0, "initialize", params).await;
        assert_eq!(client.hear().await["id"], 0);
        client
    }

    async fn ask(&mut self, id: u64, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn flood(&mut self) {
        let params = json!({"name": "demo_flood", "arguments": {}, "_meta": {"progressToken": 1}});
        self.ask(1, "tools/call", params).await;
    }

    async fn hear(&mut self) -> Value {
        let line = timeout(PATIENCE, self.output.next_line()).await.expect("a line in time");
        let message = serde_json::from_str(&line.unwrap().expect("a line")).unwrap();
        to_client(Revision::V2025_11_25, None, &message);
        message
    }
}

#[tokio::test]
async fn a_client_over_lines_that_reads_nothing_holds_up_nobody() {
    let (script, mut hears) = flooding();
    let (_runtime, gate) = runtime(&script, 1000).await;
    let (mut silent, mut other) = (Client::open(&gate).await, Client::open(&gate).await);
    silent.flood().await;
    timeout(PATIENCE, hears.recv()).await.expect("the server can say everything").unwrap();

    other.ask(1, "tools/call", json!({"name": "demo_echo", "arguments": {"a": 1}})).await;
    assert_eq!(other.hear().await["result"]["content"][0]["text"], r#"{"a":1}"#);
    drop(Script::clone(&script).tool("more", async |_| Ok(text("more"))));
    script.announce().await;
    assert_eq!(other.hear().await["method"], "notifications/tools/list_changed");

    let mut kept = 0;
    let answer = loop {
        let message = silent.hear().await;
        if message["id"] == 1 {
            break message;
        }
        kept += 1;
    };
    assert_eq!(answer["result"]["content"][0]["text"], "flooded");
    assert!(kept < FLOOD / 10, "{kept} messages were kept for a client that read none");
}

#[tokio::test(start_paused = true)]
async fn a_client_over_lines_that_reads_nothing_does_not_keep_us_from_ending() {
    let (script, mut hears) = flooding();
    let (_runtime, gate) = runtime(&script, 1000).await;
    let mut silent = Client::open(&gate).await;
    silent.flood().await;
    timeout(PATIENCE, hears.recv()).await.unwrap().unwrap();
    silent.stop.cancel();
    let ended = timeout(Duration::from_secs(10), silent.serving.join_next()).await;
    ended.expect("it ends within twice its grace").unwrap().unwrap().unwrap();
}
