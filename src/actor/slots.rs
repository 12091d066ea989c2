//! Places to connect: so many at a time, and whoever has failed least goes first, so that servers
//! that fail again and again do not delay those that work.
//!
//! Shared through the exchange. It paces attempts; it knows nothing of what they do.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// So many places.
#[derive(Debug)]
pub(crate) struct Slots(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    /// By failures, then in their order.
    waiting: BTreeMap<(u32, u64), oneshot::Sender<Slot>>,
    last: u64,
}

/// One place; dropping it gives it to the next.
#[derive(Debug)]
pub(crate) struct Slot {
    of: Option<Arc<Slots>>,
}

impl Slots {
    /// Places for `count` attempts at a time, at least one.
    pub(crate) fn new(count: u32) -> Arc<Self> {
        let free = usize::try_from(count).unwrap_or(usize::MAX).max(1);
        Arc::new(Self(Mutex::new(State { free, waiting: BTreeMap::new(), last: 0 })))
    }

    /// Waits for a place; the fewer failures, the sooner. Dropping the future leaves the queue.
    pub(crate) async fn take(self: &Arc<Self>, failures: u32) -> Slot {
        let place = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return self.slot();
            }
            let (give, place) = oneshot::channel();
            state.last += 1;
            let turn = (failures, state.last);
            state.waiting.insert(turn, give);
            place
        };
        // The queue lives as long as this borrow of it, so every sender is used.
        place.await.unwrap_or(Slot { of: None })
    }

    fn slot(self: &Arc<Self>) -> Slot {
        Slot { of: Some(Arc::clone(self)) }
    }

    /// Hands a place to the next, or counts it free.
    fn leave(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.0.lock();
                let next = state.waiting.pop_first();
                state.free += usize::from(next.is_none());
                next
            };
            let Some((_, give)) = next else { return };
            match give.send(self.slot()) {
                Ok(()) => return,
                // It left meanwhile; its place is defused and goes to the one after it.
                Err(mut slot) => slot.of = None,
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.of.take() {
            slots.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, poll};

    use super::*;

    #[tokio::test]
    async fn whoever_failed_least_goes_first_and_equals_in_their_order() {
        let slots = Slots::new(1);
        let held = slots.take(0).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for (at, failures) in [7, 1, 7, 0].into_iter().enumerate() {
            let (slots_of_task, order) = (Arc::clone(&slots), Arc::clone(&order));
            tasks.spawn(async move {
                let slot = slots_of_task.take(failures).await;
                order.lock().push(at);
                drop(slot);
            });
            while slots.0.lock().waiting.len() <= at {
                tokio::task::yield_now().await;
            }
        }
        drop(held);
        tasks.join_all().await;
        assert_eq!(*order.lock(), [3, 1, 0, 2]);
    }

    #[tokio::test]
    async fn who_leaves_the_queue_takes_no_place() {
        let slots = Slots::new(1);
        let held = slots.take(0).await;
        let mut gone = Box::pin(slots.take(0));
        assert!(poll!(&mut gone).is_pending());
        drop(gone);
        drop(held);
        assert!(slots.take(9).now_or_never().is_some());
        assert_eq!(slots.0.lock().free, 1);
    }
}
