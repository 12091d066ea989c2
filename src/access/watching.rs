//! What one client watches: its resources and tasks, and what it has not heard yet of them and of
//! extensions.
//!
//! Belongs to a legacy session or to one `subscriptions/listen`; everything that it watches is let
//! go with it. Bounded, and a client that hears nothing holds up nobody.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use futures::{StreamExt as _, stream};
use parking_lot::Mutex;

use super::{
    CallError, Gate, Links, Principal, Tasks,
    attended::{Attended, rules},
};
use crate::{
    id::{Owner, SessionKey},
    runtime::{Hearing, Inbox, RuntimeHandle, Scope, Tidings, Watch, WatchRequest},
    wire::{Era, RawValue},
};

/// Resources that one client watches at most.
const MOST: usize = 1024;
/// Subscriptions of one client that are made at a time.
const AT_ONCE: usize = 16;

/// What a client is told.
#[derive(Debug)]
pub enum News {
    /// A resource changed: its URI, as the client knows it.
    Resource(String),
    /// A task changed: raw parameters of the notification, with the client's own name of it.
    Task(Box<RawValue>),
    /// A notification of an extension, or that a visit to an address is over.
    Extension {
        /// Its method.
        method: Arc<str>,
        /// Its raw parameters.
        params: Option<Arc<RawValue>>,
    },
}

/// What one client watches.
#[derive(Debug)]
pub struct Watching {
    runtime: RuntimeHandle,
    links: Arc<Links>,
    pub(super) tasks: Arc<Tasks>,
    pub(super) principal: Principal,
    pub(super) owner: Owner,
    pub(super) session: SessionKey,
    /// By which rules it has tasks.
    pub(super) era: Era,
    pub(super) inbox: Arc<Inbox>,
    pub(super) attended: Mutex<Attended>,
    watched: Mutex<Watched>,
    hearing: OnceLock<Hearing>,
}

#[derive(Debug, Default)]
struct Watched {
    slots: BTreeMap<Arc<str>, Slot>,
    /// The number of the last request.
    last: u64,
}

/// One resource of a client's.
#[derive(Debug, Default)]
struct Slot {
    watch: Option<Watch>,
    /// Requests that wait for its server, by their numbers: one that was left meanwhile is no
    /// longer among them.
    under_way: Vec<u64>,
}

impl Gate {
    /// What a client of this principal will watch of an owner's; nothing yet. Without a session
    /// the principal stands for one, as for its calls, and its tasks are those of 2026-07-28.
    pub fn watching(
        &self,
        principal: &Principal,
        owner: &Owner,
        session: Option<&SessionKey>,
    ) -> Arc<Watching> {
        Arc::new(Watching {
            runtime: self.runtime.clone(),
            links: Arc::clone(&self.links),
            tasks: Arc::clone(&self.tasks),
            era: rules(session.is_some()),
            principal: principal.clone(),
            owner: owner.clone(),
            session: session.cloned().unwrap_or_else(|| principal.session.clone()),
            inbox: Arc::default(),
            attended: Mutex::default(),
            watched: Mutex::default(),
            hearing: OnceLock::new(),
        })
    }
}

impl Watching {
    /// Watches a resource, which is no error where it is watched already. Returns when the server
    /// has taken the subscription; a server that is not connected is, as for a call.
    ///
    /// # Errors
    /// [`CallError`]: nobody has it, its server cannot tell of changes, or too much is watched.
    pub async fn watch(&self, uri: &str) -> Result<(), CallError> {
        let uri = Arc::from(uri);
        let scope = self.scope()?;
        let request = self.request(&uri);
        if let Some(turn) = self.enter(&uri)? {
            turn.keep(scope.watch(&request).await?);
        }
        Ok(())
    }

    /// Watches a resource no longer; one that is not watched stays so.
    pub fn leave(&self, uri: &str) {
        // A watch that ends does so without this lock.
        let left = self.watched.lock().slots.remove(uri);
        drop(left);
        self.inbox.forget(uri);
    }

    /// The resources that can be watched, as far as is known without asking a server; each once.
    ///
    /// # Errors
    /// [`CallError`]: the owner is gone, or these are too many.
    pub fn known(&self, uris: Vec<String>) -> Result<Vec<Arc<str>>, CallError> {
        if uris.len() > MOST {
            return Err(too_many());
        }
        let scope = self.scope()?;
        let mut known: Vec<Arc<str>> = Vec::new();
        for uri in uris {
            let origin = self.links.server(&self.principal, &self.owner, &uri);
            if scope.is_placed(&uri, origin.as_ref()) && !known.iter().any(|it| **it == *uri) {
                known.push(uri.into());
            }
        }
        Ok(known)
    }

    /// Watches resources whose client was told so already. Each subscription is made when its
    /// server is there, and the resource is told as changed then; returns when all are on the way.
    pub async fn follow(&self, uris: Vec<Arc<str>>) {
        let Ok(scope) = self.scope() else { return };
        let scope = &scope;
        let each = stream::iter(uris).for_each_concurrent(AT_ONCE, |uri| async move {
            let Ok(Some(turn)) = self.enter(&uri) else { return };
            match scope.follow(&self.request(&uri)).await {
                Ok(watch) => turn.keep(watch),
                Err(error) => tracing::debug!(owner = %self.owner, %error, "not watched"),
            }
        });
        each.await;
    }

    /// Hears the notifications of these extensions from now on, each from the server that alone
    /// declares it, and that its visits to addresses are over if it has any; those of the first call
    /// stay.
    pub fn hear(&self, extensions: Vec<String>, visits: bool) {
        if visits || !extensions.is_empty() {
            self.hearing.get_or_init(|| {
                self.runtime.hear(&self.owner, &self.session, extensions, visits, &self.inbox)
            });
        }
    }

    /// What the client is to be told next. Any number may ask; each goes to one of them, and none
    /// is lost when the future is dropped.
    pub async fn news(&self) -> News {
        match self.inbox.next().await {
            Tidings::Updated(update) => News::Resource(match self.scope() {
                Ok(scope) => scope.shown(&update),
                Err(_) => update.shown.to_string(),
            }),
            Tidings::Task { server, shown, params } => {
                News::Task(self.told(&server, &shown, &params))
            }
            Tidings::Notice(notice) => {
                News::Extension { method: notice.method, params: notice.params }
            }
        }
    }

    pub(super) fn scope(&self) -> Result<Scope, CallError> {
        super::scope(&self.runtime, &self.principal, &self.owner)
    }

    fn request(&self, uri: &Arc<str>) -> WatchRequest {
        WatchRequest {
            uri: Arc::clone(uri),
            session: Some(self.session.clone()),
            origin: self.links.server(&self.principal, &self.owner, uri),
            inbox: Arc::clone(&self.inbox),
        }
    }

    /// A place for a resource; `None` where it has one and is watched.
    fn enter<'w>(&'w self, uri: &'w Arc<str>) -> Result<Option<Turn<'w>>, CallError> {
        let mut watched = self.watched.lock();
        if watched.slots.len() >= MOST && !watched.slots.contains_key(uri) {
            return Err(too_many());
        }
        watched.last += 1;
        let number = watched.last;
        let slot = watched.slots.entry(Arc::clone(uri)).or_default();
        if slot.watch.is_some() {
            return Ok(None);
        }
        slot.under_way.push(number);
        Ok(Some(Turn { watching: self, uri, number }))
    }
}

/// A request that waits for its server.
struct Turn<'w> {
    watching: &'w Watching,
    uri: &'w Arc<str>,
    number: u64,
}

impl Turn<'_> {
    /// The resource is watched, unless it was left meanwhile.
    fn keep(self, watch: Watch) {
        let mut watched = self.watching.watched.lock();
        let slot = watched.slots.get_mut(self.uri);
        let unwanted = match slot.filter(|slot| slot.under_way.contains(&self.number)) {
            Some(slot) => slot.watch.replace(watch),
            None => Some(watch),
        };
        // A watch that ends does so without this lock.
        drop(watched);
        drop(unwanted);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut watched = self.watching.watched.lock();
        let Some(slot) = watched.slots.get_mut(self.uri) else { return };
        slot.under_way.retain(|number| *number != self.number);
        if slot.under_way.is_empty() && slot.watch.is_none() {
            watched.slots.remove(self.uri);
        }
    }
}

fn too_many() -> CallError {
    CallError::TooMany { what: "resources watched", limit: MOST }
}
