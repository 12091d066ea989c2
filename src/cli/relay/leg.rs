//! One message's way over the control socket, and its answers' way back.
//!
//! Every request that goes in gets its response out, also when the instance ends in between.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode, header as standard, response};
use serde::Deserialize;
use tokio::{sync::mpsc, time::timeout};

use super::{
    super::control::{Answer, Control, ControlError, SOON, head},
    headers::{self, Headers},
};
use crate::{
    face::mcp::is_batch,
    wire::{
        ErrorObject, Id, Message, Object, RawValue,
        envelope::{self, code},
        header, method,
        sse::{Events, TooLong},
    },
};

const BOTH: &str = "application/json, text/event-stream";
const EVENTS: &str = "text/event-stream";

/// A message of the client's, ready to be posted.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Whose response it needs; none for notifications and responses.
    id: Option<Id>,
    headers: Headers,
    body: Bytes,
    /// Parameters of a modern call, should its tool want some of them as headers.
    call: Option<Box<RawValue>>,
    /// A list of messages, which is answered also where it is refused as a whole.
    is_batch: bool,
}

impl Outgoing {
    /// A message of a legacy session.
    pub(super) fn legacy(id: Option<Id>, line: &[u8]) -> Self {
        let body = Bytes::copy_from_slice(line);
        Self { id, headers: Headers::new(), body, call: None, is_batch: false }
    }

    /// Several messages of a legacy session.
    pub(super) fn batch(line: &[u8]) -> Self {
        Self { is_batch: true, ..Self::legacy(None, line) }
    }

    /// A modern request.
    pub(super) fn modern(id: Id, method: &str, params: Option<&RawValue>, line: &[u8]) -> Self {
        let call = params.filter(|_| method == method::TOOLS_CALL);
        Self {
            id: Some(id),
            headers: headers::of_request(method, params),
            body: Bytes::copy_from_slice(line),
            call: call.map(ToOwned::to_owned),
            is_batch: false,
        }
    }
}

/// What `initialize` agreed on.
#[derive(Debug)]
struct Session {
    id: String,
    revision: String,
}

/// The way to one endpoint of the instance. Clones share the session that they were made with.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    control: Control,
    path: String,
    session: Option<Arc<Session>>,
    out: mpsc::Sender<Vec<u8>>,
}

impl Leg {
    /// To an endpoint such as `/mcp`; messages for the client go to `out`.
    pub(super) fn new(control: Control, path: String, out: mpsc::Sender<Vec<u8>>) -> Self {
        Self { control, path, session: None, out }
    }

    /// Whether there is a legacy session.
    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Gives the client a message.
    pub(super) async fn write(&self, mut line: Vec<u8>) {
        for byte in &mut line {
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        // Without a writer the relay is about to end.
        self.out.send(line).await.ok();
    }

    /// Carries a message there and its answers back.
    pub(super) async fn carry(&self, message: &Outgoing) -> Result<(), ControlError> {
        let carried = self.try_carry(message).await;
        self.settle(message, carried).await
    }

    /// A request whose way broke is answered all the same.
    async fn settle(
        &self,
        message: &Outgoing,
        carried: Result<(), ControlError>,
    ) -> Result<(), ControlError> {
        if let (Err(error), Some(id)) = (&carried, &message.id) {
            self.write(envelope::error(Some(id), &lost(error))).await;
        }
        carried
    }

    async fn try_carry(&self, message: &Outgoing) -> Result<(), ControlError> {
        let answer = self.post(message, &[]).await?;
        if answer.head.status == StatusCode::BAD_REQUEST && message.call.is_some() {
            let body = answer.whole().await?;
            if !is_mismatch(&body) {
                return self.relate(message, StatusCode::BAD_REQUEST, &body).await;
            }
            let wanted = self.wanted(message).await?;
            let again = self.post(message, &wanted).await?;
            return self.answer(message, again).await;
        }
        self.answer(message, answer).await
    }

    /// Opens a legacy session.
    pub(super) async fn open(&mut self, message: &Outgoing) -> Result<(), ControlError> {
        let opened = self.try_open(message).await;
        self.settle(message, opened).await
    }

    async fn try_open(&mut self, message: &Outgoing) -> Result<(), ControlError> {
        let answer = self.post(message, &[]).await?;
        let id = answer.head.headers.get(header::SESSION_ID);
        let id = id.and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
        let status = answer.head.status;
        let body = answer.whole().await?;
        if let (Some(id), Some(revision)) = (id, agreed(&body)) {
            self.session = Some(Arc::new(Session { id, revision }));
        }
        self.relate(message, status, &body).await
    }

    /// Ends the session, if there is one.
    pub(super) async fn close(&self) {
        if self.has_session() {
            let ended = self.control.send(self.head(Method::DELETE), Bytes::new());
            // An instance that does not hear of it ends the session when it has been idle.
            timeout(SOON, ended).await.ok();
        }
    }

    /// Carries what the instance says unasked, until it ends.
    pub(super) async fn listen(&self) -> Result<(), ControlError> {
        let head = self.head(Method::GET).header(standard::ACCEPT, EVENTS);
        let answer = self.control.send(head, Bytes::new()).await?;
        if is_stream(&answer.head) {
            self.stream(None, answer).await?;
            return Err(ControlError::Ended);
        }
        Ok(())
    }

    fn head(&self, method: Method) -> http::request::Builder {
        let mut head = head(method, &self.path);
        if let Some(session) = &self.session {
            head = head
                .header(header::SESSION_ID, &session.id)
                .header(header::PROTOCOL_VERSION, &session.revision);
        }
        head
    }

    async fn post(
        &self,
        message: &Outgoing,
        more: &[(String, String)],
    ) -> Result<Answer, ControlError> {
        let mut head = self
            .head(Method::POST)
            .header(standard::ACCEPT, BOTH)
            .header(standard::CONTENT_TYPE, "application/json");
        for (name, value) in message.headers.iter().chain(more) {
            head = head.header(name, value);
        }
        self.control.send(head, message.body.clone()).await
    }

    async fn answer(&self, message: &Outgoing, answer: Answer) -> Result<(), ControlError> {
        if is_stream(&answer.head) {
            return self.stream(message.id.as_ref(), answer).await;
        }
        let status = answer.head.status;
        let body = answer.whole().await?;
        self.relate(message, status, &body).await
    }

    /// Gives the client a whole body, as the response to its message.
    async fn relate(
        &self,
        message: &Outgoing,
        status: StatusCode,
        body: &[u8],
    ) -> Result<(), ControlError> {
        let answer = Message::parse(body);
        let is_refusal = matches!(answer, Ok(Message::Response { id: None, .. }));
        let has_id = !is_refusal && answer.is_ok();
        if status == StatusCode::NOT_FOUND && self.has_session() && !has_id {
            return Err(ControlError::Forgotten);
        }
        match &message.id {
            Some(id) if !has_id => {
                let error = refusal(body).unwrap_or_else(|| {
                    let text = format!("the instance answered {status}");
                    ErrorObject::new(code::INTERNAL, text)
                });
                self.write(envelope::error(Some(id), &error)).await;
            }
            None if !(is_batch(body) || is_refusal && message.is_batch) => {}
            Some(_) | None => self.write(body.to_vec()).await,
        }
        Ok(())
    }

    /// Carries events as they come. A stream that ends without the response to `id` broke.
    async fn stream(&self, id: Option<&Id>, mut answer: Answer) -> Result<(), ControlError> {
        // Our own instance says nothing without end.
        let mut events = Events::new(usize::MAX);
        let mut waiting = id;
        loop {
            let piece = match answer.piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) | Err(_) if waiting.is_none() => return Ok(()),
                Ok(None) => return Err(ControlError::Ended),
                Err(error) => return Err(error),
            };
            events.push(&piece).map_err(|TooLong| ControlError::Ended)?;
            while let Some(data) = events.next() {
                if let Ok(Message::Response { id: Some(id), .. }) = Message::parse(&data)
                    && waiting == Some(&id)
                {
                    waiting = None;
                }
                self.write(data).await;
            }
        }
    }

    /// The headers that the tool of a call wants.
    async fn wanted(&self, message: &Outgoing) -> Result<Headers, ControlError> {
        #[derive(Deserialize)]
        struct Listed {
            tools: Vec<Box<RawValue>>,
        }
        let path = match self.path.strip_prefix("/mcp/") {
            Some(agent) => format!("/tools?agent={agent}"),
            None => "/tools".to_owned(),
        };
        let listed: Listed = self.control.get(&path).await?;
        let params = message.call.as_deref();
        let params_read = Object::read_optional(params).unwrap_or_default();
        let called = params_read.text("name");
        let annotated = listed.tools.iter().find_map(|tool| {
            let tool = Object::read(tool)?;
            (tool.text("name") == called)
                .then(|| tool.get("inputSchema").and_then(header::annotated))
        });
        let annotated = annotated.flatten().unwrap_or_default();
        Ok(headers::of_arguments(&annotated, params))
    }
}

fn is_stream(head: &response::Parts) -> bool {
    let kind = head.headers.get(standard::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(EVENTS.as_bytes()))
}

/// The error of a response, whoever it is for.
fn refusal(body: &[u8]) -> Option<ErrorObject> {
    match Message::parse(body) {
        Ok(Message::Response { outcome, .. }) => outcome.err(),
        Ok(_) | Err(_) => None,
    }
}

fn is_mismatch(body: &[u8]) -> bool {
    refusal(body).is_some_and(|error| error.code() == code::HEADER_MISMATCH)
}

/// The revision that `initialize` agreed on.
fn agreed(body: &[u8]) -> Option<String> {
    match Message::parse(body) {
        Ok(Message::Response { outcome: Ok(result), .. }) => {
            Some(Object::read(result)?.text("protocolVersion")?.into_owned())
        }
        Ok(_) | Err(_) => None,
    }
}

/// What a request is told whose way broke.
fn lost(error: &ControlError) -> ErrorObject {
    match error {
        ControlError::NoInstance { .. }
        | ControlError::Unreachable { .. }
        | ControlError::Forgotten => ErrorObject::new(
            code::UNAVAILABLE,
            "switchboard has ended; the request was not carried out",
        ),
        ControlError::Broken(_)
        | ControlError::Ended
        | ControlError::Silent
        | ControlError::Refused(_)
        | ControlError::Configuration(_)
        | ControlError::Foreign(_) => ErrorObject::new(
            code::OUTCOME_UNKNOWN,
            "switchboard ended before it answered; the request may have run, check before repeating",
        ),
    }
}
