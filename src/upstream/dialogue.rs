//! Servers that ask: what they want to know during a call, and how that reaches the caller.
//!
//! The callers' half (a dialogue, and what is told in it) is what the kernel hands down; the
//! links' half decides whose call a server's request belongs to. Nothing is kept longer than its
//! call, and what belongs to nobody is answered here and never guessed.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Deadline, Notice, room::Room};
use crate::{
    id::{Owner, ServerName, SessionKey},
    wire::{
        Abilities, ErrorObject, Id, Level, Object, RawValue, envelope::code, header::Unexplained,
        meta, method, raw, task,
    },
};

mod aside;
mod inquiries;
mod reply;
mod sink;
mod visits;

pub(super) use aside::{log, notice};
pub(super) use inquiries::Inquiries;
pub(super) use reply::Back;
#[cfg(feature = "upstream-http")]
pub(super) use reply::Hint;
pub use reply::Reply;
pub use sink::DialogueSink;

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
    // Its own name of a task means nothing to whoever is asked.
    let unrelated = params.and_then(task::unrelated);
    let params = unrelated.as_deref().or(params);
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

#[cfg(test)]
mod tests;
