//! What a server tells while a call runs, as lines for the client of the call.
//!
//! Part of an exchange, and gone with it: what the client has not answered by then is declined.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::mpsc;

use super::{Step, client::Client};
use crate::{
    access::{Dialogue, DialogueSink, Told},
    wire::{
        Abilities, Id, Level, Object, RawValue, envelope, extension,
        meta::{CLIENT_CAPABILITIES, LOG_LEVEL},
        method,
    },
};

/// What a slow client leaves unread at most: further requests are declined, further log messages
/// dropped, as are those beyond the sink's bytes.
const WAITING: usize = 64;

/// The way from a server to the client of one call.
#[derive(Debug)]
pub(super) struct Telling {
    /// Who is asked; a modern client never is, because its call ends instead.
    client: Option<Arc<Client>>,
    told: mpsc::Receiver<Told>,
    /// The server's ids of what is open, and ours.
    open: HashMap<Id, u64>,
}

impl Telling {
    /// The dialogue of a legacy client's call, and what comes of it if there can be any.
    pub(super) fn of_session(client: Option<&Arc<Client>>) -> (Dialogue, Option<Self>) {
        let Some(client) = client else { return (Dialogue::default(), None) };
        let mut telling = None;
        let dialogue = client.dialogue(|| {
            let (sink, told) = DialogueSink::new(WAITING);
            telling = Some(Self { client: Some(Arc::clone(client)), told, open: HashMap::new() });
            sink
        });
        (dialogue, telling)
    }

    /// The dialogue of a modern call, by its metadata. What it wants to know ends the call.
    pub(super) fn of_request(meta: &Object<'_>) -> (Dialogue, Option<Self>) {
        let abilities = meta.get(CLIENT_CAPABILITIES);
        let extensions = abilities.and_then(extension::declared);
        let extensions: Option<Arc<RawValue>> = extensions.map(Arc::from);
        let abilities = abilities.map(Abilities::read).unwrap_or_default();
        let level = meta.get(LOG_LEVEL).and_then(Level::read);
        let mut telling = None;
        let may_hear = |declared: &RawValue| {
            extension::names(declared).iter().any(|name| extension::may_have_methods(name))
        };
        let hears = extensions.as_deref().is_some_and(may_hear);
        let sink = (level.is_some() || hears).then(|| {
            let (sink, told) = DialogueSink::new(WAITING);
            telling = Some(Self { client: None, told, open: HashMap::new() });
            sink
        });
        (Dialogue { abilities, extensions, level, sink, ..Dialogue::default() }, telling)
    }

    /// The next thing that is told; pending once nothing follows. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> Step {
        loop {
            let Some(told) = self.told.recv().await else {
                return std::future::pending().await;
            };
            if let Some(step) = self.step(told) {
                return step;
            }
        }
    }

    /// What came before the outcome and was not told yet, then that nothing open is wanted any more.
    pub(super) fn last(&mut self) -> Option<Step> {
        while let Ok(told) = self.told.try_recv() {
            // A call that has its outcome asks for nothing any more.
            if !matches!(told, Told::Asked(_))
                && let Some(step) = self.step(told)
            {
                return Some(step);
            }
        }
        while let Some(id) = self.open.keys().next().cloned() {
            if let Some(step) = self.withdraw(&id) {
                return Some(step);
            }
        }
        None
    }

    fn step(&mut self, told: Told) -> Option<Step> {
        match told {
            Told::Asked(asked) => {
                let client = self.client.as_ref()?;
                let server_id = asked.id.clone();
                let (id, line) = client.ask(asked);
                self.open.insert(server_id, id);
                Some(Step::Request(line))
            }
            Told::Withdrawn(id) => self.withdraw(&id),
            Told::Logged(params, _room) => {
                Some(Step::Notification(envelope::notification(method::MESSAGE, Some(&params))))
            }
            // A session hears of it on its own stream.
            Told::Notified(..) if self.client.is_some() => None,
            Told::Notified(notice, _room) => {
                let line = envelope::notification(&notice.method, notice.params.as_deref());
                Some(Step::Notification(line))
            }
        }
    }

    /// Tells the client that an answer is no longer wanted, unless it has given it.
    fn withdraw(&mut self, id: &Id) -> Option<Step> {
        let id = self.open.remove(id)?;
        if !self.client.as_ref()?.forget(id) {
            return None;
        }
        let mut params = Object::default();
        params.put("requestId", &id);
        let line = envelope::notification(method::CANCELLED, Some(&params.to_raw()));
        Some(Step::Notification(line))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(client) = &self.client {
            for id in self.open.values() {
                client.forget(*id);
            }
        }
    }
}
