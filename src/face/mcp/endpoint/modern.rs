//! Modern requests over HTTP: one POST, one answer, as JSON or as a stream.
//!
//! Nothing outlives the request: when its connection goes, its call is cancelled.

use std::borrow::Cow;

use axum::{http::HeaderMap, response::Response};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    EARLY_HEAD, Endpoint, headers,
    respond::{self, Refusal, Source},
};
use crate::{
    face::mcp::{
        Caller, Exchange, Fault, Reply, Step, listen::Listen, modern::Request, notified, response,
    },
    wire::{
        Id, Message, Object, Pieces,
        envelope::code,
        header::{self, Annotated},
        sse,
    },
};

impl Endpoint {
    /// Answers one modern message.
    pub(super) async fn modern(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        message: Message<'_>,
    ) -> Result<Response, Refusal> {
        match message {
            Message::Request { id, method, params } => {
                let refused = |fault| Refusal::to(Some(id.clone()), fault);
                let request = Request::read(id.clone(), &method, params).map_err(refused)?;
                let annotated = |tool: &str| self.annotated(caller, tool);
                let passed = headers::check_request(headers, &request, annotated);
                let headers = passed.map_err(refused)?;
                let mut caller = Cow::Borrowed(caller);
                if headers.is_some() {
                    caller.to_mut().headers = headers;
                }
                Ok(match request.answer(&self.gate, &caller) {
                    Reply::Now(outcome) => respond::answer(&id, &outcome),
                    Reply::Call(exchange) => self.call(id, exchange).await,
                    Reply::Listen(listen) => self.listen(listen),
                })
            }
            Message::Notification { method, params } => {
                headers::check_method(headers, &method)?;
                notified(&self.gate, caller, &method, params);
                Ok(respond::accepted())
            }
            Message::Response { .. } => Err(Fault::with_status(
                400,
                code::INVALID_REQUEST,
                "nothing was asked that could be answered",
            )
            .into()),
        }
    }

    /// The parameters that a tool wants repeated as headers; few do.
    fn annotated(&self, caller: &Caller, tool: &str) -> Vec<Annotated> {
        let find = || {
            // A view that cannot be had is the answer's to report.
            let view = self.gate.view(&caller.principal, &caller.owner).ok()?;
            let definition = &*view.resolve(tool)?.raw;
            if !header::is_annotated(definition) {
                return None;
            }
            let definition = Object::read(definition)?;
            header::annotated(definition.get("inputSchema")?)
        };
        find().unwrap_or_default()
    }

    /// Answers with JSON what ends soon and silently, and with a stream what does not: an idle
    /// proxy would cut a connection on which nothing happens.
    async fn call(&self, id: Id, mut exchange: Exchange) -> Response {
        let first = match timeout(EARLY_HEAD, exchange.next()).await {
            Ok(Step::Outcome(outcome)) => return respond::answer(&id, &outcome),
            Ok(Step::Notification(line) | Step::Request(line)) => Some(line),
            Err(_) => None,
        };
        let calling = Calling { id, exchange: Some(exchange), first };
        respond::event_stream(calling, self.keep_alive)
    }

    fn listen(&self, listen: Listen) -> Response {
        let listening = Listening { listen, stopping: self.stopping.clone(), ended: false };
        respond::event_stream(listening, self.keep_alive)
    }
}

/// A call whose answer is streamed.
struct Calling {
    id: Id,
    /// Gone once the answer is out.
    exchange: Option<Exchange>,
    first: Option<Vec<u8>>,
}

impl Source for Calling {
    async fn next(&mut self) -> Option<Pieces> {
        if let Some(line) = self.first.take() {
            return Some(sse::message(None, &line.into()));
        }
        match self.exchange.as_mut()?.next().await {
            Step::Notification(line) | Step::Request(line) => {
                Some(sse::message(None, &line.into()))
            }
            Step::Outcome(outcome) => {
                self.exchange = None;
                Some(sse::message(None, &response(&self.id, &outcome)))
            }
        }
    }
}

/// A subscription.
struct Listening {
    listen: Listen,
    stopping: CancellationToken,
    ended: bool,
}

impl Source for Listening {
    async fn next(&mut self) -> Option<Pieces> {
        if self.ended {
            return None;
        }
        let line = tokio::select! {
            line = self.listen.next() => line,
            () = self.stopping.cancelled() => None,
        };
        self.ended = line.is_none();
        let line = line.unwrap_or_else(|| self.listen.end());
        Some(sse::message(None, &line.into()))
    }
}
