//! A connector that fails, hangs or panics as a test says, and otherwise connects to a scripted
//! server in this process.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use switchboard::{
    id::ServerName,
    runtime::{RuntimeHandle, ServerConfig},
    upstream::{Connect, ConnectContext, ConnectError, Link, TransportConfig, memory::InProcess},
};
use tokio::time::{Instant, sleep};

use super::script::Script;

/// What the next attempt to connect does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It connects.
    Works,
    /// It fails in a way that may pass.
    Fails,
    /// It works for so long, then fails in a way that may pass.
    FailsAfter(Duration),
    /// It asks to be left alone for so long.
    Busy(Duration),
    /// It fails for good.
    Fatal,
    /// It never ends.
    Hangs,
    /// It panics: a bug.
    Panics,
}

/// A connector that does as it is told. Clones share what they are told.
#[derive(Clone, Debug)]
pub struct Flaky(Arc<Shared>);

struct Shared {
    inner: Box<dyn Connect>,
    plan: Mutex<VecDeque<Attempt>>,
    then: Mutex<Attempt>,
    attempts: Mutex<Vec<Instant>>,
    under_way: AtomicUsize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flaky").finish_non_exhaustive()
    }
}

impl Flaky {
    /// Does as planned, one attempt after the other, then always `then`.
    pub fn new(script: &Script, plan: &[Attempt], then: Attempt) -> Self {
        let script = script.clone();
        Self(Arc::new(Shared {
            inner: Box::new(InProcess::new(move || script.server())),
            plan: Mutex::new(plan.iter().copied().collect()),
            then: Mutex::new(then),
            attempts: Mutex::default(),
            under_way: AtomicUsize::new(0),
        }))
    }

    /// What every attempt does from now on.
    pub fn then(&self, attempt: Attempt) {
        self.0.plan.lock().unwrap().clear();
        *self.0.then.lock().unwrap() = attempt;
    }

    /// When attempts began.
    pub fn attempts(&self) -> Vec<Instant> {
        self.0.attempts.lock().unwrap().clone()
    }

    /// Attempts that have begun and not ended.
    pub fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::SeqCst)
    }

    /// Adds a server with this connector to the store.
    pub async fn add(&self, runtime: &RuntimeHandle, name: &str) -> ServerName {
        self.add_with(runtime, name, |_| {}).await
    }

    /// The same with a definition of its own.
    pub async fn add_with(
        &self,
        runtime: &RuntimeHandle,
        name: &str,
        change: impl FnOnce(&mut ServerConfig),
    ) -> ServerName {
        let server = ServerName::new(name).unwrap();
        let mut config = ServerConfig::new(TransportConfig::InProcess);
        change(&mut config);
        let connector = Arc::new(self.clone());
        runtime.store().add_connector(server.clone(), config, connector).await.unwrap();
        server
    }
}

struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Connect for Flaky {
    fn connect(&self, context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            shared.attempts.lock().unwrap().push(Instant::now());
            shared.under_way.fetch_add(1, Ordering::SeqCst);
            let _under_way = UnderWay(Arc::clone(&shared));
            let planned = shared.plan.lock().unwrap().pop_front();
            let attempt = planned.unwrap_or_else(|| *shared.then.lock().unwrap());
            match attempt {
                Attempt::Works => shared.inner.connect(context).await,
                Attempt::Fails => Err(ConnectError::Transport("as planned".to_owned())),
                Attempt::FailsAfter(time) => {
                    sleep(time).await;
                    Err(ConnectError::Transport("as planned".to_owned()))
                }
                Attempt::Busy(pause) => {
                    let why = "as planned".to_owned();
                    Err(ConnectError::Busy { why, retry_after: pause })
                }
                Attempt::Fatal => Err(ConnectError::Protocol("as planned".to_owned())),
                Attempt::Hangs => std::future::pending().await,
                Attempt::Panics => panic!("as planned"),
            }
        })
    }

    fn transport(&self) -> &'static str {
        self.0.inner.transport()
    }
}
