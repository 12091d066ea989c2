//! The published routing table: what every owner sees, and where each tool's calls go.
//!
//! Immutable; read by every call, built by the router alone.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    actor::{handle::ConnectionHandle, policy::ToolPolicy, subject::Subject},
    catalog::{Extensions, Names, Versions, View, ViewItem, uri},
    id::{Owner, ServerName, SessionKey},
    wire::{Primitive, RawValue, method},
};

/// The published state: what every owner sees, and where each tool's calls go.
#[derive(Debug, Default)]
pub(crate) struct RoutingTable {
    pub(super) views: HashMap<Owner, Arc<OwnerView>>,
}

/// One owner's part of the table.
#[derive(Clone, Debug)]
pub(crate) struct OwnerView {
    pub(crate) view: Arc<View>,
    pub(crate) instructions: Option<Arc<str>>,
    /// What its servers declare beyond the protocol.
    pub(crate) extensions: Extensions,
    /// Grow when a list of the view really differs.
    pub(crate) versions: watch::Sender<Versions>,
    pub(super) routes: HashMap<ServerName, Route>,
    /// Servers that were never listed, and the connections that will list them.
    pub(super) unlisted: Vec<(ServerName, Arc<ConnectionHandle>)>,
    pub(super) names: Names,
}

/// Where the requests to one server go.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) handle: Arc<ConnectionHandle>,
    pub(crate) policy: Arc<ToolPolicy>,
    /// What tells the server's definition from any other.
    pub(crate) program: Arc<str>,
    /// Each session has a connection of its own; the handle is that of calls without one.
    pub(crate) by_session: bool,
    /// Several owners are served by the one connection.
    pub(crate) is_shared: bool,
    /// The view, where it names URIs of this server in another way than the server does.
    pub(crate) readdressed: Option<Arc<View>>,
}

/// A name that was placed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) route: Route,
    /// What is asked.
    pub(crate) method: Cow<'static, str>,
    /// What it is about, by its server's own name; of an extension its URI there, or nothing.
    pub(crate) upstream: Arc<str>,
    /// What its server says of it, if it is a tool.
    definition: Option<Arc<RawValue>>,
    /// No revision of the protocol knows the method.
    is_extension: bool,
    /// What alone may be asked, because another program may have a task of the same name.
    pub(crate) program: Option<Arc<str>>,
}

impl Target {
    /// A request over a route that may be in no table any more, about a task by its server's own
    /// name.
    pub(crate) fn of_task(route: Route, subject: &Subject) -> Self {
        let id = if let Subject::Task { id, .. } = subject { id } else { "" };
        let (method, upstream) = (method_of(subject), Arc::from(id));
        Self { route, method, upstream, definition: None, is_extension: false, program: None }
    }

    /// Whether a request that may have run does no harm when it runs again: everything but a
    /// tool only reads (MCP, server features). What an extension's does nobody knows.
    pub(crate) fn may_repeat(&self) -> bool {
        if self.is_extension {
            return false;
        }
        let policy = &self.route.policy;
        self.definition.as_ref().is_none_or(|tool| policy.may_repeat(&self.upstream, tool))
    }

    /// How long it may take, where that is configured.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let tool = self.definition.is_some().then_some(&*self.upstream);
        self.route.policy.timeout(tool)
    }

    /// What the server's request calls by its name there; completion names it deeper inside.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        method::routed_parameter(&self.method).map(|_| Arc::clone(&self.upstream))
    }
}

fn method_of(subject: &Subject) -> Cow<'static, str> {
    let method = subject.method();
    method::known(method).map_or_else(|| Cow::Owned(method.to_owned()), Cow::Borrowed)
}

impl RoutingTable {
    /// What an owner sees; `None` for an owner that does not exist.
    pub(crate) fn owner(&self, owner: &Owner) -> Option<&Arc<OwnerView>> {
        self.views.get(owner)
    }
}

impl OwnerView {
    /// Places what a request is about. A resource that no list names is that of the first template
    /// that may give its URI, else of the server which told of it; never by guess. Templates come
    /// first so that no server takes another's resources by telling of them.
    pub(crate) fn target(&self, subject: &Subject, origin: Option<&ServerName>) -> Option<Target> {
        let known = |primitive| {
            let item: &ViewItem = self.view.find(primitive, subject.name())?;
            Some((&item.server, Arc::clone(&item.upstream), item))
        };
        let resource = || {
            let uri = subject.name();
            let (server, there) = self
                .view
                .resource(uri)
                .or_else(|| Some((self.view.by_template(uri)?, uri)))
                .or_else(|| Some((origin.filter(|it| self.routes.contains_key(*it))?, uri)))?;
            Some((server, Arc::from(there)))
        };
        let (server, upstream, definition) = match subject {
            Subject::Tool(_) => {
                let (server, upstream, tool) = known(Primitive::Tool)?;
                (server, upstream, Some(Arc::clone(&tool.raw)))
            }
            Subject::Resource(_) => {
                let (server, upstream) = resource()?;
                (server, upstream, None)
            }
            Subject::Task { id, .. } => (origin?, Arc::from(&**id), None),
            Subject::Prompt(_) | Subject::Completion(..) => {
                let (server, upstream, _) = known(subject.primitive()?)?;
                (server, upstream, None)
            }
            Subject::Extension { method, uri } => {
                let (server, upstream) = self.extended(method, uri.as_deref()).ok()?;
                (server, upstream, None)
            }
        };
        let route = self.routes.get(server)?.clone();
        let is_extension = matches!(subject, Subject::Extension { .. });
        let method = method_of(subject);
        let program = match subject {
            Subject::Task { program, .. } => program.clone(),
            Subject::Tool(_)
            | Subject::Prompt(_)
            | Subject::Resource(_)
            | Subject::Completion(..)
            | Subject::Extension { .. } => None,
        };
        Some(Target { route, method, upstream, definition, is_extension, program })
    }

    /// Where requests to a server go.
    pub(crate) fn route(&self, server: &ServerName) -> Option<&Route> {
        self.routes.get(server)
    }

    /// What tells a server's definition from any other.
    pub(crate) fn program(&self, server: &ServerName) -> Option<&Arc<str>> {
        self.routes.get(server).map(|route| &route.program)
    }

    /// Whether a server serves several owners by one connection.
    pub(crate) fn is_shared(&self, server: &ServerName) -> bool {
        self.routes.get(server).is_some_and(|route| route.is_shared)
    }

    /// The server that an extension's method is for, and the URI of its parameters there.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn extended(
        &self,
        method: &str,
        uri: Option<&str>,
    ) -> Result<(&ServerName, Arc<str>), String> {
        let uri = uri.unwrap_or_default();
        let named = uri::split(uri);
        let server = self.extensions.server_of(method, named.as_ref().map(|(server, _)| server))?;
        let own = named.as_ref().filter(|(named, _)| named == server).map_or(uri, |(_, own)| own);
        Ok((server, own.into()))
    }

    /// The extension that a notification of a connection's server is one of, if a session of this
    /// owner may hear it: the connection is the owner's alone, or the session's, and no other
    /// server declares the extension.
    pub(crate) fn notified_by(
        &self,
        handle: &Arc<ConnectionHandle>,
        session: &SessionKey,
        method: &str,
    ) -> Option<&str> {
        let route = self.routes.get(&handle.seat.server)?;
        let is_own = match &handle.seat.session {
            None => Arc::ptr_eq(&route.handle, handle) && !route.by_session && !route.is_shared,
            Some(of) => of == session && handle.owner == route.handle.owner,
        };
        self.extensions.told_by(&handle.seat.server, method).filter(|_| is_own)
    }

    /// The connection whose listing may bring an unplaced name.
    pub(crate) fn unlisted(&self, subject: &Subject) -> Option<&Arc<ConnectionHandle>> {
        let mut unlisted = self.unlisted.iter().filter(|_| subject.is_named());
        let found = unlisted.find(|(server, _)| self.names.may_be_of(server, subject.name()));
        found.map(|(_, handle)| handle)
    }
}
