//! Multiplexes requests over one byte stream, one JSON message a line.
//!
//! Owned by a link; owns the tasks that read, write and watch, and what stands behind the stream
//! (a process, a hosted service). One task hop each way, no task per request. It knows JSON-RPC
//! and cancellation, but neither eras nor tools.

use std::{
    borrow::Borrow,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, mpsc},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Deadline, Dialogue, LinkEnd, ProgressSink, RequestError, StderrRing,
    dialogue::{Inquiries, Party},
    news::News,
    vital::Vital,
};
use crate::{
    trace::Context,
    wire::{
        RawValue, envelope,
        meta::{self, Stamp},
        method, raw,
    },
};

mod aside;
mod body;
pub(super) mod inbound;
mod peek;
mod pending;
mod reader;
mod warden;
mod writer;

pub(super) use body::{Answering, Body, Direct};
use inbound::Oddities;
pub(super) use inbound::beyond;
use pending::Pending;
use writer::{Gate, Outgoing};

/// Requests that wait to be written, at most; beyond it callers wait, inside their deadlines.
const QUEUE: usize = 64;

/// Where the raw parameters of an acknowledgement go; there is one.
pub(super) type Acknowledged = mpsc::Sender<Box<RawValue>>;

type Answer = Result<Box<RawValue>, RequestError>;

/// One request of the peer.
pub(super) struct Call<'a> {
    /// The method.
    pub(super) method: &'a str,
    /// Its parameters.
    pub(super) params: Option<&'a RawValue>,
    /// The server's own name of what it is about.
    pub(super) name: Option<&'a str>,
    /// What a modern leg states about us.
    pub(super) stamp: Option<&'a Stamp>,
    /// Where progress goes, if it is wanted.
    pub(super) progress: Option<ProgressSink>,
    /// When it is given up.
    pub(super) deadline: Deadline,
    /// The trace context that the server gets.
    pub(super) trace: Option<&'a Context>,
    /// Who is behind it, where the server may ask back.
    pub(super) dialogue: Option<Arc<Dialogue>>,
    /// Wanted where a subscription is acknowledged before its answer.
    pub(super) acknowledged: Option<Acknowledged>,
    /// Whether the server is told when it is given up; a handshake must not be cancelled.
    pub(super) cancellable: bool,
}

impl Call<'_> {
    /// The parameter that names what it is about, and what it becomes.
    pub(super) fn named(&self) -> Option<(&'static str, &str)> {
        Some((method::routed_parameter(self.method)?, self.name?))
    }

    /// Headers that belong to it, for a server over HTTP: those of a call of a tool.
    #[cfg(feature = "upstream-http")]
    pub(super) fn headers(&self) -> Option<&crate::wire::header::Unexplained> {
        self.dialogue.as_ref()?.headers.as_ref().filter(|_| self.method == method::TOOLS_CALL)
    }

    /// Whether it is a call of a tool that is told nothing before its answer, and asked nothing.
    fn is_plain(&self) -> bool {
        let is_heard = self.dialogue.as_ref().is_some_and(|dialogue| dialogue.sink.is_some());
        self.method == method::TOOLS_CALL && self.progress.is_none() && !is_heard
    }

    /// The call as its server may ask back.
    pub(super) fn party(&self) -> Option<Party> {
        let dialogue = self.dialogue.clone()?;
        Some(Party { dialogue, deadline: self.deadline.clone() })
    }

    /// The entries of its trace context.
    pub(super) fn traced(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.trace.into_iter().flat_map(Context::entries)
    }
}

/// A live peer. Dropping it kills what stands behind it.
pub(super) struct Peer {
    shared: Arc<Shared>,
    lines: mpsc::Sender<Outgoing>,
    body: Arc<dyn Body>,
    /// The stream of plain calls beside this one, where there is one.
    aside: Option<Box<Self>>,
    /// The warden, which owns reader and writer.
    _tasks: JoinSet<()>,
}

/// What the tasks and the callers of one peer share.
struct Shared {
    pending: Pending,
    inquiries: Arc<Inquiries>,
    last_id: AtomicU64,
    /// Held during each write, so that shutting it is final.
    gate: Mutex<Gate>,
    /// Follows the gate, for tasks that wait.
    shut: CancellationToken,
    /// There is something to write that is not in the queue.
    wake: Notify,
    news: Arc<News>,
    vital: Vital,
    oddities: Oddities,
    first_garbage: OnceLock<String>,
    stderr: Arc<StderrRing>,
}

impl Peer {
    /// Starts to read and write. `limit` bounds one received message in bytes.
    pub(super) fn new(
        source: impl AsyncRead + Unpin + Send + 'static,
        sink: impl AsyncWrite + Unpin + Send + 'static,
        body: Arc<dyn Body>,
        limit: usize,
        stderr: Arc<StderrRing>,
    ) -> Self {
        Self::over(Shared::new(Arc::default(), stderr), source, sink, body, limit)
    }

    fn over(
        shared: Arc<Shared>,
        source: impl AsyncRead + Unpin + Send + 'static,
        sink: impl AsyncWrite + Unpin + Send + 'static,
        body: Arc<dyn Body>,
        limit: usize,
    ) -> Self {
        let (lines, queue) = mpsc::channel(QUEUE);
        let reader = reader::run(Arc::clone(&shared), source, limit);
        let writer = writer::run(Arc::clone(&shared), queue, sink);
        let mut tasks = JoinSet::new();
        tasks.spawn(warden::watch(Arc::clone(&shared), Arc::clone(&body), reader, writer));
        Self { shared, lines, body, aside: None, _tasks: tasks }
    }

    /// Sends a request and waits for its answer. Dropping the future gives it up.
    pub(super) async fn request<'c>(&self, call: impl Borrow<Call<'c>> + Send) -> Answer {
        let call = call.borrow();
        let shared = &self.shared;
        let id = shared.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let token = call.progress.is_some().then_some(id);
        let params =
            meta::for_next_leg(call.params, call.named(), call.stamp, token, call.traced());
        let answer = shared.pending.register(id, call)?;
        let mut ticket = Ticket { shared, id, cancellable: call.cancellable, open: true };
        let direct = self.body.direct().filter(|_| call.is_plain());
        let guard = direct
            .zip(params.as_deref())
            .and_then(|(direct, params)| direct.call_tool(params, Answering::new(shared, id)));
        let outgoing = guard.is_none().then(|| {
            let mut line = envelope::request_with(&id, call.method, params.as_deref());
            line.push(b'\n');
            Outgoing { id: Some(id), line }
        });
        drop(params);
        let exchange = async {
            if let Some(outgoing) = outgoing {
                // A queue without a writer means that the link ends, which answers the request.
                self.lines.send(outgoing).await.ok();
            }
            answer.await
        };
        tokio::select! {
            biased;
            answer = exchange => {
                ticket.open = false;
                if let Some(guard) = guard
                    && shared.pending.ended().is_some()
                {
                    // Whoever ends the service says when it has to stop.
                    guard.disarm();
                }
                // Unreachable while the table answers everyone; the honest guess if it ever does not.
                answer.unwrap_or_else(|_| Err(RequestError::Lost {
                    end: LinkEnd::Stopped,
                    written: Instant::now(),
                }))
            }
            () = call.deadline.passed() => Err(RequestError::Timeout {
                sent: ticket.give_up("the deadline passed"),
            }),
        }
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, method: &str, params: Option<&str>) {
        let mut line = envelope::notification_with(method, params);
        line.push(b'\n');
        self.lines.send(Outgoing { id: None, line }).await.ok();
    }

    /// The server's questions.
    pub(super) fn inquiries(&self) -> &Inquiries {
        &self.shared.inquiries
    }

    /// How long no message was received; since the start if there was none.
    pub(super) fn silent_for(&self) -> Duration {
        self.shared.vital.silent_for()
    }

    /// Whether any message was received.
    pub(super) fn has_spoken(&self) -> bool {
        self.shared.vital.has_spoken()
    }

    /// How many requests wait for an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.shared.pending.len()
    }

    /// The start of the first line that was no message.
    pub(super) fn first_garbage(&self) -> Option<&str> {
        self.shared.first_garbage.get().map(String::as_str)
    }

    /// The server's error output.
    pub(super) fn stderr(&self) -> &StderrRing {
        &self.shared.stderr
    }

    /// The server's process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.body.pid()
    }

    /// What the server told unasked.
    pub(super) fn news(&self) -> &News {
        &self.shared.news
    }

    /// How it ended, once it has.
    pub(super) fn end(&self) -> Option<LinkEnd> {
        self.shared.vital.end()
    }

    /// Resolves with the cause when the link is over.
    pub(super) async fn ended(&self) -> LinkEnd {
        self.shared.vital.ended().await
    }

    /// Fails what waits and ends the server at once.
    pub(super) fn kill(&self) {
        self.shared.finish(&LinkEnd::Stopped);
        self.body.kill();
        self.shared.vital.publish(LinkEnd::Stopped);
    }

    /// Fails what waits, closes the server's input and ends it, firmly in the end.
    pub(super) async fn close(&self, grace: Duration) {
        self.shared.finish(&LinkEnd::Stopped);
        self.body.end(grace).await;
        self.shared.vital.publish(LinkEnd::Stopped);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.body.kill();
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("in_flight", &self.in_flight())
            .field("end", &self.shared.pending.ended())
            .field("oddities", &self.shared.oddities)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn new(news: Arc<News>, stderr: Arc<StderrRing>) -> Arc<Self> {
        Arc::new(Self {
            pending: Pending::default(),
            inquiries: Arc::default(),
            last_id: AtomicU64::new(0),
            gate: Mutex::default(),
            shut: CancellationToken::new(),
            wake: Notify::new(),
            news,
            vital: Vital::new(),
            oddities: Oddities::default(),
            first_garbage: OnceLock::new(),
            stderr,
        })
    }

    /// Nothing is written from now on. When this returns, what is not written never will be.
    fn shut(&self) {
        *self.gate.lock() = Gate::Shut;
        self.shut.cancel();
    }

    /// Nothing is written any more, and everybody who waits learns why.
    fn finish(&self, end: &LinkEnd) {
        self.shut();
        self.pending.end(end);
    }
}

/// A request under way: dropped before its answer came, it is given up.
struct Ticket<'a> {
    shared: &'a Shared,
    id: u64,
    cancellable: bool,
    open: bool,
}

impl Ticket<'_> {
    /// Forgets the request and says whether the server gets it.
    fn give_up(&mut self, reason: &str) -> bool {
        self.open = false;
        let cancellation = self.cancellable.then(|| {
            let params = raw(&serde_json::json!({ "requestId": self.id, "reason": reason }));
            let mut line = envelope::notification(method::CANCELLED, Some(&params));
            line.push(b'\n');
            line
        });
        let sent = self.shared.pending.forget(self.id, cancellation);
        if sent {
            self.shared.wake.notify_one();
        }
        sent
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.open {
            self.give_up("the caller cancelled");
        }
    }
}

#[cfg(test)]
mod tests;
