//! What never answers: an actor that hangs in its handler is found and replaced, and a call that
//! nobody ends at its deadline is ended all the same.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::json;
use switchboard::{
    error::Kind,
    id::{AgentId, ServerName, SessionKey},
    restart::State,
    runtime::{
        AgentConfig, CallError, CallRequest, Delivery, Isolation, Runtime, RuntimeConfig,
        RuntimeHandle, ServerConfig, Trouble,
    },
    upstream::{Connect, ConnectContext, ConnectError, Link, TransportConfig, memory::InProcess},
};
use tokio::task::JoinSet;

use crate::support::{
    script::Script,
    wait::{PATIENCE, until},
};

/// A connector that has its supervisor wait in a handler, once, until it is let go.
#[derive(Clone)]
struct Blocking(Arc<Shared>);

struct Shared {
    inner: Box<dyn Connect>,
    /// The next question is not answered before `released`.
    armed: AtomicBool,
    blocked: AtomicBool,
    released: (Mutex<bool>, Condvar),
}

impl std::fmt::Debug for Blocking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}

impl Blocking {
    fn new(script: &Script) -> Self {
        let script = script.clone();
        Self(Arc::new(Shared {
            inner: Box::new(InProcess::new(move || script.server())),
            armed: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            released: (Mutex::new(false), Condvar::new()),
        }))
    }

    fn arm(&self) {
        self.0.armed.store(true, Ordering::SeqCst);
    }

    fn is_blocked(&self) -> bool {
        self.0.blocked.load(Ordering::SeqCst)
    }

    fn release(&self) {
        *self.0.released.0.lock().unwrap() = true;
        self.0.released.1.notify_all();
    }

    async fn add(&self, runtime: &RuntimeHandle, isolation: Isolation) -> ServerName {
        let server = ServerName::new("a").unwrap();
        let mut config = ServerConfig::new(TransportConfig::InProcess);
        config.isolation = isolation;
        let connector = Arc::new(self.clone());
        runtime.store().add_connector(server.clone(), config, connector).await.unwrap();
        runtime.store().wait_ready(&server, PATIENCE).await.unwrap();
        server
    }
}

/// Lets go when the test ends, however it ends: the runtime waits for its threads.
struct Released(Blocking);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Connect for Blocking {
    fn connect(&self, context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        self.0.inner.connect(context)
    }

    fn transport(&self) -> &'static str {
        self.0.inner.transport()
    }

    /// Asked in the start of a connection, which its supervisor waits for.
    fn starts_process(&self) -> bool {
        if self.0.armed.swap(false, Ordering::SeqCst) {
            self.0.blocked.store(true, Ordering::SeqCst);
            let (released, told) = &self.0.released;
            drop(told.wait_while(released.lock().unwrap(), |released| !*released).unwrap());
        }
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_nobody_ends_at_its_deadline_is_ended_and_counted() {
    let script = Script::new().echo();
    let blocking = Blocking::new(&script);
    let _released = Released(blocking.clone());
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let server = blocking.add(&runtime, Isolation::Session).await;
    let store = runtime.store();
    blocking.arm();
    let asked = runtime.store();
    let mut asking = JoinSet::new();
    let name = server.clone();
    asking.spawn(async move { asked.restart(&name).await });
    until("the supervisor hangs", async || blocking.is_blocked().then_some(())).await;

    let mut request = CallRequest::new("a_echo", &json!({}));
    request.session = Some(SessionKey::of("s"));
    request.timeout = Some(Duration::from_millis(300));
    let Err(CallError::Failed(failure)) = store.call(request).await else { panic!("answered") };
    assert_eq!((failure.kind, failure.phase), (Kind::Timeout, Delivery::Written));
    assert_eq!(store.server(&server).unwrap().overdue, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_supervisor_that_hangs_is_found_replaced_and_told_of() {
    let script = Script::new().echo();
    let blocking = Blocking::new(&script);
    let _released = Released(blocking.clone());
    let mut config = RuntimeConfig::default();
    config.monitoring.health_check_seconds = 1;
    config.agents.insert(AgentId::new("other").unwrap(), AgentConfig::default());
    let runtime = Runtime::spawn(config).await.unwrap();
    let server = blocking.add(&runtime, Isolation::Shared).await;
    let (store, other) = (runtime.store(), runtime.agent("other").unwrap());
    let factory = script.clone();
    let untouched = ServerName::new("b").unwrap();
    other.add_handler(untouched.clone(), move || factory.server()).await.unwrap();
    other.wait_ready(&untouched, PATIENCE).await.unwrap();
    let before = other.server(&untouched).unwrap().incarnation;
    blocking.arm();
    let (asked, name) = (runtime.store(), server.clone());
    let mut asking = JoinSet::new();
    asking.spawn(async move { asked.restart(&name).await });
    until("the supervisor hangs", async || blocking.is_blocked().then_some(())).await;

    let told = until("it is told of", async || {
        other.call(CallRequest::new("b_echo", &json!({}))).await.unwrap();
        let events = store.why(&server)?.events;
        events.into_iter().find(|event| event.cause.contains("no longer answers"))
    })
    .await;
    assert_eq!(told.down().unwrap().trouble, Some(Trouble::Bug), "{told:?}");
    store.call(CallRequest::new("a_echo", &json!({}))).await.unwrap();
    assert_eq!(other.server(&untouched).unwrap().incarnation, before, "nobody else noticed");

    // The one that was given up comes to its end and changes nothing.
    let serving = store.server(&server).unwrap().incarnation;
    blocking.release();
    until("a question later", async || {
        (store.server(&server)?.since? > Duration::from_secs(3)).then_some(())
    })
    .await;
    let status = store.server(&server).unwrap();
    assert_eq!((status.state, status.incarnation), (State::Ready, serving));
    store.call(CallRequest::new("a_echo", &json!({}))).await.unwrap();
}
