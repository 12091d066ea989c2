//! One request to a server and its answer, whatever way it is given: JSON, an event stream, or a
//! status that says why not.
//!
//! Shared by the callers and the standing stream of one link. Bodies stay raw.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{
    HeaderName, HeaderValue, Request,
    header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

use super::{
    client::{Answer, Body},
    fault::{Fault, Head},
    remote::ASIDE,
    request::Leg,
    target::Target,
};
use crate::{
    upstream::{
        StderrRing,
        dialogue::{Back, GivenUp, Hint, Inquiries, Party, addressee, log, notice},
        news::News,
        peer::{Acknowledged, inbound},
        progress::{Said, Track},
        vital::Vital,
    },
    wire::{
        Id, Message, RawValue, Revision, envelope, extension,
        header::{self, Annotated},
        method,
    },
};

/// Bytes of a refusal's body that are read at most: enough for an error, too little for a flood.
const REFUSAL: usize = 64 * 1024;
/// Characters of a server's own words in an error.
pub(super) const WORDS: usize = 200;

pub(super) const SESSION_ID: HeaderName = HeaderName::from_static(header::SESSION_ID);

/// What the callers and the tasks of one link share.
#[derive(Debug)]
pub(super) struct Legs {
    pub(super) target: Target,
    /// The longest message, in bytes.
    pub(super) limit: usize,
    /// Masks secrets in the server's own words.
    pub(super) words: Arc<StderrRing>,
    pub(super) vital: Vital,
    pub(super) news: News,
    pub(super) last_id: AtomicU64,
    pub(super) in_flight: AtomicUsize,
    /// The legacy session, where the server opened one.
    pub(super) session: OnceLock<HeaderValue>,
    /// What a legacy server agreed on; a modern request names its revision itself.
    pub(super) revision: OnceLock<Revision>,
    /// The requests under way that the server may ask back about.
    pub(super) parties: Mutex<HashMap<u64, Party>>,
    pub(super) given_up: Mutex<GivenUp>,
    pub(super) inquiries: Arc<Inquiries>,
    /// Answers to the server's requests, for the task that posts them.
    pub(super) answers: mpsc::Sender<Vec<u8>>,
    /// How far such answers are, for the task that posts it in its order.
    pub(super) hints: mpsc::Sender<Hint>,
    /// Tools that want arguments repeated as headers.
    pub(super) annotated: RwLock<HashMap<String, Vec<Annotated>>>,
}

/// Who learns what a server says before its answer.
#[derive(Debug, Default)]
pub(super) struct Ear {
    pub(super) track: Option<Track>,
    pub(super) acknowledged: Option<Acknowledged>,
    /// Whose request it is, where the server may ask back.
    pub(super) party: Option<Party>,
}

/// A head, and a body that is still to come.
pub(super) type Response = http::Response<Answer>;

/// What came back for a request.
type Outcome = Result<Box<RawValue>, Fault>;

impl Legs {
    /// Sends one message and reads its answer.
    pub(super) async fn exchange(&self, leg: Leg<'_>, body: Bytes, ear: &mut Ear) -> Outcome {
        let request = self.posted(leg, body);
        let response = self.send(request).await?;
        if leg.method == method::INITIALIZE
            && let Some(session) = response.headers().get(SESSION_ID)
        {
            self.session.set(session.clone()).ok();
        }
        if !response.status().is_success() {
            return Err(Box::pin(self.refusal(response, leg.method)).await);
        }
        let Some(id) = leg.id else {
            return Ok(crate::wire::raw(&()));
        };
        match media_type(&response) {
            Some(media) if media.eq_ignore_ascii_case("text/event-stream") => {
                Box::pin(self.stream_answer(response, id, leg.revision.is_none(), ear)).await
            }
            Some(media) if media.eq_ignore_ascii_case("application/json") => {
                self.json_answer(response, id, ear).await
            }
            _ => Err(self.no_answer(&response)),
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) fn send(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response, Fault>> + Send {
        self.target.client.send(request).map(|answered| match answered {
            Ok(response) => {
                // A proxy may say that it failed where the server is long gone.
                if !response.status().is_server_error() {
                    self.vital.hear();
                }
                Ok(response)
            }
            Err(error) => Err(self.failed(Fault::of_transport(&error))),
        })
    }

    /// Ends the link where a fault means that.
    fn failed(&self, fault: Fault) -> Fault {
        if let Some(end) = fault.end() {
            self.vital.publish(end);
        }
        fault
    }

    /// Asks by a `ping` in the session whether the server knows it: an answer says so, be it an error
    /// of the server's own. `None` where there was none in time.
    fn asked(&self) -> BoxFuture<'_, Option<Outcome>> {
        Box::pin(async move {
            let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
            let body = Bytes::from(envelope::request(&id, method::PING, None));
            let leg = Leg { id: Some(id), ..Leg::aside(method::PING) };
            let mut ear = Ear::default();
            let asked = tokio::time::timeout(ASIDE, self.exchange(leg, body, &mut ear));
            asked.await.ok()
        })
    }

    /// What a status outside 200 to 299 means as an answer to this method. By 404 a server says
    /// that it does not know the session (MCP 2025-11-25, streamable HTTP: session management); one
    /// that answers a `ping` in it meant the request alone, which ends no session.
    pub(super) async fn refusal(&self, response: Response, method: &str) -> Fault {
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let head = Head {
            status: response.status().as_u16(),
            retry_after: text(RETRY_AFTER),
            location: text(LOCATION),
            in_session: self.session.get().is_some(),
            with_credentials: self.target.has_credentials(),
        };
        let (verdict, status, in_session) = (head.verdict(), head.status, head.in_session);
        let mut fallback = head.without_words();
        match verdict {
            Some(Fault::SessionOver)
                if method != method::PING
                    && matches!(self.asked().await, Some(Ok(_) | Err(Fault::Server(_)))) =>
            {
                fallback = Fault::not_the_session();
            }
            Some(fault) => return self.failed(fault),
            None => {}
        }
        match self.body(response, REFUSAL).await {
            Ok(body) => match Message::parse(&body) {
                // How some servers say that they do not know a session (the TypeScript SDK).
                Ok(Message::Response { id: None, outcome: Err(error) })
                    if in_session && status == 400 && is_unknown_session(&error.message()) =>
                {
                    // The words of an error are no proof: the call may have been carried out.
                    let is_over = method == method::PING
                        || matches!(self.asked().await, Some(Err(Fault::SessionOver)));
                    if is_over { self.failed(Fault::SessionOver) } else { Fault::Server(error) }
                }
                Ok(Message::Response { outcome: Err(error), .. }) => Fault::Server(error),
                _ => fallback,
            },
            Err(_) => fallback,
        }
    }

    fn no_answer(&self, response: &Response) -> Fault {
        Fault::Malformed(match (media_type(response), response.headers().get(CONTENT_TYPE)) {
            (Some(media), _) if media.eq_ignore_ascii_case("text/html") => {
                "the server answers with a web page: is the path of its url right? many answer at /mcp"
                    .to_owned()
            }
            (_, Some(media)) => {
                let media = self.words.quote(media.as_bytes(), WORDS);
                format!("the server answers with {media}, neither JSON nor an event stream")
            }
            (_, None) => {
                let status = response.status().as_u16();
                format!("the server took the request without an answer ({status})")
            }
        })
    }

    async fn json_answer(&self, response: Response, id: u64, ear: &mut Ear) -> Outcome {
        let mut body = self.body(response, self.limit).await?;
        if let Some(outcome) = self.receive_long(&mut body, id) {
            return outcome;
        }
        let text = body.trim_ascii();
        if text.first() == Some(&b'[')
            && let Ok(batch) = serde_json::from_slice::<Vec<&RawValue>>(text)
        {
            for message in batch {
                if let Some(outcome) = self.receive(message.get().as_bytes(), Some(id), ear) {
                    return outcome;
                }
            }
        } else if let Some(outcome) = self.receive(text, Some(id), ear) {
            return outcome;
        }
        let start = self.words.quote(text, WORDS);
        Err(Fault::Malformed(format!("the server's answer is no JSON-RPC response: {start:?}")))
    }

    /// Reads a whole body, within a limit.
    async fn body(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, Fault> {
        let expected = response.body().size_hint().exact();
        let expected = expected.and_then(|length| usize::try_from(length).ok());
        if expected.is_some_and(|expected| expected > limit) {
            return Err(self.too_long());
        }
        let mut body = Vec::with_capacity(expected.unwrap_or_default());
        loop {
            match chunk(&mut response).await? {
                Some(chunk) if body.len() + chunk.len() > limit => return Err(self.too_long()),
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(body),
            }
        }
    }

    pub(super) fn too_long(&self) -> Fault {
        Fault::Malformed(format!(
            "the server's answer exceeds the limit of {} for one message (limits.message_bytes)",
            bytesize::ByteSize(self.limit as u64).display().iec()
        ))
    }

    /// Takes in the answer to `id` where it is so long that a copy would be too much.
    pub(super) fn receive_long(&self, bytes: &mut Vec<u8>, id: u64) -> Option<Outcome> {
        if bytes.len() < envelope::TAKEN {
            return None;
        }
        let (found, result) = envelope::take_result(bytes)?;
        self.vital.hear();
        is_for(found.as_ref(), id).then_some(Ok(result))
    }

    /// Takes in one message; gives the outcome where it is the answer to `id`.
    pub(super) fn receive(&self, bytes: &[u8], id: Option<u64>, ear: &mut Ear) -> Option<Outcome> {
        let message = Message::parse(bytes).ok()?;
        self.vital.hear();
        match message {
            Message::Response { id: found, outcome } => {
                // An error without an id can only be about the one request of the exchange.
                let is_ours =
                    |id| is_for(found.as_ref(), id) || found.is_none() && outcome.is_err();
                id.is_some_and(is_ours)
                    .then(|| outcome.map(ToOwned::to_owned).map_err(Fault::Server))
            }
            Message::Notification { method, params } => {
                self.notified(&method, params, id, ear);
                None
            }
            Message::Request { id: asked, method, params } => {
                let (answers, hints) = (self.answers.clone(), self.hints.clone());
                // A server that asks faster than it takes answers loses the rest.
                let send = move |back| match back {
                    Back::Answer(body) => drop(answers.try_send(body)),
                    Back::Hint(hint) => drop(hints.try_send(hint)),
                };
                match method::of_servers(&method) {
                    Some(method) => {
                        let party = self.party(id, ear);
                        self.inquiries.ask(&self.words, party, &asked, method, params, send);
                    }
                    None => send(Back::Answer(inbound::reply(&asked, &method))),
                }
                None
            }
        }
    }

    fn notified(&self, method: &str, params: Option<&RawValue>, id: Option<u64>, ear: &mut Ear) {
        match method {
            method::PROGRESS => {
                if let (Some(raw), Some(track)) = (params, &mut ear.track)
                    && let Some(said) = Said::read(raw)
                    && Some(said.progress_token) == id
                {
                    track.pass(said.progress, raw);
                }
            }
            method::LISTEN_ACKNOWLEDGED => {
                if let (Some(raw), Some(acknowledged)) = (params, &ear.acknowledged) {
                    // There is one; whoever waited may have left.
                    acknowledged.try_send(raw.to_owned()).ok();
                }
            }
            method::MESSAGE => log(self.party(id, ear).as_ref(), params, &self.words),
            method::CANCELLED => self.inquiries.withdraw(params),
            method::VISITED => {
                if let Some(params) = params {
                    self.news.visited(self.inquiries.visited(params), params);
                }
            }
            _ => {
                let heard = extension::may_own(method)
                    && notice(self.party(id, ear).as_ref(), method, params);
                if !self.news.take(method, params, heard) {
                    tracing::trace!("notification without use");
                }
            }
        }
    }

    /// Whose a message of the server is: the stream of an answer is that of its request, and over
    /// the standing stream it is found out as over standard streams.
    fn party(&self, id: Option<u64>, ear: &Ear) -> Option<Party> {
        if id.is_some() {
            return ear.party.clone();
        }
        let parties = self.parties.lock();
        let newest = addressee(parties.iter().map(|(id, party)| (*id, party)));
        newest.filter(|party| self.given_up.lock().allow(party)).cloned()
    }

    /// Posts an answer to a server's own request; what becomes of it is the server's affair.
    pub(super) async fn reply(&self, body: Vec<u8>) {
        let request = self.posted(Leg::aside(""), body.into());
        tokio::time::timeout(ASIDE, self.send(request)).await.ok();
    }
}

fn is_for(found: Option<&Id>, id: u64) -> bool {
    matches!(found, Some(Id::Written(text) | Id::String(text)) if text.parse() == Ok(id))
}

/// Whether a refusal may say that a session is unknown. So may the error of a call that was
/// executed, which must not be sent again.
fn is_unknown_session(words: &str) -> bool {
    let words = words.to_lowercase();
    let unknown = ["not found", "unknown", "invalid", "no valid", "expired", "does not exist"];
    words.contains("session") && unknown.iter().any(|unknown| words.contains(unknown))
}

/// The next piece of a body; `None` at its end.
pub(super) async fn chunk(response: &mut Response) -> Result<Option<Bytes>, Fault> {
    while let Some(frame) = response.frame().await {
        // The other kind are trailers.
        if let Ok(chunk) = frame.map_err(|error| Fault::of_transport(&error))?.into_data() {
            return Ok(Some(chunk));
        }
    }
    Ok(None)
}

fn media_type(response: &Response) -> Option<&str> {
    let value = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim).filter(|media| !media.is_empty())
}
