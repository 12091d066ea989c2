//! Whether the root still answers, asked by a thread of its own. Owned by the tree's handle.
//!
//! Nobody stands above the root who could replace it, and only it knows its children: one that
//! hangs ends the tree, which [`super::RuntimeHandle::closed`] tells. The thread has a second duty:
//! an actor that blocks its thread may be the one whose worker waited for timers and sockets, and
//! then nobody does, the questions that would find it among what stands still. A task from outside
//! wakes another worker, which waits for them from then on.

use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use ractor::ActorRef;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;

use crate::actor::{
    exchange::Exchange,
    root::RootMsg,
    vigil::{STUCK, Vigil},
};

/// How long timers and sockets may stand still.
const TICK: Duration = Duration::from_secs(1);

/// The thread that watches one tree; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    _alive: Option<mpsc::Sender<()>>,
}

impl Pulse {
    /// Asks the root for an answer as often as servers are checked. One that hangs is told of by
    /// `hung`, and its children end without it. Where all actors share one thread with whoever
    /// would be told, nobody is asked.
    pub(super) fn begin(
        exchange: &Arc<Exchange>,
        root: &ActorRef<RootMsg>,
        hung: &CancellationToken,
    ) -> Self {
        let runtime = Handle::current();
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return Self { _alive: None };
        }
        let (alive, ended) = mpsc::channel();
        let (exchange, root, hung) = (Arc::downgrade(exchange), root.clone(), hung.clone());
        let watch = move || {
            let (mut vigil, mut ticks) = (Vigil::default(), 0);
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                drop(runtime.spawn(std::future::ready(())));
                let Some(exchange) = exchange.upgrade() else { return };
                ticks += 1;
                if ticks < exchange.settings().monitoring.health_check_seconds {
                    continue;
                }
                ticks = 0;
                if vigil.finds_stuck(&root, RootMsg::Alive) {
                    exchange.end(&format!("the root of the supervision tree: {STUCK}"));
                    root.kill();
                    root.get_cell().stop_children(Some(STUCK.to_owned()));
                    hung.cancel();
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("switchboard-watch".to_owned()).spawn(watch);
        if let Err(error) = started {
            tracing::warn!(%error, "no thread watches whether the supervision tree answers");
        }
        Self { _alive: Some(alive) }
    }
}
