//! What is said over standard streams: the era, the requests in flight, what they are answered.
//!
//! Owned by one client's stream. It writes whole lines into a bounded channel and reads none.

use std::{collections::HashMap, sync::Arc};

use futures::future::join_all;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Gate, News, Principal},
    face::mcp::{
        Caller, Exchange, Fault, Outcome, Reply, Step, batch, cancelled_request, changes::Changes,
        client::Reads, era, is_batch, legacy, listen::Listen, modern::Request, notified, response,
        subscribe, unreadable,
    },
    id::Owner,
    trace::Context,
    wire::{
        Era, Id, Message, Object, ParseError, Pieces, RawValue, Revision,
        envelope::{self, code},
        into_text, method,
    },
};

type Out = mpsc::Sender<Pieces>;

/// What the client's first message fixed.
#[derive(Clone, Copy, Debug)]
enum Agreed {
    Nothing,
    Legacy(Revision),
    Modern,
}

/// What is due without a message.
#[derive(Debug)]
pub(super) enum Due {
    /// Requests ended.
    Ended(Vec<Id>),
    /// The legacy client's view changed.
    Changed,
    /// There is news of what it watches.
    News(News),
    /// Its view is no more.
    Withdrawn,
}

/// One client's conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    gate: Arc<Gate>,
    caller: Caller,
    out: Out,
    agreed: Agreed,
    /// A legacy client reads as long as there is a conversation.
    reads: Option<Reads>,
    /// Versions of the view, for a legacy client.
    changes: Option<Changes>,
    running: JoinSet<Vec<Id>>,
    /// Ends each request in flight when the client no longer wants it.
    wanted: HashMap<Id, CancellationToken>,
    /// Ends subscriptions in order.
    closing: CancellationToken,
}

/// A call in flight.
struct Call {
    id: Id,
    exchange: Exchange,
    cancelled: CancellationToken,
}

impl Conversation {
    /// A conversation in which nothing was said yet.
    pub(super) fn new(gate: Arc<Gate>, owner: Owner, out: Out) -> Self {
        Self {
            gate,
            caller: Caller {
                principal: Principal::local(),
                owner,
                session: None,
                client: None,
                trace: Context::default(),
                headers: None,
            },
            out,
            agreed: Agreed::Nothing,
            reads: None,
            changes: None,
            running: JoinSet::new(),
            wanted: HashMap::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Takes one line.
    pub(super) async fn receive(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        if is_batch(line) {
            return self.receive_batch(line).await;
        }
        let message = Message::parse(line);
        let outcome = match message {
            Ok(Message::Request { id, method, params }) => match self.begin(&id, &method, params) {
                Ok(Some(call)) => return self.run(vec![call], Vec::new(), false),
                Ok(None) => return,
                Err(outcome) => response(&id, &outcome),
            },
            other => match self.note(other) {
                Some(line) => line.into(),
                None => return,
            },
        };
        self.say(outcome).await;
    }

    /// Answers a line that was too long to be read.
    pub(super) async fn refuse_length(&mut self) {
        let fault = Fault::new(code::INVALID_REQUEST, "the message is too long");
        self.say(envelope::error(None, &fault.error)).await;
    }

    /// Waits for what is due without a message. May be dropped without losing anything.
    pub(super) async fn due(&mut self) -> Due {
        let changed = async {
            match &mut self.changes {
                Some(changes) => changes.come().await,
                None => std::future::pending().await,
            }
        };
        let session = self.caller.session.as_ref();
        let news = async {
            match session {
                Some(session) => session.watching().news().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(ended) = self.running.join_next() => Due::Ended(ended.unwrap_or_default()),
            news = news => Due::News(news),
            told = changed => if told { Due::Changed } else { Due::Withdrawn },
        }
    }

    /// Does what is due.
    pub(super) async fn tend(&mut self, due: Due) {
        match due {
            Due::Ended(ids) => {
                for id in ids {
                    self.wanted.remove(&id);
                }
            }
            Due::Changed => {
                let due = self.changes.as_mut().map(Changes::take).unwrap_or_default();
                for notification in due {
                    self.say(envelope::notification(notification, None)).await;
                }
            }
            Due::News(news) => self.say(subscribe::line(&news, None)).await,
            Due::Withdrawn => self.changes = None,
        }
    }

    /// Ends subscriptions and waits for the calls in flight.
    pub(super) async fn finish(&mut self) {
        self.closing.cancel();
        if let Some(client) = &self.caller.client {
            // It can answer nothing any more.
            client.leave();
        }
        drop(self.reads.take());
        while self.running.join_next().await.is_some() {}
    }

    async fn say(&self, line: impl Into<Pieces>) {
        // The writer is gone only if the client is.
        self.out.send(line.into()).await.ok();
    }

    async fn receive_batch(&mut self, line: &[u8]) {
        let revision = match self.agreed {
            Agreed::Legacy(revision) => revision,
            Agreed::Nothing | Agreed::Modern => Revision::LATEST,
        };
        let members = match batch(line, revision) {
            Ok(members) => members,
            Err(fault) => return self.say(envelope::error(None, &fault.error)).await,
        };
        let mut answers = Vec::new();
        let mut calls = Vec::new();
        for member in members {
            match Message::parse(member.get().as_bytes()) {
                Ok(Message::Request { id, method, params }) => {
                    match self.begin(&id, &method, params) {
                        Ok(call) => calls.extend(call),
                        Err(outcome) => answers.push(response(&id, &outcome)),
                    }
                }
                other => answers.extend(self.note(other).map(Pieces::from)),
            }
        }
        self.run(calls, answers, true);
    }

    /// Takes what is no request; gives the answer to what is no message.
    fn note(&self, message: Result<Message<'_>, ParseError>) -> Option<Vec<u8>> {
        match message {
            Err(error) => {
                let (id, fault) = unreadable(error);
                return Some(envelope::error(id.as_ref(), &fault.error));
            }
            Ok(Message::Notification { method, params }) if method == method::CANCELLED => {
                let request = cancelled_request(params);
                if let Some(wanted) = request.and_then(|id| self.wanted.get(&id)) {
                    wanted.cancel();
                }
            }
            Ok(Message::Response { id, outcome }) => {
                if let Some(client) = &self.caller.client {
                    client.answer(id.as_ref(), outcome);
                }
            }
            Ok(Message::Notification { method, params }) => {
                notified(&self.gate, &self.caller, &method, params);
            }
            Ok(Message::Request { .. }) => {}
        }
        None
    }

    /// Starts a request: a call to run, nothing where a subscription took it over, or an answer.
    fn begin(
        &mut self,
        id: &Id,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Option<Call>, Outcome> {
        if self.wanted.contains_key(id) {
            let text = "a request with this `id` is still running";
            return Err(Err(Fault::new(code::INVALID_REQUEST, text)));
        }
        let reply = match self.agreed {
            Agreed::Legacy(revision) => {
                match legacy::answer(&self.gate, &self.caller, revision, id, method, params) {
                    Reply::Now(outcome) => Reply::Now(outcome),
                    Reply::Call(exchange) => Reply::Call(exchange),
                    Reply::Listen(never) => match never {},
                }
            }
            Agreed::Modern => self.modern(id, method, params)?,
            Agreed::Nothing => self.first(id, method, params)?,
        };
        match reply {
            Reply::Now(outcome) => Err(outcome),
            Reply::Call(exchange) => {
                Ok(Some(Call { id: id.clone(), exchange, cancelled: self.want(id) }))
            }
            Reply::Listen(listen) => {
                let cancelled = self.want(id);
                let (out, closing) = (self.out.clone(), self.closing.clone());
                let id = id.clone();
                self.running.spawn(async move {
                    relay(&id, listen, &out, &cancelled, &closing).await;
                    vec![id]
                });
                Ok(None)
            }
        }
    }

    fn want(&mut self, id: &Id) -> CancellationToken {
        let token = CancellationToken::new();
        self.wanted.insert(id.clone(), token.clone());
        token
    }

    fn modern(
        &self,
        id: &Id,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Reply<Listen>, Outcome> {
        let request = Request::read(id.clone(), method, params).map_err(Err)?;
        Ok(request.answer(&self.gate, &self.caller))
    }

    /// A request before anything was agreed: a probe, or what fixes the era.
    fn first(
        &mut self,
        id: &Id,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Reply<Listen>, Outcome> {
        if era(None, Some(method), params) == Era::Modern {
            let request = Request::read(id.clone(), method, params).map_err(Err)?;
            request.revision().map_err(Err)?;
            if method != method::DISCOVER {
                self.agreed = Agreed::Modern;
            }
            return Ok(request.answer(&self.gate, &self.caller));
        }
        match method {
            method::PING => Ok(Reply::Now(Ok(legacy::pong()))),
            method::INITIALIZE => {
                let Caller { principal, owner, .. } = &self.caller;
                let opened = legacy::initialize(&self.gate, &self.caller, params);
                let (revision, result) = opened.map_err(Err)?;
                let changes = self.gate.changes(principal, owner);
                let changes =
                    changes.map_err(|error| Err(Fault::new(code::INTERNAL, error.to_string())))?;
                self.agreed = Agreed::Legacy(revision);
                self.caller = legacy::open(&self.gate, &self.caller, params, revision);
                self.reads = self.caller.client.as_ref().map(Reads::of);
                self.changes = Some(Changes::new(changes));
                Ok(Reply::Now(Ok(into_text(result).into())))
            }
            _ => {
                let text = "nothing is initialised; send `initialize` first";
                Err(Err(Fault::new(code::INVALID_REQUEST, text)))
            }
        }
    }

    /// Runs calls beside the conversation; the answers to a batch go out as one.
    fn run(&mut self, calls: Vec<Call>, mut answers: Vec<Pieces>, is_batch: bool) {
        let out = self.out.clone();
        self.running.spawn(async move {
            let ids = calls.iter().map(|call| call.id.clone()).collect();
            let ended = join_all(calls.into_iter().map(|call| call.run(&out))).await;
            answers.extend(ended.into_iter().flatten());
            if is_batch && !answers.is_empty() {
                let lines: Vec<_> = answers.iter().map(Pieces::join).collect();
                answers = vec![[b"[", &*lines.join(&b','), b"]"].concat().into()];
            }
            for line in answers {
                out.send(line).await.ok();
            }
            ids
        });
    }
}

impl Call {
    /// Sends the call's notifications and gives its response; a cancelled call has none.
    async fn run(mut self, out: &Out) -> Option<Pieces> {
        loop {
            let step = tokio::select! {
                biased;
                () = self.cancelled.cancelled() => return None,
                step = self.exchange.next() => step,
            };
            match step {
                Step::Notification(line) | Step::Request(line) => {
                    out.send(line.into()).await.ok()?;
                }
                Step::Outcome(outcome) => return Some(response(&self.id, &outcome)),
            }
        }
    }
}

/// Carries a subscription until the client or we end it. When we do, the client gets the result
/// and, because no stream ends here, a cancellation that names it.
async fn relay(
    id: &Id,
    mut listen: Listen,
    out: &Out,
    cancelled: &CancellationToken,
    closing: &CancellationToken,
) {
    loop {
        let line = tokio::select! {
            biased;
            () = cancelled.cancelled() => return,
            () = closing.cancelled() => None,
            line = listen.next() => line,
        };
        let Some(line) = line else { break };
        if out.send(line.into()).await.is_err() {
            return;
        }
    }
    let mut params = Object::default();
    params.put("requestId", id);
    let ended = envelope::notification(method::CANCELLED, Some(&params.to_raw()));
    for line in [listen.end(), ended] {
        out.send(line.into()).await.ok();
    }
}
