//! What a live link tells unasked: its end, changed lists, resources and tasks, and notifications
//! of extensions.
//!
//! Each is waited for by a task of its own, so that none holds up another.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ractor::ActorRef;

use super::{ConnectionMsg, ConnectionState, subscriber::Subscriber};
use crate::{
    actor::handle::Live,
    upstream::{LinkEvent, Updated},
};

/// How long changes of a server's lists are gathered before they are listed again.
const DEBOUNCE: Duration = Duration::from_millis(200);

impl ConnectionState {
    /// Watches the link for its end and for what the server tells unasked.
    pub(super) fn follow(&mut self, myself: &ActorRef<ConnectionMsg>, live: &Arc<Live>) {
        let (actor, link) = (myself.clone(), Arc::clone(live));
        self.spawn(myself, "end", async move {
            let end = link.link.ended().await;
            actor.cast(ConnectionMsg::Lost(end)).ok();
        });
        let (actor, link) = (myself.clone(), Arc::clone(live));
        self.spawn(myself, "changes", async move {
            while let Some(LinkEvent::ListsChanged) = link.link.event().await {
                tokio::time::sleep(DEBOUNCE).await;
                if actor.cast(ConnectionMsg::ListsChanged).is_err() {
                    return;
                }
            }
        });
        let (handle, exchange) = (Arc::clone(&self.handle), Arc::clone(&self.exchange));
        let link = Arc::clone(live);
        self.spawn(myself, "updates", async move {
            while let Some(updated) = link.link.updated().await {
                for updated in updated {
                    match updated {
                        Updated::One(uri) => handle.watches.updated(&uri),
                        Updated::Any => handle.watches.all_updated(),
                        Updated::Task(id, params) => handle.watches.task(&id, &params),
                        Updated::Notice(notice) => {
                            let table = exchange.table.load();
                            let heard = exchange.audience.tell(&table, &handle, &notice);
                            if !heard && !notice.heard {
                                handle.stats.unheard.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        Updated::Visited(whose, notice) => {
                            if !exchange.audience.tell_visited(&handle, whose.as_ref(), &notice) {
                                handle.stats.unheard.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
            }
        });
        let subscriber = Subscriber {
            exchange: Arc::clone(&self.exchange),
            handle: Arc::clone(&self.handle),
            live: Arc::clone(live),
            actor: myself.clone(),
        };
        self.spawn(myself, "subscription", subscriber.run());
    }
}
