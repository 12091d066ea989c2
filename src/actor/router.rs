//! The router: dispatches calls by name. Parent: root. No children.
//!
//! Sole writer of the routing table, which it publishes as an immutable snapshot: a call that the
//! snapshot can place never comes here. What it cannot place waits here, without blocking
//! anybody, as long as a server that may own the name is still being connected for the first
//! time. A handler never awaits. When the router dies the snapshot stays valid; its next life
//! takes the names from it, so that no tool is renamed, and has the supervisors announce the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::watch;

use super::{
    exchange::{Exchange, ServerSpec},
    handle::ConnectionHandle,
    kept::{self, Offer, Said},
    server::Isolation,
    subject::Subject,
    vigil::Question,
};
use crate::{
    catalog::{Catalog, Extensions, Member, Names, ToolMatcher, Versions, View, instructions},
    id::{Owner, ServerName},
};

mod table;
mod waiting;

pub(crate) use table::{OwnerView, Route, RoutingTable, Target};

/// How long changes of what is listed already are gathered before views are built anew, so that a
/// hundred servers that change together are one change. Who waits for a name does not wait for it.
const GATHERED: Duration = Duration::from_millis(50);

/// The router.
#[derive(Debug)]
pub(crate) struct RouterActor;

/// What reaches the router.
#[derive(Debug)]
pub(crate) enum RouterMsg {
    /// An owner exists: what it was granted and which tools it sees.
    Define { owner: Owner, grants: Vec<ServerName>, filter: ToolMatcher },
    /// An owner is no more.
    Undefine { owner: Owner },
    /// Tools may be named and shown by other rules from now on.
    Rename,
    /// A connection exists.
    Attach { handle: Arc<ConnectionHandle>, spec: ServerSpec },
    /// A connection left the configuration.
    Detach { owner: Owner, server: ServerName },
    /// What these servers offer is known, or known anew; shown in one step.
    Listed { owner: Owner, offers: Vec<Offer> },
    /// A server is gone for too long: its tools are withdrawn.
    Withdraw { owner: Owner, server: ServerName },
    /// A server's state changed in a way that may end the wait for its first listing.
    Settled,
    /// Publish what was gathered.
    Publish,
    /// Say that you are there.
    Alive(Question),
    /// Answers when everything that was told before is published.
    Flush(RpcReplyPort<()>),
    /// Places a name that the snapshot could not place.
    Resolve { owner: Owner, subject: Subject, reply: RpcReplyPort<Option<Target>> },
}

/// One connection as the router knows it.
#[derive(Debug)]
struct Entry {
    handle: Arc<ConnectionHandle>,
    spec: ServerSpec,
    catalog: Option<Arc<Catalog>>,
    said: Said,
}

/// One owner as the router knows it.
#[derive(Debug)]
struct Scope {
    grants: Vec<ServerName>,
    filter: ToolMatcher,
    names: Names,
    /// The change of the names that was kept last.
    kept: Option<u64>,
    versions: watch::Sender<Versions>,
}

/// What the router knows.
#[derive(Debug)]
pub(crate) struct RouterState {
    exchange: Arc<Exchange>,
    entries: BTreeMap<(Owner, ServerName), Entry>,
    scopes: BTreeMap<Owner, Scope>,
    /// Names that may still come.
    waiting: Vec<(Owner, Subject, RpcReplyPort<Option<Target>>)>,
    /// Owners whose views are made of something else than what is published.
    due: BTreeSet<Owner>,
    /// Whether some of it was never shown.
    is_urgent: bool,
    /// Whether `Publish` is on its way.
    is_told: bool,
}

impl Actor for RouterActor {
    type Msg = RouterMsg;
    type State = RouterState;
    type Arguments = Arc<Exchange>;

    async fn pre_start(
        &self,
        _: ActorRef<RouterMsg>,
        exchange: Arc<Exchange>,
    ) -> Result<RouterState, ActorProcessingErr> {
        Ok(RouterState {
            exchange,
            entries: BTreeMap::new(),
            scopes: BTreeMap::new(),
            waiting: Vec::new(),
            due: BTreeSet::new(),
            is_urgent: false,
            is_told: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<RouterMsg>,
        message: RouterMsg,
        state: &mut RouterState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RouterMsg::Define { owner, grants, filter } => state.define(owner, grants, filter),
            RouterMsg::Undefine { owner } => state.undefine(&owner),
            RouterMsg::Rename => state.rename(),
            RouterMsg::Attach { handle, spec } => state.attach(handle, spec),
            RouterMsg::Detach { owner, server } => state.detach(&owner, &server),
            RouterMsg::Listed { owner, offers } => state.listed(&owner, offers),
            RouterMsg::Withdraw { owner, server } => state.withdraw(owner, server),
            RouterMsg::Settled => state.answer_waiting(),
            RouterMsg::Publish => {
                state.is_told = false;
                state.publish_due();
            }
            RouterMsg::Alive(question) => question.answer(),
            RouterMsg::Flush(reply) => {
                state.publish_due();
                // The caller may have left.
                reply.send(()).ok();
            }
            RouterMsg::Resolve { owner, subject, reply } => state.resolve(owner, subject, reply),
        }
        state.see_to_publish(&myself);
        Ok(())
    }
}

impl RouterState {
    fn define(&mut self, owner: Owner, grants: Vec<ServerName>, filter: ToolMatcher) {
        let published = self.exchange.table.load().owner(&owner).cloned();
        let known = self.scopes.remove(&owner);
        let (names, versions) = match (known, published) {
            (Some(mut scope), _) => {
                // A grant that was taken back leaves no names behind.
                let revoked = scope.grants.iter().filter(|server| !grants.contains(server));
                revoked.for_each(|server| scope.names.forget(server));
                (scope.names, scope.versions)
            }
            (None, Some(view)) => (view.names.clone(), view.versions.clone()),
            (None, None) => {
                (kept::names(&self.exchange, &owner), watch::Sender::new(Versions::default()))
            }
        };
        self.scopes.insert(owner.clone(), Scope { grants, filter, names, kept: None, versions });
        self.publish(&[owner]);
    }

    fn undefine(&mut self, owner: &Owner) {
        self.scopes.remove(owner);
        kept::forget_names(&*self.exchange.store, owner);
        self.entries.retain(|(of, _), _| of != owner);
        let mut table = RoutingTable { views: self.exchange.table.load().views.clone() };
        table.views.remove(owner);
        self.exchange.table.store(Arc::new(table));
        self.answer_waiting();
    }

    fn rename(&mut self) {
        let settings = self.exchange.settings();
        for scope in self.scopes.values_mut().filter(|it| !it.names.follows(&settings.catalog)) {
            scope.names = Names::new(&settings.catalog);
            scope.kept = None;
        }
        let owners: Vec<Owner> = self.scopes.keys().cloned().collect();
        self.publish(&owners);
    }

    fn attach(&mut self, handle: Arc<ConnectionHandle>, spec: ServerSpec) {
        let key = (handle.owner.clone(), handle.seat.server.clone());
        let owners = self.seeing(&key.0, &key.1);
        let known = self.entries.remove(&key);
        let (catalog, said) = known.map(|it| (it.catalog, it.said)).unwrap_or_default();
        self.entries.insert(key, Entry { handle, spec, catalog, said });
        self.due.extend(owners);
        self.is_urgent = true;
    }

    fn detach(&mut self, owner: &Owner, server: &ServerName) {
        let owners = self.seeing(owner, server);
        self.entries.remove(&(owner.clone(), server.clone()));
        for owner in &owners {
            if let Some(scope) = self.scopes.get_mut(owner) {
                scope.names.forget(server);
            }
        }
        self.publish(&owners);
    }

    fn listed(&mut self, owner: &Owner, offers: Vec<Offer>) {
        for Offer { server, catalog, said } in offers {
            let seeing = self.seeing(owner, &server);
            if let Some(entry) = self.entries.get_mut(&(owner.clone(), server)) {
                self.is_urgent |= entry.catalog.is_none();
                entry.catalog = Some(catalog);
                entry.said = said;
                self.due.extend(seeing);
            }
        }
    }

    fn withdraw(&mut self, owner: Owner, server: ServerName) {
        let owners = self.seeing(&owner, &server);
        if let Some(entry) = self.entries.get_mut(&(owner, server)) {
            entry.catalog = None;
            entry.said = Said::default();
            self.publish(&owners);
        }
    }

    /// The owners whose view a connection's catalog is part of.
    fn seeing(&self, owner: &Owner, server: &ServerName) -> Vec<Owner> {
        let granted = self
            .scopes
            .iter()
            .filter(|(_, scope)| *owner == Owner::Store && scope.grants.contains(server))
            .map(|(owner, _)| owner.clone());
        std::iter::once(owner.clone()).chain(granted).collect()
    }

    /// What an owner's view is made of: the definition that gives the catalog, and the
    /// connection that serves the calls.
    fn members<'a>(
        &'a self,
        owner: &Owner,
        grants: &'a [ServerName],
    ) -> Vec<(&'a ServerName, &'a Entry, &'a Entry)> {
        let own = self
            .entries
            .iter()
            .filter(|((of, server), _)| of == owner && !grants.contains(server))
            .map(|((_, server), entry)| (server, entry, entry));
        let granted = grants.iter().filter_map(|server| {
            let definition = self.entries.get(&(Owner::Store, server.clone()))?;
            let serving = match definition.spec.config.isolation {
                Isolation::Shared => definition,
                Isolation::Agent | Isolation::Session => {
                    self.entries.get(&(owner.clone(), server.clone()))?
                }
            };
            Some((server, definition, serving))
        });
        own.chain(granted).collect()
    }

    /// Has what is due published: at once for who waits for a name, soon for what is new, later for
    /// what changed.
    fn see_to_publish(&mut self, myself: &ActorRef<RouterMsg>) {
        if !self.waiting.is_empty() {
            self.publish_due();
        } else if std::mem::take(&mut self.is_urgent) {
            // Behind what is in the mailbox already, so that this is one change.
            myself.cast(RouterMsg::Publish).ok();
        } else if !self.due.is_empty() && !self.is_told {
            self.is_told = true;
            drop(myself.send_after(GATHERED, || RouterMsg::Publish));
        }
    }

    fn publish_due(&mut self) {
        let due: Vec<Owner> = std::mem::take(&mut self.due).into_iter().collect();
        if !due.is_empty() {
            self.publish(&due);
        }
    }

    /// Builds the views of these owners anew and publishes them in one step.
    fn publish(&mut self, owners: &[Owner]) {
        let mut table = RoutingTable { views: self.exchange.table.load().views.clone() };
        let mut changed = Vec::new();
        for owner in owners {
            let Some(mut scope) = self.scopes.remove(owner) else {
                continue;
            };
            let before =
                table.views.get(owner).map(|view| Arc::clone(&view.view)).unwrap_or_default();
            let view = self.build(owner, &mut scope, &before);
            if before.hash() != view.view.hash() {
                changed.push((view.versions.clone(), before, Arc::clone(&view.view)));
            }
            let names = &scope.names;
            if scope.kept.replace(names.changes()) != Some(names.changes()) {
                kept::put_names(&*self.exchange.store, owner, names);
            }
            table.views.insert(owner.clone(), Arc::new(view));
            self.scopes.insert(owner.clone(), scope);
        }
        self.exchange.table.store(Arc::new(table));
        for (versions, before, view) in changed {
            versions.send_modify(|versions| view.succeed(&before, versions));
        }
        self.answer_waiting();
    }

    fn build(&self, owner: &Owner, scope: &mut Scope, before: &View) -> OwnerView {
        let mut members = self.members(owner, &scope.grants);
        members.sort_by_key(|(server, definition, _)| (definition.spec.config.order, *server));
        let empty = Catalog::default();
        let list: Vec<Member<'_>> = members
            .iter()
            .map(|(server, definition, _)| Member {
                server,
                order: definition.spec.config.order,
                catalog: definition.catalog.as_deref().unwrap_or(&empty),
                filter: &definition.spec.policy.filter,
            })
            .collect();
        let mut view = before.rebuild(&list, &scope.filter, &mut scope.names);
        if self.exchange.settings().catalog.introspection {
            view = view.with_own(&scope.filter);
        }
        let view = Arc::new(view);
        for ((_, _, serving), member) in members.iter().zip(&list) {
            serving.handle.tools.store(member.catalog.tools().len() as u64, Ordering::Relaxed);
        }
        let unlisted = members
            .iter()
            .filter(|(_, definition, _)| definition.catalog.is_none())
            .map(|(server, definition, _)| ((*server).clone(), Arc::clone(&definition.handle)))
            .collect();
        let instructions = instructions::merged(
            members
                .iter()
                .filter_map(|(server, it, _)| Some((*server, it.said.instructions.as_deref()?))),
        );
        let extensions = Extensions::of(
            members
                .iter()
                .filter_map(|(server, it, _)| Some((*server, it.said.extensions.as_deref()?))),
        );
        let routes = members
            .iter()
            .map(|(server, definition, serving)| {
                let policy = Arc::clone(&definition.spec.policy);
                let isolation = definition.spec.config.isolation;
                let by_session = isolation == Isolation::Session;
                let is_shared = isolation == Isolation::Shared;
                let handle = Arc::clone(&serving.handle);
                let readdressed = view.is_contested(server).then(|| Arc::clone(&view));
                let program = Arc::clone(&definition.spec.program);
                let route = Route { handle, policy, program, by_session, is_shared, readdressed };
                ((*server).clone(), route)
            })
            .collect();
        OwnerView {
            view,
            instructions,
            extensions,
            versions: scope.versions.clone(),
            routes,
            unlisted,
            names: scope.names.clone(),
        }
    }
}
