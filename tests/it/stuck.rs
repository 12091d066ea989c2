//! What never answers: an actor that hangs in its handler is found and replaced, and a call that
//! nobody ends at its deadline is ended all the same.

use std::{sync::Arc, time::Duration};

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
    hold::Hold,
    script::Script,
    wait::{PATIENCE, until},
};

mod actors;

/// A connector at which a supervisor is held.
struct Holding {
    inner: Box<dyn Connect>,
    hold: Hold,
}

impl std::fmt::Debug for Holding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holding").finish_non_exhaustive()
    }
}

impl Connect for Holding {
    fn connect(&self, context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        self.inner.connect(context)
    }

    fn transport(&self) -> &'static str {
        self.inner.transport()
    }

    /// Asked in the start of a connection, which its supervisor waits for.
    fn starts_process(&self) -> bool {
        self.hold.pass();
        false
    }
}

async fn add(
    hold: &Hold,
    script: &Script,
    runtime: &RuntimeHandle,
    isolation: Isolation,
) -> ServerName {
    let (server, script) = (ServerName::new("a").unwrap(), script.clone());
    let mut config = ServerConfig::new(TransportConfig::InProcess);
    config.isolation = isolation;
    let inner = Box::new(InProcess::new(move || script.server()));
    let connector = Arc::new(Holding { inner, hold: hold.clone() });
    runtime.store().add_connector(server.clone(), config, connector).await.unwrap();
    runtime.store().wait_ready(&server, PATIENCE).await.unwrap();
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_nobody_ends_at_its_deadline_is_ended_and_counted() {
    let script = Script::new().echo();
    let hold = Hold::default();
    let _released = hold.until_the_end();
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let server = add(&hold, &script, &runtime, Isolation::Session).await;
    let store = runtime.store();
    hold.arm(1);
    let asked = runtime.store();
    let mut asking = JoinSet::new();
    let name = server.clone();
    asking.spawn(async move { asked.restart(&name).await });
    until("the supervisor hangs", async || (hold.held() == 1).then_some(())).await;

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
    let hold = Hold::default();
    let _released = hold.until_the_end();
    let mut config = RuntimeConfig::default();
    config.monitoring.health_check_seconds = 1;
    config.agents.insert(AgentId::new("other").unwrap(), AgentConfig::default());
    let runtime = Runtime::spawn(config).await.unwrap();
    let server = add(&hold, &script, &runtime, Isolation::Shared).await;
    let (store, other) = (runtime.store(), runtime.agent("other").unwrap());
    let factory = script.clone();
    let untouched = ServerName::new("b").unwrap();
    other.add_handler(untouched.clone(), move || factory.server()).await.unwrap();
    other.wait_ready(&untouched, PATIENCE).await.unwrap();
    let before = other.server(&untouched).unwrap().incarnation;
    hold.arm(1);
    let (asked, name) = (runtime.store(), server.clone());
    let mut asking = JoinSet::new();
    asking.spawn(async move { asked.restart(&name).await });
    until("the supervisor hangs", async || (hold.held() == 1).then_some(())).await;

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
    hold.release();
    until("a question later", async || {
        (store.server(&server)?.since? > Duration::from_secs(3)).then_some(())
    })
    .await;
    let status = store.server(&server).unwrap();
    assert_eq!((status.state, status.incarnation), (State::Ready, serving));
    store.call(CallRequest::new("a_echo", &json!({}))).await.unwrap();
}
