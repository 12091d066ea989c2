//! For tests of this folder: a scripted server on the other end of a peer.
//!
//! No behaviour of its own: every test writes what its server reads and says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::Value;
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf,
        duplex, split,
    },
    sync::watch,
};

use super::{
    Deadline, LinkEnd, StderrRing,
    peer::{Body, Call, Peer},
};
use crate::wire::RawValue;

/// The message limit of scripted links.
pub(super) const LIMIT: usize = 4096;

/// What stands behind a scripted link: ends when it is told to.
#[derive(Default)]
pub(super) struct Dummy {
    pub(super) end: watch::Sender<Option<LinkEnd>>,
    pub(super) killed: AtomicBool,
}

impl Body for Dummy {
    fn ended(&self) -> BoxFuture<'_, LinkEnd> {
        let mut end = self.end.subscribe();
        async move {
            let end = end.wait_for(Option::is_some).await.unwrap();
            end.clone().unwrap()
        }
        .boxed()
    }

    fn end(&self, _: Duration) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }
}

/// The server's side.
pub(super) struct Script {
    lines: BufReader<ReadHalf<DuplexStream>>,
    sink: WriteHalf<DuplexStream>,
}

impl Script {
    /// The next message, `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line).await.unwrap() {
            0 => None,
            _ => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    /// The next message's method and id.
    pub(super) async fn asked(&mut self) -> (String, u64) {
        let message = self.next().await.unwrap();
        let method = message["method"].as_str().unwrap().to_owned();
        (method, message["id"].as_u64().unwrap_or_default())
    }

    /// Says one line.
    pub(super) async fn say(&mut self, line: impl AsRef<[u8]>) {
        self.sink.write_all(line.as_ref()).await.unwrap();
        self.sink.write_all(b"\n").await.unwrap();
    }

    /// Answers a request.
    pub(super) async fn answer(&mut self, id: u64, result: &str) {
        self.say(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)).await;
    }

    /// Refuses a request.
    pub(super) async fn refuse(&mut self, id: u64, code: i64, data: &str) {
        self.say(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"no","data":{data}}}}}"#
        ))
        .await;
    }
}

/// A peer, its scripted server, and what stands behind them. `buffer` bytes fit in each direction.
pub(super) fn scripted(buffer: usize) -> (Peer, Script, Arc<Dummy>) {
    scripted_with(buffer, LIMIT)
}

/// The same with a message limit.
pub(super) fn scripted_with(buffer: usize, limit: usize) -> (Peer, Script, Arc<Dummy>) {
    let (ours, theirs) = duplex(buffer);
    let (source, sink) = split(ours);
    let body = Arc::new(Dummy::default());
    let behind: Arc<dyn Body> = Arc::<Dummy>::clone(&body);
    let peer = Peer::new(source, sink, behind, limit, Arc::new(StderrRing::default()));
    let (source, sink) = split(theirs);
    let script = Script { lines: BufReader::new(source), sink };
    (peer, script, body)
}

/// A deadline that no test reaches by accident.
pub(super) fn later() -> Deadline {
    Deadline::new(Duration::from_mins(1), Duration::from_mins(10))
}

/// A call without anything special.
pub(super) fn call(method: &str) -> Call<'_> {
    Call {
        method,
        params: None,
        name: None,
        stamp: None,
        progress: None,
        deadline: later(),
        trace: None,
        dialogue: None,
        acknowledged: None,
        cancellable: true,
    }
}

/// Raw JSON.
pub(super) fn json(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}
