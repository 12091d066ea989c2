//! Servers that ask: what they want to know during a call, and how that reaches the caller.
//!
//! The callers' half (a dialogue, and what is told in it) is what the kernel hands down; the
//! links' half decides whose call a server's request belongs to. Nothing is kept longer than its
//! call, and what belongs to nobody is answered here and never guessed.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Deadline, Notice, Roots, deadline::Hold, room::Room};
use crate::{
    id::{Owner, ServerName, SessionKey},
    wire::{
        Abilities, ErrorObject, Id, Level, Object, RawValue,
        envelope::{self, code},
        header::Unexplained,
        meta, method, raw,
    },
};

mod aside;
mod sink;
mod visits;

pub(super) use aside::{log, notice};
pub use sink::DialogueSink;
use visits::Visits;

/// Requests of one server that wait for an answer at most; further ones are declined.
const OPEN: usize = 64;
/// Bytes of their parameters, beyond which a further one is declined too; a lone one may be as long as a
/// message.
const OPEN_BYTES: usize = 16 << 20;

/// How long a server may be at work on a call that was given up.
const LINGERING: Duration = Duration::from_mins(1);

/// A party to a connection: an owner's session. Owners may share a connection, and sessions of two
/// owners may have one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Whose call it is.
    pub owner: Owner,
    /// In which of its sessions.
    pub session: Option<SessionKey>,
}

/// Who is behind a call, as far as its server may ask back. The default can do nothing.
#[derive(Clone, Debug, Default)]
pub struct Dialogue {
    /// Calls of different parties never see each other's requests and log messages.
    pub party: Option<Whose>,
    /// Which server is called; it is named to whoever is asked.
    pub server: Option<ServerName>,
    /// What the caller can be asked for.
    pub abilities: Abilities,
    /// What the caller declares beyond the protocol, as [`crate::wire::extension::declared`] gives it.
    pub extensions: Option<Arc<RawValue>>,
    /// Extensions among them whose notifications the caller is told while its call runs.
    pub hears: Option<Arc<[String]>>,
    /// Headers of the call itself that repeat parameters for somebody on the way, and that a modern
    /// server over HTTP gets as they came.
    pub headers: Option<Unexplained>,
    /// The least level of log messages that the caller wants; `None` for none.
    pub level: Option<Level>,
    /// Where it is asked; without it the server learns that it cannot be.
    pub sink: Option<DialogueSink>,
}

impl Dialogue {
    /// What the server may count on.
    pub fn offered(&self) -> Abilities {
        if self.sink.is_some() { self.abilities } else { self.abilities.unasked() }
    }
}

/// What a server tells the caller of one call.
#[derive(Debug)]
pub enum Told {
    /// It asks.
    Asked(Asked),
    /// It no longer wants to know what it asked under this id of its own.
    Withdrawn(Id),
    /// A log message: raw `LoggingMessageNotificationParams`.
    Logged(Box<RawValue>, Room),
    /// A notification of an extension that the caller declared.
    Notified(Notice, Room),
}

/// A server's request to the caller.
#[derive(Debug)]
pub struct Asked {
    /// Who asks.
    pub server: ServerName,
    /// The server's own id, unique among its open requests.
    pub id: Id,
    /// `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: &'static str,
    /// Its raw parameters; they name the server.
    pub params: Box<RawValue>,
    /// Takes the answer. Dropped without one, the request is declined.
    pub reply: Reply,
}

/// An answer: a raw result, or the caller's error.
pub type Response = Result<Box<RawValue>, ErrorObject>;

/// Takes the answer to one request of a server.
pub struct Reply {
    method: &'static str,
    send: Option<Box<dyn FnOnce(Response) + Send>>,
}

impl Reply {
    /// A way back to whoever asked; it is gone after one answer.
    pub fn new(method: &'static str, send: impl FnOnce(Response) + Send + 'static) -> Self {
        Self { method, send: Some(Box::new(send)) }
    }

    /// Answers the server.
    pub fn give(mut self, response: Response) {
        if let Some(send) = self.send.take() {
            send(response);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(send) = self.send.take() {
            send(declined(self.method));
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("method", &self.method).finish_non_exhaustive()
    }
}

/// How a request is answered that nobody answers.
pub fn declined(method: &str) -> Response {
    if method == method::ELICIT {
        return Ok(raw(&serde_json::json!({ "action": "cancel" })));
    }
    Err(ErrorObject::new(code::INTERNAL, "nobody is there to answer this"))
}

/// The parameters of a server's request with its name in them: users must see who asks (MCP
/// 2026-07-28, elicitation).
pub fn introduced(server: &str, method: &str, params: Option<&RawValue>) -> Box<RawValue> {
    let mut object = Object::read_optional(params).unwrap_or_default();
    let message = object.get("message").filter(|_| method == method::ELICIT);
    if let Some(message) = message.and_then(|message| said_by(server, message)) {
        object.set("message", Cow::Owned(message));
    }
    meta::with_key(&object.to_raw(), meta::ORIGIN, &raw(server))
}

/// A text that names its server first; what follows stays as it was written, because even one
/// that is no valid text must not hide who asks. `None` for what is no text.
fn said_by(server: &str, message: &RawValue) -> Option<Box<RawValue>> {
    let rest = message.get().strip_prefix('"')?;
    let name = raw(&format!("[{server}] "));
    let name = name.get().strip_suffix('"')?;
    RawValue::from_string(format!("{name}{rest}")).ok()
}

/// A call in flight, as its server may ask back.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) dialogue: Arc<Dialogue>,
    pub(super) deadline: Deadline,
}

/// Whose a message is that names no call: that of the newest call, where all calls in flight are
/// of one party.
pub(super) fn addressee<'a>(calls: impl Iterator<Item = (u64, &'a Party)>) -> Option<&'a Party> {
    let mut newest: Option<(u64, &Party)> = None;
    for (id, call) in calls {
        match newest {
            Some((_, other)) if other.dialogue.party != call.dialogue.party => return None,
            Some((last, _)) if last > id => {}
            _ => newest = Some((id, call)),
        }
    }
    newest.map(|(_, call)| call)
}

/// Calls that were given up while their server may still be at work on them: what it asks then is
/// nobody's, and must not be taken for a question of another party's call.
#[derive(Debug, Default)]
pub(super) struct GivenUp(HashMap<u64, (Option<Whose>, Instant)>);

impl GivenUp {
    /// A call that the server has was given up.
    pub(super) fn add(&mut self, id: u64, party: &Party) {
        let now = Instant::now();
        self.0.retain(|_, (_, since)| now.duration_since(*since) < LINGERING);
        self.0.insert(id, (party.dialogue.party.clone(), now));
    }

    /// The server answered it all the same, so it is done with it.
    pub(super) fn answered(&mut self, id: u64) {
        self.0.remove(&id);
    }

    /// Whether what names no call can be a party's: no call of another was given up lately.
    pub(super) fn allow(&self, party: &Party) -> bool {
        self.0
            .values()
            .all(|(other, since)| *other == party.dialogue.party || since.elapsed() >= LINGERING)
    }
}

/// A server's requests that wait for their answers, of one link.
#[derive(Debug, Default)]
pub(super) struct Inquiries {
    open: Mutex<Asking>,
    /// Roots of the configuration, which answer for everybody.
    roots: OnceLock<Roots>,
}

#[derive(Debug, Default)]
struct Asking {
    last: u64,
    /// By the server's own id. It may use one again, so each question has a number of ours too.
    by_id: HashMap<Id, Inquiry>,
    visits: Visits,
}

/// One of them.
#[derive(Debug)]
struct Inquiry {
    number: u64,
    sink: DialogueSink,
    /// Bytes of its parameters.
    size: usize,
}

impl Inquiries {
    /// Questions for roots are answered with these, if there are any.
    pub(super) fn know(&self, roots: Roots) {
        self.roots.set(roots).ok();
    }

    /// Roots of the configuration, if there are any.
    pub(super) fn roots(&self) -> Option<&Roots> {
        self.roots.get().filter(|roots| roots.are_known())
    }

    /// How many questions wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.open.lock().by_id.len()
    }

    /// Takes a server's request to the party that it belongs to. `send` gets the response, at once
    /// or when it is answered.
    pub(super) fn ask(
        self: &Arc<Self>,
        party: Option<Party>,
        id: &Id,
        method: &'static str,
        params: Option<&RawValue>,
        send: impl FnOnce(Vec<u8>) + Send + 'static,
    ) {
        let respond = {
            let id = id.clone();
            move |response: Response| {
                send(match response {
                    Ok(result) => envelope::result(&id, &result),
                    Err(error) => envelope::error(Some(&id), &error),
                });
            }
        };
        let configured = self.roots().filter(|_| method == method::ROOTS).and_then(Roots::answer);
        if let Some(roots) = configured {
            return respond(Ok(roots));
        }
        let Some(Party { dialogue, deadline }) = party else {
            return respond(declined(method));
        };
        let able = Abilities::needed(method, params)
            .is_some_and(|needed| dialogue.offered().include(needed));
        let Some(sink) = dialogue.sink.clone().filter(|_| able) else {
            let text = "the client of this call cannot be asked for that";
            return respond(Err(ErrorObject::new(code::METHOD_NOT_FOUND, text)));
        };
        let size = params.map_or(0, |params| params.get().len());
        let Some(number) = self.open.lock().enter(id, &sink, size) else {
            return respond(declined(method));
        };
        self.open.lock().visits.add(method, params, dialogue.party.as_ref());
        let (inquiries, id) = (Arc::clone(self), id.clone());
        let open = Open { inquiries, id: id.clone(), number, _hold: deadline.hold() };
        let reply = Reply::new(method, move |response| {
            if open.is_wanted() {
                drop(open);
                respond(response);
            }
        });
        let server = dialogue.server.clone().unwrap_or_else(ServerName::ourselves);
        let params = introduced(server.as_str(), method, params);
        let asked = Asked { server, id, method, params, reply };
        // Where there is no room or nobody any more, dropping the reply declines it.
        drop(sink.try_send(Told::Asked(asked)));
    }

    /// Whose the address is that was visited, as far as is known.
    pub(super) fn visited(&self, params: &RawValue) -> Option<Whose> {
        self.open.lock().visits.take(params)
    }

    /// The server no longer wants an answer.
    pub(super) fn withdraw(&self, params: Option<&RawValue>) {
        let id = params.and_then(Object::read).and_then(|params| params.typed::<Id>("requestId"));
        if let Some(id) = id
            && let Some(inquiry) = self.open.lock().by_id.remove(&id)
        {
            inquiry.sink.try_send(Told::Withdrawn(id)).ok();
        }
    }
}

impl Asking {
    /// The number of a new question; `None` where there is no room, or its id is open already.
    fn enter(&mut self, id: &Id, sink: &DialogueSink, size: usize) -> Option<u64> {
        let held: usize = self.by_id.values().map(|inquiry| inquiry.size).sum();
        let is_too_much = held > 0 && held.saturating_add(size) > OPEN_BYTES;
        if is_too_much || self.by_id.len() >= OPEN || self.by_id.contains_key(id) {
            return None;
        }
        self.last += 1;
        let inquiry = Inquiry { number: self.last, sink: sink.clone(), size };
        self.by_id.insert(id.clone(), inquiry);
        Some(self.last)
    }
}

/// One open request; while it is, its call's time stands still.
struct Open {
    inquiries: Arc<Inquiries>,
    id: Id,
    number: u64,
    _hold: Hold,
}

impl Open {
    /// Whether the server still wants an answer.
    fn is_wanted(&self) -> bool {
        let open = self.inquiries.open.lock();
        open.by_id.get(&self.id).is_some_and(|inquiry| inquiry.number == self.number)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_wanted() {
            self.inquiries.open.lock().by_id.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests;
