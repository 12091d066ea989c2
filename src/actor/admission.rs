//! Admission to one connection: so many calls in flight, so many waiting, fair between callers.
//!
//! Owned by the connection's handle and outlives its incarnations. Refuses before anything
//! queues without bound; never looks at what a call is.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::id::Owner;

/// The bounded, fair door of one connection.
#[derive(Debug)]
pub(crate) struct Admission {
    state: Mutex<Queue>,
    max_in_flight: usize,
    max_queue: usize,
}

/// The lanes are served in turn, one place each, so that a caller with a thousand calls delays
/// a caller with one by one call only.
#[derive(Debug, Default)]
struct Queue {
    in_flight: usize,
    waiting: usize,
    lanes: VecDeque<(Owner, VecDeque<oneshot::Sender<Permit>>)>,
}

/// A place in flight; dropping it gives it to the next waiter.
#[derive(Debug)]
pub(crate) struct Permit {
    door: Option<Arc<Admission>>,
}

/// The queue was full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// How many were waiting.
    pub(crate) waiting: usize,
}

impl Admission {
    pub(crate) fn new(max_in_flight: usize, max_queue: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), max_in_flight, max_queue })
    }

    /// Waits for a place. Dropping the future leaves the queue.
    pub(crate) async fn enter(self: &Arc<Self>, caller: &Owner) -> Result<Permit, Full> {
        let place = {
            let mut state = self.state.lock();
            if state.in_flight < self.max_in_flight {
                state.in_flight += 1;
                return Ok(self.permit());
            }
            if state.waiting >= self.max_queue {
                state.sweep();
            }
            if state.waiting >= self.max_queue {
                return Err(Full { waiting: state.waiting });
            }
            let (give, place) = oneshot::channel();
            state.waiting += 1;
            match state.lanes.iter_mut().find(|(name, _)| name == caller) {
                Some((_, lane)) => lane.push_back(give),
                None => state.lanes.push_back((caller.clone(), VecDeque::from([give]))),
            }
            place
        };
        // The sender is only dropped unused when the door itself is gone.
        place.await.map_err(|_| Full { waiting: 0 })
    }

    /// Calls in flight and waiting at most.
    pub(crate) const fn bounds(&self) -> (usize, usize) {
        (self.max_in_flight, self.max_queue)
    }

    /// Calls in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.state.lock().in_flight
    }

    /// Calls waiting.
    pub(crate) fn waiting(&self) -> usize {
        let mut state = self.state.lock();
        state.sweep();
        state.waiting
    }

    fn permit(self: &Arc<Self>) -> Permit {
        Permit { door: Some(Arc::clone(self)) }
    }

    /// Hands a freed place to the next waiter in turn, or counts it free.
    fn leave(self: &Arc<Self>) {
        loop {
            let Some(give) = self.state.lock().next() else {
                return;
            };
            match give.send(self.permit()) {
                Ok(()) => return,
                // The waiter left while it was being served: the place goes to the next one. Its
                // permit is defused, so that dropping it does not hand the place on twice.
                Err(mut permit) => permit.door = None,
            }
        }
    }
}

impl Queue {
    /// The next waiter, its caller moved to the end of the turn; frees the place if none waits.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        while let Some((caller, mut lane)) = self.lanes.pop_front() {
            let give = lane.pop_front();
            if !lane.is_empty() {
                self.lanes.push_back((caller, lane));
            }
            if let Some(give) = give {
                self.waiting -= 1;
                return Some(give);
            }
        }
        self.in_flight -= 1;
        None
    }

    /// Forgets waiters that left.
    fn sweep(&mut self) {
        for (_, lane) in &mut self.lanes {
            lane.retain(|give| !give.is_closed());
        }
        self.lanes.retain(|(_, lane)| !lane.is_empty());
        self.waiting = self.lanes.iter().map(|(_, lane)| lane.len()).sum();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(door) = self.door.take() {
            door.leave();
        }
    }
}

#[cfg(feature = "bench")]
pub mod bench;
#[cfg(test)]
mod tests;
