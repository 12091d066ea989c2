//! Each other actor of the tree that hangs in a handler: found, replaced, and hardly noticed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        ListPromptsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig as Capable,
    },
    service::RequestContext,
};
use serde_json::json;
use switchboard::{
    id::{AgentId, Owner, ServerName},
    runtime::{
        AgentConfig, CallRequest, Runtime, RuntimeConfig, RuntimeHandle, ServerConfig, Trouble,
    },
    store::{CatalogRecord, EventRecord, Key, MemoryStore, NamesRecord, Store},
    upstream::{TransportConfig, stdio::StdioConfig},
};
use tokio::task::JoinSet;
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::support::{
    binary::PROGRAM,
    heard::Heard,
    hold::Hold,
    script::Script,
    wait::{PATIENCE, until},
};

/// Whose records hold who reads them.
const LATE: &str = "late";

/// A store at which actors are held.
#[derive(Debug, Default)]
struct Holding {
    inner: MemoryStore,
    /// Who reads the names that the late agent's view gave: the router.
    names: Hold,
    /// Who reads what the late agent's server offered: the start of the agent's supervisor, which
    /// the supervisor of all owners waits for.
    catalog: Hold,
}

impl Store for Holding {
    fn salt(&self) -> &str {
        self.inner.salt()
    }

    fn catalog(&self, owner: &Owner, server: &ServerName) -> Option<Arc<CatalogRecord>> {
        if is_late(owner) {
            self.catalog.pass();
        }
        self.inner.catalog(owner, server)
    }

    fn put_catalog(&self, record: CatalogRecord) {
        self.inner.put_catalog(record);
    }

    fn withdraw(&self, owner: &Owner, server: &ServerName, at: SystemTime) {
        self.inner.withdraw(owner, server, at);
    }

    fn names(&self, owner: &Owner) -> Option<Arc<NamesRecord>> {
        if is_late(owner) {
            self.names.pass();
        }
        self.inner.names(owner)
    }

    fn put_names(&self, record: NamesRecord) {
        self.inner.put_names(record);
    }

    fn take_events(&self) -> Vec<EventRecord> {
        self.inner.take_events()
    }

    fn put_event(&self, record: EventRecord) {
        self.inner.put_event(record);
    }

    fn sweep(&self, configured: &BTreeSet<Key>, before: SystemTime) {
        self.inner.sweep(configured, before);
    }
}

fn is_late(owner: &Owner) -> bool {
    matches!(owner, Owner::Agent(agent) if agent.as_str() == LATE)
}

fn demo() -> ServerConfig {
    let mut command = StdioConfig::new(PROGRAM);
    command.args = vec!["demo-server".to_owned()];
    ServerConfig::new(TransportConfig::Stdio(command))
}

fn config() -> RuntimeConfig {
    let mut config = RuntimeConfig::default();
    config.monitoring.health_check_seconds = 1;
    config.servers.insert(ServerName::new("a").unwrap(), demo());
    config
}

/// The same and another agent with a server of its own.
fn with_late_agent() -> RuntimeConfig {
    let mut config = config();
    let mut agent = AgentConfig::default();
    agent.private.insert(ServerName::new("own").unwrap(), demo());
    config.agents.insert(AgentId::new(LATE).unwrap(), agent);
    config
}

/// A runtime whose server is ready.
async fn runtime(store: &Arc<Holding>) -> RuntimeHandle {
    let store: Arc<dyn Store> = Arc::<Holding>::clone(store);
    let runtime = Runtime::builder().store(store).spawn(config()).await.unwrap();
    runtime.store().wait_ready(&ServerName::new("a").unwrap(), PATIENCE).await.unwrap();
    runtime
}

/// Has the late agent come, which somebody is held by.
async fn held(runtime: &RuntimeHandle, hold: &Hold) -> JoinSet<()> {
    let prepared = runtime.prepare(with_late_agent()).unwrap();
    let (runtime, mut tasks) = (runtime.clone(), JoinSet::new());
    tasks.spawn(async move {
        runtime.commit(prepared).await;
    });
    until("somebody hangs", async || (hold.held() == 1).then_some(())).await;
    tasks
}

async fn echo(runtime: &RuntimeHandle) -> u64 {
    let request = CallRequest::new("a_echo", &json!({ "text": "x" }));
    runtime.store().call(request).await.unwrap().incarnation.0
}

/// Waits until the late agent's tools are shown and answer.
async fn served(runtime: &RuntimeHandle) {
    let agent = runtime.agent(LATE).unwrap();
    agent.wait_ready(&ServerName::new("own").unwrap(), PATIENCE).await.unwrap();
    until("the late agent sees its tools", async || {
        let view = agent.tools().ok()?;
        view.tools().iter().any(|tool| &*tool.exposed == "own_echo").then_some(())
    })
    .await;
    agent.call(CallRequest::new("own_echo", &json!({ "text": "x" }))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_router_that_hangs_is_replaced_and_calls_go_on_meanwhile() {
    let store = Arc::<Holding>::default();
    let _released = store.names.until_the_end();
    let runtime = runtime(&store).await;
    let before = echo(&runtime).await;
    store.names.arm(1);
    let _changing = held(&runtime, &store.names).await;
    assert_eq!(echo(&runtime).await, before, "the snapshot serves");
    served(&runtime).await;
    assert_eq!(echo(&runtime).await, before, "no connection was touched");
    // The one that was given up comes to its end, and the views stay.
    store.names.release();
    served(&runtime).await;
    assert_eq!(echo(&runtime).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_supervisor_of_owners_that_hangs_is_replaced_with_what_is_configured() {
    let store = Arc::<Holding>::default();
    let _released = store.catalog.until_the_end();
    let runtime = runtime(&store).await;
    let before = echo(&runtime).await;
    store.catalog.arm(1);
    let _changing = held(&runtime, &store.catalog).await;
    assert_eq!(echo(&runtime).await, before, "calls go on meanwhile");
    served(&runtime).await;
    // What it supervised is supervised anew.
    assert!(echo(&runtime).await > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_root_that_hangs_ends_the_tree_and_says_so() {
    let store = Arc::<Holding>::default();
    let _released = store.catalog.until_the_end();
    let runtime = runtime(&store).await;
    // The supervisor of owners, and then the root, which waits for the start of the next one.
    store.catalog.arm(2);
    let _changing = held(&runtime, &store.catalog).await;
    let reason = tokio::time::timeout(PATIENCE, runtime.closed()).await.unwrap();
    assert_eq!(store.catalog.held(), 2);
    assert!(reason.contains("root") && reason.contains("no longer answers"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_janitor_that_hangs_is_replaced_and_the_other_sweeps_go_on() {
    let hold = Hold::default();
    let _released = hold.until_the_end();
    let mut config = config();
    // 360 ms.
    config.monitoring.cleanup_hours = 0.0001;
    let runtime = Runtime::spawn(config).await.unwrap();
    let swept = Arc::new(AtomicUsize::new(0));
    let (place, count) = (hold.clone(), Arc::clone(&swept));
    hold.arm(1);
    runtime.on_cleanup("hangs", move || place.pass());
    runtime.on_cleanup("counts", move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    until("a sweep hangs", async || (hold.held() == 1).then_some(())).await;
    let before = swept.load(Ordering::SeqCst);
    until("the next life sweeps", async || {
        (swept.load(Ordering::SeqCst) > before + 1).then_some(())
    })
    .await;
    assert_eq!(hold.held(), 1);
}

/// Declares prompts and refuses to list them, of which a connection warns in a handler.
struct Grumpy;

impl ServerHandler for Grumpy {
    fn get_info(&self) -> Capable {
        Capable::new(ServerCapabilities::builder().enable_tools().enable_prompts().build())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::internal_error("not today", None))
    }
}

/// A subscriber at which who warns of a list is held.
struct Listener(Hold);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().ends_with("connection::listing")
    }

    fn event(&self, _: &Event<'_>) {
        self.0.pass();
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_that_hangs_is_given_up_as_a_bug_and_made_anew() {
    let hold = Hold::default();
    let _released = hold.until_the_end();
    // Of this process; it holds nobody unless it is armed.
    tracing::subscriber::set_global_default(Listener(hold.clone())).unwrap();
    let mut config = RuntimeConfig::default();
    config.monitoring.health_check_seconds = 1;
    let runtime = Runtime::spawn(config).await.unwrap();
    let store = runtime.store();
    let (grumpy, other) = (ServerName::new("grumpy").unwrap(), ServerName::new("other").unwrap());
    let script = Script::new().echo();
    store.add_handler(other.clone(), move || script.server()).await.unwrap();
    store.add_handler(grumpy.clone(), || Heard::new(Grumpy)).await.unwrap();
    for server in [&grumpy, &other] {
        store.wait_ready(server, PATIENCE).await.unwrap();
    }
    let before = store.server(&other).unwrap().incarnation;

    hold.arm(1);
    store.restart(&grumpy).await.unwrap();
    until("the connection hangs", async || (hold.held() == 1).then_some(())).await;
    let told = until("it is told of", async || {
        let events = store.why(&grumpy)?.events;
        events.into_iter().find(|event| event.cause.contains("no longer answers"))
    })
    .await;
    assert_eq!(told.down().unwrap().trouble, Some(Trouble::Bug), "{told:?}");
    store.wait_ready(&grumpy, PATIENCE).await.unwrap();
    let serving = store.server(&grumpy).unwrap().incarnation;
    assert!(serving > told.incarnation);

    hold.release();
    store.call(CallRequest::new("other_echo", &json!({}))).await.unwrap();
    assert_eq!(store.server(&other).unwrap().incarnation, before, "nobody else noticed");
}
