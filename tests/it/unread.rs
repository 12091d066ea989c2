//! Answers that nobody reads: a client that asks and never takes what waits for it is cut off, and
//! one that is merely slow is not.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use switchboard::wire::Revision;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::sleep,
};

use crate::{
    mcp_host::{Host, modern},
    support::script::{Script, text},
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
