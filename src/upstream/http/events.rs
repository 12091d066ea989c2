//! Event streams of a server: the answer to one request, and the standing stream of a session.
//!
//! A legacy answer that ends early is resumed where it gave an event to resume after; a modern one
//! is lost with its connection (MCP 2025-11-25 and 2026-07-28, streamable HTTP).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, Method, StatusCode, header::ACCEPT};
use tokio::{
    sync::{mpsc, oneshot},
    task::consume_budget,
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    fault::Fault,
    legs::{self, Ear, Legs, Response},
};
use crate::{
    upstream::dialogue::Hint,
    wire::{
        RawValue, header,
        sse::{Events, TooLong},
    },
};

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static(header::LAST_EVENT_ID);

/// The pause before a stream is taken up again, where the server named none.
const RETRY: Duration = Duration::from_secs(1);
/// No pause is shorter, so that a server that ends its streams at once is not asked all the time.
const SHORTEST: Duration = Duration::from_millis(100);
/// No pause is longer, whatever the server says and however often it failed.
const LONGEST: Duration = Duration::from_secs(30);
/// Bytes that are read of a stream at a time: there may be as many lines, and others wait.
const PIECE: usize = 8 * 1024;
/// Answers to the server's requests that are posted at a time.
const POSTED: usize = 8;

/// How a stream ended without what was waited for.
enum Stopped {
    /// In order.
    Closed,
    /// By a fault.
    Broken(Fault),
}

impl Legs {
    /// Reads the answer to a request from the stream that it is given in.
    pub(super) async fn stream_answer(
        &self,
        response: Response,
        id: u64,
        resumable: bool,
        ear: &mut Ear,
    ) -> Result<Box<RawValue>, Fault> {
        let mut events = Events::new(self.limit);
        let mut response = response;
        loop {
            let stopped = match self.drain(response, &mut events, Some(id), ear).await {
                Ok(outcome) => return outcome,
                Err(stopped) => stopped,
            };
            let place = events.last_id().filter(|_| resumable).map(HeaderValue::from_str);
            let Some(Ok(place)) = place else {
                return Err(match stopped {
                    Stopped::Broken(fault) => fault,
                    Stopped::Closed => lost("the server ended its stream before the answer"),
                });
            };
            sleep(events.retry().unwrap_or(RETRY).clamp(SHORTEST, LONGEST)).await;
            response = match self.take_up(Some(place)).await {
                Ok(response) => response,
                // Only the failure of this is a loss; nobody knows any more what became of it.
                Err(_) => return Err(lost("the server's stream broke and could not be resumed")),
            };
            events = Events::resuming(&events);
        }
    }

    /// Reads a stream until it ends or gives the answer to `id`.
    async fn drain(
        &self,
        mut response: Response,
        events: &mut Events,
        id: Option<u64>,
        ear: &mut Ear,
    ) -> Result<Result<Box<RawValue>, Fault>, Stopped> {
        loop {
            let chunk = match legs::chunk(&mut response).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Err(Stopped::Closed),
                Err(fault) => return Err(Stopped::Broken(fault)),
            };
            self.vital.hear();
            for piece in chunk.chunks(PIECE) {
                events.push(piece).map_err(|TooLong| Stopped::Broken(self.too_long()))?;
                while let Some(mut data) = events.next() {
                    if let Some(outcome) = id.and_then(|id| self.receive_long(&mut data, id)) {
                        return Ok(outcome);
                    }
                    if let Some(outcome) = self.receive(&data, id, ear) {
                        return Ok(outcome);
                    }
                    consume_budget().await;
                }
                consume_budget().await;
            }
        }
    }

    /// Asks for a stream: what came after an event, or whatever the server will tell unasked.
    async fn take_up(&self, after: Option<HeaderValue>) -> Result<Response, Fault> {
        let mut request = self.request(Method::GET, Bytes::new());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, EVENTS);
        if let Some(after) = after {
            headers.insert(LAST_EVENT_ID, after);
        }
        let response = self.send(request).await?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        Err(self.refusal(response, "").await)
    }
}

fn lost(why: &str) -> Fault {
    Fault::Unknown { status: None, retry_after: None, why: why.to_owned() }
}

/// Posts answers to the server's own requests, some at a time.
pub(super) async fn answer(legs: Arc<Legs>, answers: mpsc::Receiver<Vec<u8>>) {
    let answers = ReceiverStream::new(answers);
    answers.for_each_concurrent(POSTED, |answer| legs.reply(answer)).await;
}

/// Posts how far such answers are, one after the other, so that it arrives in its order.
pub(super) async fn hint(legs: Arc<Legs>, mut hints: mpsc::Receiver<Hint>) {
    while let Some(hint) = hints.recv().await {
        if let Some(line) = hint.line() {
            legs.reply(line).await;
        }
    }
}

/// Keeps the standing stream of a legacy session open, over which the server tells what nobody
/// asked for. Ends when the server has none, or the link is over. `standing` learns of the first
/// answer.
pub(super) async fn listen(legs: Arc<Legs>, standing: oneshot::Sender<()>) {
    let mut standing = Some(standing);
    let mut place = None;
    let mut pause = RETRY;
    while legs.vital.end().is_none() {
        let answer = legs.take_up(place.clone()).await;
        drop(standing.take());
        let response = match answer {
            Ok(response) => response,
            // 405 is how a server says that it has none; others mean the same by other words.
            Err(Fault::Refused { .. } | Fault::Server(_) | Fault::Malformed(_)) => return,
            Err(_) => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST);
                continue;
            }
        };
        let mut events = Events::new(legs.limit);
        // Whatever ended it, it is taken up again.
        let _ended = legs.drain(response, &mut events, None, &mut Ear::default()).await;
        let news = events.last_id().and_then(|id| HeaderValue::from_str(id).ok());
        let is_new = news.is_some() && news != place;
        sleep(events.retry().unwrap_or(pause).clamp(pause, LONGEST)).await;
        pause = if is_new { RETRY } else { (pause * 2).min(LONGEST) };
        place = news.or(place);
    }
}
