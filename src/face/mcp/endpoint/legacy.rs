//! Legacy sessions over HTTP: `initialize`, what is posted into a session, its streams.
//!
//! Here a lost connection cancels nothing: a call belongs to its session, runs in a task of the
//! endpoint, and writes into a log that the connection only reads.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, HeaderValue},
    response::Response,
};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{
    EARLY_HEAD, Endpoint, headers,
    replay::{EventLog, Reader, Weight},
    respond::{self, Refusal, Source},
    session::{Session, event_id},
};
use crate::{
    face::mcp::{
        Caller, Exchange, Fault, Outcome, Reply, Step, cancelled_request,
        changes::Changes,
        client::Reads,
        fault::{self, Head},
        legacy, notified, response, subscribe, unreadable,
    },
    trace::Context,
    wire::{
        Era, Id, Message, ParseError, Pieces, RawValue, Revision,
        envelope::{self, code},
        header, into_text, method, sse,
    },
};

/// How long a client that lost a stream waits before it comes back.
const RECONNECT: Duration = Duration::from_secs(1);

impl Endpoint {
    /// Opens a session.
    pub(super) fn initialize(
        &self,
        caller: &Caller,
        id: &Id,
        params: Option<&RawValue>,
    ) -> Result<Response, Refusal> {
        let open = || {
            let (revision, result) = legacy::initialize(&self.gate, caller, params)?;
            let changes = self
                .gate
                .changes(&caller.principal, &caller.owner)
                .map_err(|error| fault::of_request(error, Era::Legacy))?;
            let caller = legacy::open(&self.gate, caller, params, revision);
            let changes = Changes::new(changes);
            let session = self.sessions.open(caller, revision, changes).ok_or_else(|| {
                let text = "too many sessions are open; end one or try again later";
                Fault::with_status(503, code::OVERLOADED, text)
            })?;
            Ok((session, result))
        };
        let (session, result) = open().map_err(|fault| Refusal::to(Some(id.clone()), fault))?;
        let mut response = respond::answer(id, &Ok(into_text(result).into()));
        if let Ok(session) = HeaderValue::from_str(&session.id) {
            response.headers_mut().insert(header::SESSION_ID, session);
        }
        Ok(response)
    }

    /// The session that a message belongs to.
    pub(super) fn session(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Arc<Session>, Fault> {
        headers::check_legacy_version(headers)?;
        let refused = |status, text| Fault::with_status(status, code::INVALID_REQUEST, text);
        let id =
            headers::single(headers, &headers::SESSION_ID).ok().flatten().ok_or_else(|| {
                refused(400, "the header Mcp-Session-Id is missing; initialize first")
            })?;
        self.sessions
            .find(id, caller)
            .ok_or_else(|| refused(404, "no such session; initialize again"))
    }

    /// Answers what was posted into a session.
    pub(super) async fn receive(
        &self,
        session: &Arc<Session>,
        trace: &Context,
        messages: Vec<Result<Message<'_>, ParseError>>,
        is_batch: bool,
    ) -> Response {
        let mut answers = Vec::new();
        let mut calls = Vec::new();
        for message in messages {
            match message {
                Ok(Message::Request { id, method, params }) => {
                    match self.begin(session, trace, &id, &method, params) {
                        Ok(call) => calls.push(call),
                        Err(outcome) => answers.push(Answer::of(&id, &outcome)),
                    }
                }
                Ok(Message::Notification { method, params }) => {
                    if method == method::CANCELLED
                        && let Some(id) = cancelled_request(params)
                    {
                        session.cancel(&id);
                    }
                    notified(&self.gate, &session.caller, &method, params);
                }
                Ok(Message::Response { id, outcome }) => {
                    if let Some(client) = &session.caller.client {
                        client.answer(id.as_ref(), outcome);
                    }
                }
                Err(error) => {
                    let (id, fault) = unreadable(error);
                    answers.push(Answer {
                        line: envelope::error(id.as_ref(), &fault.error).into(),
                        head: Head::OK,
                    });
                }
            }
        }
        if calls.is_empty() {
            return plain(answers, is_batch);
        }
        self.run(session, answers, calls, is_batch).await
    }

    /// Starts a request: a call that runs, or an answer from memory.
    fn begin(
        &self,
        session: &Arc<Session>,
        trace: &Context,
        id: &Id,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Running, Outcome> {
        let Session { caller, revision, .. } = &**session;
        let caller = Caller { trace: trace.clone(), ..caller.clone() };
        match legacy::answer(&self.gate, &caller, *revision, id, method, params) {
            Reply::Now(outcome) => Err(outcome),
            Reply::Listen(never) => match never {},
            Reply::Call(exchange) => match session.register(id.clone()) {
                Some(cancelled) => Ok(Running {
                    session: Arc::clone(session),
                    id: id.clone(),
                    exchange,
                    cancelled,
                }),
                None => Err(Err(Fault::new(
                    code::INVALID_REQUEST,
                    "a request with this `id` is still running",
                ))),
            },
        }
    }

    /// Runs calls in a task of their own. What ends soon and silently is answered as JSON;
    /// anything else becomes a stream that can be resumed.
    async fn run(
        &self,
        session: &Arc<Session>,
        answers: Vec<Answer>,
        calls: Vec<Running>,
        is_batch: bool,
    ) -> Response {
        let expected = answers.len() + calls.len();
        let log = EventLog::new();
        for Answer { line, head } in answers {
            log.push(line, Weight::Response(head));
        }
        let complete = Completion(Arc::clone(&log));
        self.tasks.spawn(async move {
            join_all(calls.into_iter().map(|call| call.run(&complete.0))).await;
            drop(complete);
        });
        let reader = log.read_after(0);
        if let Some(events) = log.responses(expected, EARLY_HEAD).await {
            let answers = events.into_iter().map(|(line, head)| Answer { line, head });
            return plain(answers.collect(), is_batch);
        }
        let stream = session.keep(&log, false);
        let reading = Reading::new(session, stream, reader);
        respond::event_stream(reading, self.keep_alive)
    }

    /// Opens or resumes a stream of a session.
    pub(super) fn stream(
        &self,
        session: &Arc<Session>,
        last_event: Option<&str>,
    ) -> Result<Response, Fault> {
        let (stream, standalone, reader, resumed) = match last_event {
            None => {
                let log = EventLog::new();
                (session.keep(&log, true), true, log.read_after(0), false)
            }
            Some(event) => {
                let (stream, standalone, reader) = session.resume(event).ok_or_else(|| {
                    let text = "nothing is kept for this Last-Event-ID any more";
                    Fault::with_status(400, code::INVALID_REQUEST, text)
                })?;
                (stream, standalone, reader, true)
            }
        };
        let mut reading = Reading::new(session, stream, reader);
        if resumed {
            reading.primer = None;
        }
        Ok(if standalone {
            let standing = Standing { reading, stopping: self.stopping.clone() };
            respond::event_stream(standing, self.keep_alive)
        } else {
            respond::event_stream(reading, self.keep_alive)
        })
    }
}

/// A response that is ready.
struct Answer {
    line: Pieces,
    head: Head,
}

impl Answer {
    fn of(id: &Id, outcome: &Outcome) -> Self {
        Self {
            line: response(id, outcome),
            head: outcome.as_ref().map_or_else(|fault| fault.head, |_| Head::OK),
        }
    }
}

/// Answers without a stream: none, one, or the answer to a batch.
fn plain(mut answers: Vec<Answer>, is_batch: bool) -> Response {
    if is_batch && !answers.is_empty() {
        let lines: Vec<_> = answers.iter().map(|answer| answer.line.join()).collect();
        return respond::json(Head::OK, [b"[", &*lines.join(&b','), b"]"].concat());
    }
    match answers.pop() {
        Some(Answer { line, head }) => respond::json(head, line),
        None => respond::accepted(),
    }
}

/// A call that runs in a session.
struct Running {
    session: Arc<Session>,
    id: Id,
    exchange: Exchange,
    cancelled: CancellationToken,
}

impl Running {
    /// Writes what the call brings. A call that the client cancelled has no response; one that
    /// ends with its session has, because its client may still wait for it.
    async fn run(mut self, log: &EventLog) {
        loop {
            let step = tokio::select! {
                biased;
                () = self.cancelled.cancelled() => {
                    if self.session.ended.is_cancelled() {
                        let Answer { line, head } = Answer::of(&self.id, &Err(with_its_session()));
                        log.push(line, Weight::Response(head));
                    }
                    return;
                }
                step = self.exchange.next() => step,
            };
            match step {
                Step::Notification(line) => log.push(line.into(), Weight::Notification),
                Step::Request(line) => log.push(line.into(), Weight::Request),
                Step::Outcome(outcome) => {
                    let Answer { line, head } = Answer::of(&self.id, &outcome);
                    return log.push(line, Weight::Response(head));
                }
            }
        }
    }
}

fn with_its_session() -> Fault {
    let text = "the session ended and the call was cancelled; it may have run";
    Fault::new(code::INVALID_REQUEST, text)
}

impl Drop for Running {
    fn drop(&mut self) {
        self.session.unregister(&self.id);
    }
}

/// Completes a log however its writer ends, so that no reader waits for a writer that panicked.
struct Completion(Arc<EventLog>);

impl Drop for Completion {
    fn drop(&mut self) {
        self.0.complete();
    }
}

/// A connection that reads a log.
struct Reading {
    session: Arc<Session>,
    stream: u64,
    reader: Reader,
    primer: Option<Pieces>,
    /// Whoever reads can be asked.
    _reads: Option<Reads>,
}

impl Reading {
    /// From 2025-11-25 on a stream starts with an id to resume from; earlier clients would take
    /// the empty event for a message.
    fn new(session: &Arc<Session>, stream: u64, reader: Reader) -> Self {
        let primer = (session.revision >= Revision::V2025_11_25)
            .then(|| sse::primer(&event_id(stream, 0), RECONNECT).into());
        let reads = session.caller.client.as_ref().map(Reads::of);
        Self { session: Arc::clone(session), stream, reader, primer, _reads: reads }
    }
}

impl Source for Reading {
    async fn next(&mut self) -> Option<Pieces> {
        if let Some(primer) = self.primer.take() {
            return Some(primer);
        }
        let event = self.reader.next().await?;
        let id = event_id(self.stream, event.number);
        Some(sse::message(Some(&id), &event.line))
    }
}

/// The stream of a GET: lives as long as its session and carries what belongs to no request.
struct Standing {
    reading: Reading,
    stopping: CancellationToken,
}

impl Source for Standing {
    async fn next(&mut self) -> Option<Pieces> {
        let session = Arc::clone(&self.reading.session);
        let lease = session.caller.session.as_ref();
        let news = async || match lease {
            Some(lease) => lease.watching().news().await,
            None => std::future::pending().await,
        };
        let log = Arc::clone(self.reading.reader.log());
        loop {
            tokio::select! {
                biased;
                frame = self.reading.next() => return frame,
                () = self.stopping.cancelled() => return None,
                () = session.ended.cancelled() => return None,
                news = news() => {
                    log.push(subscribe::line(&news, None).into(), Weight::Notification);
                }
                changed = session.change() => {
                    for notification in changed? {
                        let line = envelope::notification(notification, None).into();
                        log.push(line, Weight::Notification);
                    }
                }
            }
        }
    }
}
