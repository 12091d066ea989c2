//! The questions of one link's server that wait for their answers.
//!
//! Each is answered once: by whoever it was taken to, by the configuration, or declined here. What
//! is nobody's is never guessed.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Asked, Back, DialogueSink, Party, Reply, Response, Told, Whose, declined, introduced,
    visits::Visits,
};
use crate::{
    id::ServerName,
    upstream::{Roots, StderrRing, deadline::Hold},
    wire::{
        Abilities, ErrorObject, Id, Object, RawValue,
        envelope::{self, code},
        meta, method,
    },
};

/// Requests of one server that wait for an answer at most; further ones are declined.
const OPEN: usize = 64;
/// Bytes of their parameters, beyond which a further one is declined too; a lone one may be as long as a
/// message.
pub(super) const OPEN_BYTES: usize = 16 << 20;

/// A server's requests that wait for their answers, of one link.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Inquiries {
    open: Mutex<Asking>,
    /// Roots of the configuration, which answer for everybody.
    roots: OnceLock<Roots>,
}

#[derive(Debug, Default)]
struct Asking {
    last: u64,
    /// By the server's own id. It may use one again, so each question has a number of ours too.
    by_id: HashMap<Id, Asks>,
    visits: Visits,
}

#[derive(Debug)]
struct Asks {
    number: u64,
    since: Instant,
    sink: DialogueSink,
    /// Bytes of its parameters.
    size: usize,
}

impl Inquiries {
    /// Questions for roots are answered with these, if there are any.
    pub(in crate::upstream) fn know(&self, roots: Roots) {
        self.roots.set(roots).ok();
    }

    /// Roots of the configuration, if there are any.
    pub(in crate::upstream) fn roots(&self) -> Option<&Roots> {
        self.roots.get().filter(|roots| roots.are_known())
    }

    /// How many questions wait for an answer, and how long the first of them has.
    pub(in crate::upstream) fn waiting(&self) -> (usize, Option<Duration>) {
        let open = self.open.lock();
        let longest = open.by_id.values().map(|asks| asks.since.elapsed()).max();
        (open.by_id.len(), longest)
    }

    /// Says why a question is nobody's, where an operator finds it.
    fn tell_declined(&self, method: &str, ring: &StderrRing) {
        let waiting = match self.waiting() {
            (0, _) | (_, None) => String::new(),
            (count, Some(longest)) => {
                let seconds = longest.as_secs();
                format!("; {count} waiting for the answer of a client, the first for {seconds} s")
            }
        };
        // Not above: a server may ask without end.
        tracing::debug!(method, "a server's question was declined: it may be of several clients");
        ring.push(&format!(
            "switchboard declined {method}: it names no call, and there is not one client alone \
             that it can be for{waiting} (isolation = \"session\" gives each client a connection)"
        ));
    }

    /// Takes a server's request to the party that it belongs to. `send` gets the response, at once
    /// or when it is answered, and before it how far it is, where the server wants to know.
    pub(in crate::upstream) fn ask(
        self: &Arc<Self>,
        ring: &StderrRing,
        party: Option<Party>,
        id: &Id,
        method: &'static str,
        params: Option<&RawValue>,
        send: impl Fn(Back) + Send + Sync + 'static,
    ) {
        let send = Arc::new(send);
        let respond = {
            let (id, send) = (id.clone(), Arc::clone(&send));
            move |response: Response| {
                send(Back::Answer(match response {
                    Ok(result) => envelope::result(&id, &result),
                    Err(error) => envelope::error(Some(&id), &error),
                }));
            }
        };
        let configured = self.roots().filter(|_| method == method::ROOTS).and_then(Roots::answer);
        if let Some(roots) = configured {
            return respond(Ok(roots));
        }
        let Some(Party { dialogue, deadline }) = party else {
            self.tell_declined(method, ring);
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
        let reply = match meta::key(params, meta::PROGRESS_TOKEN) {
            Some(token) => reply.watched(token, move |hint| send(Back::Hint(hint))),
            None => reply,
        };
        let server = dialogue.server.clone().unwrap_or_else(ServerName::ourselves);
        let params = introduced(server.as_str(), method, params);
        let asked = Asked { server, id, method, params, reply };
        // Where there is no room or nobody any more, dropping the reply declines it.
        drop(sink.try_send(Told::Asked(asked)));
    }

    /// Whose the address is that was visited, as far as is known.
    pub(in crate::upstream) fn visited(&self, params: &RawValue) -> Option<Whose> {
        self.open.lock().visits.take(params)
    }

    /// The server no longer wants an answer.
    pub(in crate::upstream) fn withdraw(&self, params: Option<&RawValue>) {
        let id = params.and_then(Object::read).and_then(|params| params.typed::<Id>("requestId"));
        if let Some(id) = id
            && let Some(Asks { sink, .. }) = self.open.lock().by_id.remove(&id)
        {
            sink.try_send(Told::Withdrawn(id)).ok();
        }
    }
}

impl Asking {
    /// The number of a new question; `None` where there is no room, or its id is open already.
    fn enter(&mut self, id: &Id, sink: &DialogueSink, size: usize) -> Option<u64> {
        let held: usize = self.by_id.values().map(|asks| asks.size).sum();
        let is_too_much = held > 0 && held.saturating_add(size) > OPEN_BYTES;
        if is_too_much || self.by_id.len() >= OPEN || self.by_id.contains_key(id) {
            return None;
        }
        self.last += 1;
        let asks = Asks { number: self.last, since: Instant::now(), sink: sink.clone(), size };
        self.by_id.insert(id.clone(), asks);
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
        open.by_id.get(&self.id).is_some_and(|asks| asks.number == self.number)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_wanted() {
            self.inquiries.open.lock().by_id.remove(&self.id);
        }
    }
}
