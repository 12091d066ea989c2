//! The published routing table: what every owner sees, and where each tool's calls go.
//!
//! Immutable; read by every call, built by the router alone.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::watch;

use crate::{
    actor::{handle::ConnectionHandle, policy::ToolPolicy},
    catalog::{Names, View},
    id::{Owner, ServerName},
    wire::RawValue,
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
    /// Grows when the view really differs.
    pub(crate) version: watch::Sender<u64>,
    pub(super) routes: HashMap<ServerName, Route>,
    /// Servers that were never listed, and the connections that will list them.
    pub(super) unlisted: Vec<(ServerName, Arc<ConnectionHandle>)>,
    pub(super) names: Names,
}

/// Where the calls of one server's tools go.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) handle: Arc<ConnectionHandle>,
    pub(crate) policy: Arc<ToolPolicy>,
    /// Each session has a connection of its own; the handle is that of calls without one.
    pub(crate) by_session: bool,
}

/// A name that was placed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) route: Route,
    /// The tool's name at its server.
    pub(crate) upstream: Arc<str>,
    /// What its server says of it.
    pub(crate) definition: Arc<RawValue>,
}

impl Target {
    /// Whether a call that may have run does no harm when it runs again.
    pub(crate) fn may_repeat(&self) -> bool {
        self.route.policy.may_repeat(&self.upstream, &self.definition)
    }
}

impl RoutingTable {
    /// What an owner sees; `None` for an owner that does not exist.
    pub(crate) fn owner(&self, owner: &Owner) -> Option<&Arc<OwnerView>> {
        self.views.get(owner)
    }
}

impl OwnerView {
    /// Places an exposed name.
    pub(crate) fn target(&self, exposed: &str) -> Option<Target> {
        let tool = self.view.resolve(exposed)?;
        let route = self.routes.get(&tool.server)?.clone();
        let (upstream, definition) = (Arc::clone(&tool.upstream), Arc::clone(&tool.raw));
        Some(Target { route, upstream, definition })
    }

    /// The connection whose listing may bring an unplaced name.
    pub(crate) fn unlisted(&self, exposed: &str) -> Option<&Arc<ConnectionHandle>> {
        let mut unlisted = self.unlisted.iter();
        let found = unlisted.find(|(server, _)| self.names.may_be_of(server, exposed));
        found.map(|(_, handle)| handle)
    }
}
