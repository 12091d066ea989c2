//! What the parts of one tree share: settings, handles, the published routing table, the event
//! log, connect slots and the count of calls under way.
//!
//! Made by `runtime`, one for each tree, never global. It has no behaviour of its own beyond
//! handing these out; who may write what is said at each field.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    audience::Audience,
    event::{Event, EventLog},
    handle::{ConnectionHandle, Standing},
    janitor::Sweeps,
    kept,
    leak::Leaks,
    policy::ToolPolicy,
    router::RoutingTable,
    server::{Isolation, ServerConfig},
    settings::{GroupConfig, LimitsConfig, MonitoringConfig, TimeoutsConfig},
    slots::{self, Slots},
    watches::Watches,
};
use crate::{
    catalog::{CatalogConfig, FilterError, ToolMatcher},
    guard::Guard,
    id::{AgentId, Owner, Seat, ServerName},
    restart::State,
    store::Store,
    trace::Telemetry,
    upstream::Connect,
};

/// How long an attempt to connect keeps its slot when it neither succeeds nor fails. Slots pace
/// the starts of processes, and one that hangs uses no processor: others need not wait for it.
const SLOT_HELD: Duration = Duration::from_millis(250);
/// How long servers are waited for that are told at the end that their tasks are given up.
const PARTING: Duration = Duration::from_secs(2);

/// Settings of the whole tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) monitoring: MonitoringConfig,
    pub(crate) timeouts: TimeoutsConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) catalog: CatalogConfig,
    pub(crate) groups: BTreeMap<String, GroupConfig>,
}

/// One server to supervise: its definition, compiled, and the way to connect to it.
#[derive(Clone, Debug)]
pub(crate) struct ServerSpec {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) policy: Arc<ToolPolicy>,
    /// What tells the definition from any other, as far as it says which program is reached.
    pub(crate) program: Arc<str>,
    pub(crate) connector: Arc<dyn Connect>,
    /// It was added to the running tree: no configuration changes it.
    pub(crate) added: bool,
}

impl ServerSpec {
    /// Compiles a definition.
    pub(crate) fn new(
        config: ServerConfig,
        connector: Arc<dyn Connect>,
    ) -> Result<Self, FilterError> {
        let policy = Arc::new(ToolPolicy::new(&config)?);
        let program = kept::program(&config).into();
        Ok(Self { config: Arc::new(config), policy, program, connector, added: false })
    }

    /// Whether an owner that has it, by its own or by a grant, has a connection of its own to it.
    /// A granted server whose connection is shared is the store's affair.
    pub(crate) fn is_served_here(&self, granted: bool) -> bool {
        self.config.enabled && !(granted && self.config.isolation == Isolation::Shared)
    }
}

/// What one owner has, as far as it is configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnerSpec {
    /// Its own servers.
    pub(crate) servers: BTreeMap<ServerName, ServerSpec>,
    /// Top-level servers that it was granted.
    pub(crate) grants: Vec<ServerName>,
    /// Which tools it sees.
    pub(crate) filter: ToolMatcher,
}

impl OwnerSpec {
    /// The servers that were added to the running tree.
    pub(crate) fn added(&self) -> impl Iterator<Item = &ServerName> {
        self.servers.iter().filter(|(_, spec)| spec.added).map(|(server, _)| server)
    }

    /// Takes over what was added to the running tree.
    pub(crate) fn keep_added(&mut self, present: &Self) {
        let added = present.servers.iter().filter(|(_, spec)| spec.added);
        self.servers.extend(added.map(|(server, spec)| (server.clone(), spec.clone())));
    }
}

/// What the parts of one tree share.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Written by root alone.
    settings: ArcSwap<Settings>,
    /// Read by every call; written by the router alone.
    pub(crate) table: ArcSwap<RoutingTable>,
    /// Every connection's handle; written by supervisors.
    handles: Mutex<BTreeMap<(Owner, Seat), Arc<ConnectionHandle>>>,
    /// Who watches resources, which outlives a handle: a server that is removed and added again, or
    /// a session's connection that is opened again, finds its watchers.
    watches: Mutex<BTreeMap<(Owner, Seat), Weak<Watches>>>,
    /// Who hears the notifications of extensions.
    pub(crate) audience: Arc<Audience>,
    /// What is configured, so that a supervisor's next life knows it; written by `Agents` alone.
    pub(crate) owners: Mutex<BTreeMap<Owner, OwnerSpec>>,
    pub(crate) events: EventLog,
    pub(crate) sweeps: Arc<Sweeps>,
    /// What outlived its connection.
    pub(crate) leaks: Leaks,
    /// Calls under way.
    pub(crate) tracker: TaskTracker,
    /// Calls among them that wait for a task, and what is still to be said of such tasks.
    pub(crate) awaited: TaskTracker,
    /// Tasks are waited for no longer.
    pub(crate) given_up: CancellationToken,
    /// Calls accepted.
    pub(crate) calls: AtomicU64,
    /// New calls are refused.
    pub(crate) sealed: AtomicBool,
    /// Follows it, for whoever waits.
    pub(crate) draining: CancellationToken,
    pub(crate) started: Instant,
    /// Whoever traces and measures this tree.
    pub(crate) telemetry: Arc<dyn Telemetry>,
    /// What sees to it that no process is left behind.
    pub(crate) guard: Guard,
    /// What outlives it.
    pub(crate) store: Arc<dyn Store>,
    /// Why the tree ended; `None` while it runs.
    ended: watch::Sender<Option<Arc<str>>>,
    connects: Mutex<Arc<Slots>>,
    connects_of: Mutex<BTreeMap<Owner, Arc<Slots>>>,
}

impl Exchange {
    /// Refuses new calls from now on.
    pub(crate) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
        self.draining.cancel();
    }

    /// Ends the calls that wait for a task, and waits a moment until the servers were told.
    pub(crate) async fn give_tasks_up(&self) {
        self.given_up.cancel();
        self.awaited.close();
        tokio::time::timeout(PARTING, self.awaited.wait()).await.ok();
    }

    pub(crate) fn new(
        settings: Settings,
        telemetry: Arc<dyn Telemetry>,
        guard: Guard,
        store: Arc<dyn Store>,
    ) -> Arc<Self> {
        let connects = Mutex::new(Slots::new(settings.limits.connects));
        Arc::new(Self {
            settings: ArcSwap::from_pointee(settings),
            table: ArcSwap::default(),
            handles: Mutex::default(),
            watches: Mutex::default(),
            audience: Arc::default(),
            owners: Mutex::default(),
            events: EventLog::new(),
            sweeps: Arc::default(),
            leaks: Leaks::default(),
            tracker: TaskTracker::new(),
            awaited: TaskTracker::new(),
            given_up: CancellationToken::new(),
            calls: AtomicU64::new(0),
            sealed: AtomicBool::new(false),
            draining: CancellationToken::new(),
            started: Instant::now(),
            telemetry,
            guard,
            store,
            ended: watch::Sender::new(None),
            connects,
            connects_of: Mutex::default(),
        })
    }

    /// The settings of this moment; they may be others the next time.
    pub(crate) fn settings(&self) -> arc_swap::Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Root only: other settings from now on.
    pub(crate) fn set_settings(&self, settings: Arc<Settings>) {
        if self.settings().limits != settings.limits {
            // Attempts under way keep the places that they were given.
            *self.connects.lock() = Slots::new(settings.limits.connects);
            self.connects_of.lock().clear();
        }
        self.settings.store(settings);
    }

    /// A connection's handle, if it is known.
    pub(crate) fn handle(&self, owner: &Owner, seat: &Seat) -> Option<Arc<ConnectionHandle>> {
        self.handles.lock().get(&(owner.clone(), seat.clone())).cloned()
    }

    /// The watchers of a seat's resources.
    pub(crate) fn watches(&self, owner: &Owner, seat: &Seat) -> Arc<Watches> {
        let mut all = self.watches.lock();
        all.retain(|_, watches| watches.strong_count() > 0);
        let place = (owner.clone(), seat.clone());
        if let Some(known) = all.get(&place).and_then(Weak::upgrade) {
            return known;
        }
        let watches = Watches::new(seat.server.clone());
        all.insert(place, Arc::downgrade(&watches));
        watches
    }

    /// Every handle, the store's first.
    pub(crate) fn handles(&self) -> Vec<Arc<ConnectionHandle>> {
        self.handles.lock().values().cloned().collect()
    }

    pub(crate) fn insert(&self, handle: Arc<ConnectionHandle>) {
        self.handles.lock().insert((handle.owner.clone(), handle.seat.clone()), handle);
    }

    pub(crate) fn remove(&self, owner: &Owner, seat: &Seat) {
        self.handles.lock().remove(&(owner.clone(), seat.clone()));
        self.events.forget(owner, seat);
    }

    /// Waits for a place to connect: the owner's first, then one of all. The fewer failures a
    /// server has had of late, the sooner.
    pub(crate) async fn slot(&self, owner: &Owner, failures: u32) -> Slot {
        let own = {
            let mut of = self.connects_of.lock();
            let count = self.settings().limits.connects_per_agent;
            Arc::clone(of.entry(owner.clone()).or_insert_with(|| Slots::new(count)))
        };
        let own = own.take(failures).await;
        let all = Arc::clone(&self.connects.lock());
        Slot { _places: (own, all.take(failures).await) }
    }

    /// Everything that one owner is to have, by name, and whether it was granted.
    pub(crate) fn wanted(&self, owner: &Owner) -> BTreeMap<ServerName, (ServerSpec, bool)> {
        let owners = self.owners.lock();
        let Some(spec) = owners.get(owner) else { return BTreeMap::new() };
        let store = owners.get(&Owner::Store);
        let granted = spec.grants.iter().filter_map(|server| {
            let spec = store?.servers.get(server)?;
            Some((server.clone(), (spec.clone(), true)))
        });
        let own = spec.servers.iter().map(|(name, spec)| (name.clone(), (spec.clone(), false)));
        granted.chain(own).filter(|(_, (spec, granted))| spec.is_served_here(*granted)).collect()
    }

    /// Whether an owner has a server of this name, by its own or by a grant, that is disabled.
    pub(crate) fn is_disabled(&self, owner: &Owner, server: &ServerName) -> bool {
        let owners = self.owners.lock();
        let own = owners.get(owner);
        let granted = own.is_some_and(|own| own.grants.contains(server));
        let of = if granted { owners.get(&Owner::Store) } else { own };
        of.and_then(|of| of.servers.get(server)).is_some_and(|spec| !spec.config.enabled)
    }

    /// The servers that one owner sees: its own and those that it was granted.
    pub(crate) fn seen(&self, owner: &Owner) -> Vec<ServerName> {
        let owners = self.owners.lock();
        let Some(spec) = owners.get(owner) else { return Vec::new() };
        let store = owners.get(&Owner::Store);
        let granted = spec.grants.iter().filter(|server| {
            store.and_then(|store| store.servers.get(*server)).is_some_and(|it| it.config.enabled)
        });
        let own = spec.servers.iter().filter(|(_, spec)| spec.config.enabled).map(|(name, _)| name);
        granted.chain(own).cloned().collect()
    }

    /// Whether an owner was granted the store's server of this name.
    pub(crate) fn is_granted(&self, owner: &Owner, server: &ServerName) -> bool {
        self.owners.lock().get(owner).is_some_and(|spec| spec.grants.contains(server))
    }

    /// Records a step of a connection's, here and for the time after a restart.
    pub(crate) fn record(&self, event: Event) {
        kept::put_event(&*self.store, &event);
        self.events.record(event);
    }

    /// Forgets the connections that sessions of an owner had for themselves: who waits for one is
    /// refused.
    pub(crate) fn forget_sessions(&self, owner: &Owner) {
        self.handles.lock().retain(|(of, seat), handle| {
            let goes = of == owner && seat.session.is_some();
            if goes {
                handle.publish(Standing { state: State::Stopped, ..handle.standing() });
                self.events.forget(owner, seat);
            }
            !goes
        });
    }

    /// Forgets everything of an owner that is no more.
    pub(crate) fn forget(&self, owner: &Owner) {
        self.handles.lock().retain(|(of, _), _| of != owner);
        self.connects_of.lock().remove(owner);
        self.events.forget_owner(owner);
    }

    /// Root only: says why the tree ended.
    pub(crate) fn end(&self, reason: &str) {
        self.ended.send_replace(Some(reason.into()));
    }

    /// Why the tree ended.
    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        self.ended.borrow().clone()
    }

    /// The agents that are configured.
    pub(crate) fn agents(&self) -> Vec<AgentId> {
        let owners = self.owners.lock();
        owners
            .keys()
            .filter_map(|owner| match owner {
                Owner::Store => None,
                Owner::Agent(agent) => Some(agent.clone()),
            })
            .collect()
    }
}

/// A place to connect, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _places: (slots::Slot, slots::Slot),
}

impl Slot {
    /// Runs an attempt in this slot and gives the slot back early when the attempt takes long.
    pub(crate) async fn run<F: Future>(self, attempt: F) -> F::Output {
        let mut attempt = std::pin::pin!(attempt);
        if let Ok(output) = tokio::time::timeout(SLOT_HELD, &mut attempt).await {
            return output;
        }
        drop(self);
        attempt.await
    }
}
