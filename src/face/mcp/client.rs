//! A legacy client that can be asked: what it declared, and what it was asked and has not answered.
//!
//! Owned by a session. Requests of servers get ids of ours, because each server counts for itself;
//! an answer is taken once. A client that reads nothing is not waited for.

use std::{collections::HashMap, mem, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Asked, Dialogue, DialogueSink, Reply},
    wire::{
        Abilities, Ability, ErrorObject, Id, Level, Object, RawValue, Revision, change, envelope,
        extension, meta, method, raw,
    },
};

/// How long a client that reads no stream is waited for: it may come back for one.
pub(super) const UNREAD: Duration = Duration::from_mins(1);

/// The other side of a legacy session.
#[derive(Debug)]
pub(crate) struct Client {
    abilities: Abilities,
    extensions: Option<Arc<RawValue>>,
    revision: Revision,
    level: Mutex<Option<Level>>,
    open: Mutex<Open>,
    /// Nobody is waited for any more.
    draining: CancellationToken,
    reading: Mutex<Reading>,
    /// That has changed. A session lives long and idle, so what it holds is small.
    changed: Notify,
}

/// Whether a client reads anything.
#[derive(Clone, Copy, Debug)]
struct Reading {
    streams: usize,
    /// When the number changed last.
    since: Instant,
    /// Its session is over: it can answer nothing any more.
    is_over: bool,
}

/// A stream that a client reads as long as this lives.
#[derive(Debug)]
pub(crate) struct Reads(Arc<Client>);

impl Reads {
    /// A client reads a stream from now on.
    pub(crate) fn of(client: &Arc<Client>) -> Self {
        client.read(|reading| reading.streams += 1);
        Self(Arc::clone(client))
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        self.0.read(|reading| reading.streams -= 1);
    }
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    replies: HashMap<u64, Reply>,
}

impl Client {
    /// A client that declared itself in the parameters of `initialize`. Once `draining` is
    /// cancelled it is asked nothing more.
    pub(crate) fn new(
        params: Option<&RawValue>,
        revision: Revision,
        draining: &CancellationToken,
    ) -> Self {
        let params = Object::read_optional(params).unwrap_or_default();
        let capabilities = params.get("capabilities");
        // These are of the modern era; a legacy client asks for a task in its call.
        let abilities = capabilities.map(Abilities::read).unwrap_or_default();
        let abilities = abilities.without(Ability::Tasks);
        let extensions = capabilities.and_then(extension::declared).map(Arc::from);
        Self {
            abilities,
            extensions,
            revision,
            level: Mutex::default(),
            open: Mutex::default(),
            draining: draining.clone(),
            reading: Mutex::new(Reading { streams: 0, since: Instant::now(), is_over: false }),
            changed: Notify::new(),
        }
    }

    fn read(&self, change: impl FnOnce(&mut Reading)) {
        let mut reading = self.reading.lock();
        reading.since = Instant::now();
        change(&mut reading);
        drop(reading);
        self.changed.notify_waiters();
    }

    /// The extensions that it declared.
    pub(crate) fn extensions(&self) -> Vec<String> {
        self.extensions.as_deref().map(extension::names).unwrap_or_default()
    }

    /// Whether it visits addresses, and its revision has a word for the end of a visit.
    pub(crate) fn has_visits(&self) -> bool {
        self.abilities.has(Ability::Url) && change::ADDRESS_ID.is_for(self.revision)
    }

    /// Which log messages it wants from now on; false where the parameters name no level.
    pub(crate) fn set_level(&self, params: Option<&RawValue>) -> bool {
        let level = params.and_then(Level::of_message);
        if level.is_some() {
            *self.level.lock() = level;
        }
        level.is_some()
    }

    /// What a call of this client may be told; `None` where it wants nothing and can do nothing.
    pub(crate) fn dialogue(&self, sink: impl FnOnce() -> DialogueSink) -> Dialogue {
        let level = *self.level.lock();
        let dialogue = Dialogue { extensions: self.extensions.clone(), ..Dialogue::default() };
        if self.abilities.is_empty() && level.is_none() {
            return dialogue;
        }
        Dialogue { abilities: self.abilities, level, sink: Some(sink()), ..dialogue }
    }

    /// Takes a server's request; gives the id that the client answers to, and the line that asks.
    /// `None` where it is declined, because nobody is waited for.
    pub(crate) fn ask(&self, asked: Asked) -> Option<(u64, Vec<u8>)> {
        let Asked { method, params, reply, .. } = asked;
        let params = self.phrased(method, params);
        let mut open = self.open.lock();
        if self.is_gone() {
            drop(open);
            drop(reply);
            return None;
        }
        open.last += 1;
        let id = open.last;
        open.replies.insert(id, reply);
        drop(open);
        let params = match meta::key(Some(&params), meta::PROGRESS_TOKEN) {
            Some(_) => meta::with_key(&params, meta::PROGRESS_TOKEN, &raw(&id)),
            None => params,
        };
        Some((id, envelope::request(&id, method, Some(&params))))
    }

    /// Revision 2025-11-25 gives each address an id, which later ones have no use for.
    fn phrased(&self, method: &str, params: Box<RawValue>) -> Box<RawValue> {
        const ID: &str = "elicitationId";
        let Some(mut object) = Object::read(&params) else { return params };
        let is_url = method == method::ELICIT && object.text("mode").as_deref() == Some("url");
        if !is_url || object.get(ID).is_some() || !change::ADDRESS_ID.is_for(self.revision) {
            return params;
        }
        object.set(ID, std::borrow::Cow::Owned(raw(&uuid::Uuid::new_v4().to_string())));
        object.to_raw()
    }

    /// Takes the client's answer; one to nothing that is open is ignored.
    pub(crate) fn answer(&self, id: Option<&Id>, outcome: Result<&RawValue, ErrorObject>) {
        let number = id.and_then(|id| match id {
            Id::Written(text) | Id::String(text) => text.parse().ok(),
        });
        if let Some(reply) = number.and_then(|id: u64| self.open.lock().replies.remove(&id)) {
            reply.give(outcome.map(ToOwned::to_owned));
        }
    }

    /// Takes the client's word of how far an answer is; about nothing that is open it is ignored.
    pub(super) fn progress(&self, params: Option<&RawValue>) {
        let Some(params) = params.and_then(Object::read) else { return };
        let Some(id) = params.typed::<u64>(meta::PROGRESS_TOKEN) else { return };
        if let Some(reply) = self.open.lock().replies.get_mut(&id) {
            reply.progress(params);
        }
    }

    /// Nobody wants an answer any more; says whether one was still open.
    pub(crate) fn forget(&self, id: u64) -> bool {
        let reply = self.open.lock().replies.remove(&id);
        reply.is_some()
    }

    /// The session is over: whatever is open is declined, and whatever would follow.
    pub(crate) fn leave(&self) {
        self.read(|reading| reading.is_over = true);
        let open = mem::take(&mut self.open.lock().replies);
        drop(open);
    }

    /// Whether nobody is waited for any more.
    pub(super) fn is_gone(&self) -> bool {
        self.draining.is_cancelled() || self.reading.lock().is_over
    }

    /// Resolves when an answer to what was asked then is waited for no longer: nobody is, or the
    /// client has read no stream for a minute since.
    pub(super) async fn lost(&self, asked: Instant) {
        let unread = async {
            loop {
                let changed = self.changed.notified();
                let Reading { streams, since, is_over } = *self.reading.lock();
                if is_over {
                    return;
                }
                if streams > 0 {
                    changed.await;
                } else if timeout_at(since.max(asked) + UNREAD, changed).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.draining.cancelled() => {}
            () = unread => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(revision: Revision) -> Client {
        let params =
            RawValue::from_string(r#"{"capabilities":{"elicitation":{"url":{}}}}"#.to_owned());
        Client::new(Some(&params.unwrap()), revision, &CancellationToken::new())
    }

    #[test]
    fn an_address_gets_the_id_that_its_revision_wants() {
        let params = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let url = r#"{"mode":"url","url":"https://example.org"}"#;
        let newest = client(Revision::V2025_11_25).phrased(method::ELICIT, params(url));
        assert!(newest.get().contains(r#""elicitationId":""#), "{newest}");
        let own = r#"{"mode":"url","elicitationId":"1"}"#;
        let kept = client(Revision::V2025_11_25).phrased(method::ELICIT, params(own));
        assert_eq!(kept.get(), own);
        let older = client(Revision::V2025_06_18).phrased(method::ELICIT, params(url));
        assert_eq!(older.get(), url);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_waited_for_a_minute() {
        let client = Arc::new(client(Revision::V2025_11_25));
        let (reads, more) = (Reads::of(&client), Reads::of(&client));
        let start = Instant::now();
        drop(more);
        let never = tokio::time::timeout(10 * UNREAD, client.lost(start));
        assert!(never.await.is_err(), "it reads");
        drop(reads);
        let left = Instant::now();
        client.lost(start).await;
        assert_eq!(left.elapsed(), UNREAD);
        let asked = Instant::now();
        client.lost(asked).await;
        assert_eq!(asked.elapsed(), UNREAD, "each question has its own");
        client.leave();
        let gone = Instant::now();
        client.lost(gone).await;
        assert_eq!(gone.elapsed(), Duration::ZERO);
    }

    #[test]
    fn a_client_without_anything_has_no_dialogue() {
        let client = Client::new(None, Revision::V2025_06_18, &CancellationToken::new());
        let silent = client.dialogue(|| unreachable!());
        assert!(silent.sink.is_none());
        let params = RawValue::from_string(r#"{"level":"info"}"#.to_owned()).unwrap();
        assert!(client.set_level(Some(&params)) && !client.set_level(None));
        let (sink, _told) = DialogueSink::new(1);
        assert_eq!(client.dialogue(|| sink).level, Some(Level::Info));
    }
}
