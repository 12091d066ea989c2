//! What a server tells while a call runs, as lines for the client of the call.
//!
//! Part of an exchange, and gone with it: what the client has not answered by then is declined.

use std::{collections::HashMap, sync::Arc};

use tokio::{sync::mpsc, time::Instant};

use super::{
    Step,
    client::{Client, UNREAD},
};
use crate::{
    access::{Dialogue, DialogueSink, Told},
    id::ServerName,
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
    /// What is open, by the server's ids.
    open: HashMap<Id, Open>,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Open {
    /// Our id of it.
    id: u64,
    server: ServerName,
    since: Instant,
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
            let first = self.open.iter().min_by_key(|(_, open)| open.since);
            let first = first.map(|(id, open)| (id.clone(), open.since));
            let client = self.client.clone();
            let lost = async {
                match (client, first) {
                    (Some(client), Some((id, since))) => {
                        client.lost(since).await;
                        id
                    }
                    _ => std::future::pending().await,
                }
            };
            let step = tokio::select! {
                biased;
                Some(told) = self.told.recv() => self.step(told),
                id = lost => {
                    self.give_up(&id);
                    self.withdraw(&id)
                }
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Says why a question is declined although its client has not.
    fn give_up(&self, id: &Id) {
        let (Some(open), Some(client)) = (self.open.get(id), &self.client) else { return };
        if client.is_gone() {
            return;
        }
        tracing::warn!(
            server = %open.server,
            waited_s = open.since.elapsed().as_secs(),
            unread_s = UNREAD.as_secs(),
            "a question is declined: the client of its call reads none of its streams",
        );
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
                let (of_server, server) = (asked.id.clone(), asked.server.clone());
                let (id, line) = client.ask(asked)?;
                self.open.insert(of_server, Open { id, server, since: Instant::now() });
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
        let Open { id, .. } = self.open.remove(id)?;
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
            for open in self.open.values() {
                client.forget(open.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        access::{Asked, Reply},
        wire::{Revision, raw},
    };

    #[tokio::test(start_paused = true)]
    async fn what_a_client_never_reads_is_declined_and_taken_back() {
        let params = raw(&serde_json::json!({"capabilities": {"elicitation": {}}}));
        let (draining, revision) = (CancellationToken::new(), Revision::V2025_11_25);
        let client = Arc::new(Client::new(Some(&params), revision, &draining));
        let (dialogue, telling) = Telling::of_session(Some(&client));
        let (sink, mut telling) = (dialogue.sink.unwrap(), telling.unwrap());
        let (sender, mut answer) = tokio::sync::oneshot::channel();
        let reply = Reply::new(method::ELICIT, |response| sender.send(response).unwrap());
        let (server, id) = (ServerName::new("asker").unwrap(), Id::from(7));
        let asked =
            Asked { server, id, method: method::ELICIT, params: raw(&Object::default()), reply };
        sink.send(Told::Asked(asked)).await.unwrap();
        assert!(matches!(telling.next().await, Step::Request(_)));
        let start = Instant::now();
        assert!(answer.try_recv().is_err());
        let Step::Notification(line) = telling.next().await else { panic!("something else") };
        assert!(String::from_utf8(line).unwrap().contains(method::CANCELLED));
        assert_eq!(start.elapsed(), UNREAD);
        assert_eq!(answer.await.unwrap().unwrap().get(), r#"{"action":"cancel"}"#);
    }
}
