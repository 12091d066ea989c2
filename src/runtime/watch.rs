//! Whether the root still answers. Owned by the tree's handle.
//!
//! Nobody stands above the root who could replace it, and only it knows its children: one that
//! hangs ends the tree. Whoever embeds it learns that from [`super::RuntimeHandle::closed`].

use std::{sync::Arc, time::Duration};

use ractor::ActorRef;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::actor::{
    exchange::Exchange,
    root::RootMsg,
    vigil::{STUCK, Vigil},
};

/// Asks the root for an answer as often as servers are checked. One that hangs is told of by
/// `hung`, and its children end without it.
pub(super) fn begin(
    exchange: &Arc<Exchange>,
    root: &ActorRef<RootMsg>,
    hung: &CancellationToken,
) -> JoinSet<()> {
    let (exchange, root, hung) = (Arc::downgrade(exchange), root.clone(), hung.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut vigil = Vigil::default();
        while let Some(exchange) = exchange.upgrade() {
            if vigil.finds_stuck(&root, RootMsg::Alive) {
                exchange.end(&format!("the root of the supervision tree: {STUCK}"));
                root.kill();
                root.get_cell().stop_children(Some(STUCK.to_owned()));
                hung.cancel();
                return;
            }
            let seconds = exchange.settings().monitoring.health_check_seconds.max(1);
            drop(exchange);
            tokio::time::sleep(Duration::from_secs(seconds.into())).await;
        }
    });
    tasks
}
