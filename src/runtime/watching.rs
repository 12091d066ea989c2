//! Watching resources and tasks: where they are, whose connection tells of their changes, and how
//! a program hears of them.
//!
//! The same placing and the same connection as of a read; no mailbox is on the way, but for a
//! session's own connection.

use std::sync::{Arc, atomic::Ordering};

use super::{CallError, RuntimeHandle, Scope, dispatch};
use crate::{
    actor::{
        audience::Hearing,
        handle::ConnectionHandle,
        subject::Subject,
        watches::{Heard, Inbox, Topic, Update, Watch},
    },
    catalog::uri,
    id::{Owner, Seat, ServerName, SessionKey},
    upstream::Deadline,
    wire::{Primitive, RawValue, method},
};

/// What is to be watched.
#[derive(Debug)]
pub(crate) struct WatchRequest {
    /// The URI, as the caller's view knows it.
    pub(crate) uri: Arc<str>,
    /// Whose connection tells of it where the server has `isolation = "session"`; the common one
    /// without.
    pub(crate) session: Option<SessionKey>,
    /// The server that told the caller of a resource which no list names.
    pub(crate) origin: Option<ServerName>,
    /// Where updates go.
    pub(crate) inbox: Arc<Inbox>,
}

/// A resource that a program watches. Dropped, it watches no longer.
#[derive(Debug)]
pub struct Subscription {
    scope: Scope,
    inbox: Arc<Inbox>,
    _watch: Watch,
}

impl Subscription {
    /// The URI of the next resource that changed: the one that is watched, or a part of it. Changes
    /// that come before they are asked for are told once for each URI, also those that may have
    /// been missed while the server was away. Never ends by itself; dropping the future loses nothing.
    pub async fn updated(&mut self) -> String {
        loop {
            // Nothing else is told to an inbox that watches a resource alone.
            if let Heard::Updated(update) = self.inbox.next().await {
                return self.scope.shown(&update);
            }
        }
    }
}

impl RuntimeHandle {
    /// An owner's session hears the notifications of these extensions, and of visits to addresses, as
    /// long as the result lives.
    pub(crate) fn hear(
        &self,
        owner: &Owner,
        session: &SessionKey,
        extensions: Vec<String>,
        visits: bool,
        inbox: &Arc<Inbox>,
    ) -> Hearing {
        self.tree.exchange.audience.join(owner, session, extensions, visits, inbox)
    }
}

/// The question how far a task is.
fn about(id: &str) -> Subject {
    Subject::Task { method: method::TASKS_GET, id: id.to_owned(), program: None }
}

impl Scope {
    /// Watches a resource, by the URI that this scope's lists and results have for it. Returns when
    /// its server has taken the subscription, which is renewed with each of its lives; a server
    /// that is not connected is, as for a call.
    ///
    /// ```
    /// # use switchboard::runtime::{CallError, RuntimeHandle};
    /// # async fn example(runtime: RuntimeHandle) -> Result<(), CallError> {
    /// let mut notes = runtime.store().subscribe("file:///srv/notes").await?;
    /// loop {
    ///     println!("{} changed: read it again", notes.updated().await);
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError`]: nobody has it, its server cannot tell of changes, or is not there.
    pub async fn subscribe(&self, uri: &str) -> Result<Subscription, CallError> {
        let inbox = Arc::<Inbox>::default();
        let (uri, session, origin) = (Arc::from(uri), None, None);
        let request = WatchRequest { uri, session, origin, inbox: Arc::clone(&inbox) };
        let watch = self.watch(&request).await?;
        Ok(Subscription { scope: self.clone(), inbox, _watch: watch })
    }

    /// Watches a resource as long as the result lives. The server has taken the subscription when
    /// this returns; a server that is not connected is, as for a call.
    pub(crate) async fn watch(&self, request: &WatchRequest) -> Result<Watch, CallError> {
        let exchange = &self.runtime.tree.exchange;
        let _under_way = exchange.tracker.token();
        let (handle, there) = self.watched(request).await?;
        let limit = exchange.settings().timeouts.call;
        let deadline = Deadline::new(limit, limit);
        let (watch, settled) = handle.watches.watch(&there, &request.inbox, &request.uri);
        handle.settled(settled, &deadline).await?;
        Ok(watch)
    }

    /// The same for a caller who was told already that the resource is watched: the subscription
    /// is made whenever the server is there, and then the resource is told as changed.
    pub(crate) async fn follow(&self, request: &WatchRequest) -> Result<Watch, CallError> {
        let (handle, there) = self.watched(request).await?;
        let topic = Topic::Resource(there);
        let watch = handle.watches.follow(topic, &request.inbox, &request.uri);
        handle.wake();
        Ok(watch)
    }

    /// Watches a task as long as the result lives, by its server's own name; `shown` is what the
    /// caller calls it. Starts no server: a task goes on without anybody who watches.
    pub(crate) fn attend(
        &self,
        server: &ServerName,
        id: &str,
        session: &SessionKey,
        inbox: &Arc<Inbox>,
        shown: &Arc<str>,
    ) -> Option<Watch> {
        let target = self.runtime.placed(&self.owner, &about(id), Some(server)).ok()??;
        let mut handle = target.route.handle;
        if target.route.by_session {
            let seat = Seat::of_session(server.clone(), session.clone());
            handle = self.runtime.tree.exchange.handle(&self.owner, &seat)?;
        }
        Some(handle.watches.follow(Topic::Task(target.upstream), inbox, shown))
    }

    /// What a server says of a task, where URIs in its result would lead to another server.
    pub(crate) fn readdressed(
        &self,
        server: &ServerName,
        params: &RawValue,
    ) -> Option<Box<RawValue>> {
        let target = self.runtime.placed(&self.owner, &about(""), Some(server)).ok()??;
        let view = target.route.readdressed?;
        dispatch::readdressed(&view, method::TASKS_GET, server, params)
    }

    /// Whether a resource of this URI can be watched, as far as the snapshot says.
    pub(crate) fn is_placed(&self, uri: &str, origin: Option<&ServerName>) -> bool {
        let subject = Subject::Resource(uri.to_owned());
        !uri::is_too_long(uri)
            && matches!(self.runtime.placed(&self.owner, &subject, origin), Ok(Some(_)))
    }

    /// What this scope calls the resource that an update is about.
    pub(crate) fn shown(&self, update: &Update) -> String {
        let Some(part) = &update.part else { return update.shown.to_string() };
        if uri::is_qualified(&update.shown) {
            return uri::qualified(&update.server, part);
        }
        let view = self.tools().ok();
        let other = view.and_then(|view| view.addressed(&update.server, part));
        other.unwrap_or_else(|| part.to_string())
    }

    /// The connection that tells of a resource, and the server's own URI.
    async fn watched(
        &self,
        request: &WatchRequest,
    ) -> Result<(Arc<ConnectionHandle>, Arc<str>), CallError> {
        let WatchRequest { uri, session, origin, .. } = request;
        if self.runtime.tree.exchange.sealed.load(Ordering::Acquire) {
            return Err(CallError::Draining);
        }
        if uri::is_too_long(uri) {
            return Err(CallError::Invalid("the URI is longer than 8 KiB".to_owned()));
        }
        let subject = Subject::Resource(uri.to_string());
        let placed = self.runtime.placed(&self.owner, &subject, origin.as_ref())?;
        let target = placed.ok_or_else(|| self.unknown_resource(uri))?;
        let mut handle = target.route.handle;
        if let (Some(session), true) = (session, target.route.by_session) {
            let server = &handle.seat.server;
            handle = self.runtime.session_handle(&self.owner, server, session.clone()).await?;
        }
        Ok((handle, target.upstream))
    }

    fn unknown_resource(&self, uri: &str) -> CallError {
        let view = self.tools().ok();
        let near = view.as_ref().and_then(|view| view.near(Primitive::Resource, uri));
        CallError::Unknown {
            what: Primitive::Resource.noun(),
            name: uri.to_owned(),
            near: near.map(ToOwned::to_owned),
        }
    }
}
