//! Who waits for a connection, and since when.
//!
//! Only counted here: the order in which calls go on is the handle's.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::actor::event::Waiting;

/// The calls that wait for a link.
#[derive(Debug, Default)]
pub(super) struct Parked(Mutex<Register>);

#[derive(Debug, Default)]
struct Register {
    next: u64,
    /// By their number, so that the first is the one that came first.
    since: BTreeMap<u64, Instant>,
}

/// A call that waits as long as this lives.
#[derive(Debug)]
pub(super) struct Place<'a> {
    parked: &'a Parked,
    number: u64,
}

impl Parked {
    /// A call waits from now on.
    pub(super) fn enter(&self) -> Place<'_> {
        let mut register = self.0.lock();
        let number = register.next;
        register.next += 1;
        register.since.insert(number, Instant::now());
        Place { parked: self, number }
    }

    /// How many wait, and how long the first of them has.
    pub(super) fn waiting(&self) -> Waiting {
        let register = self.0.lock();
        let longest = register.since.first_key_value().map(|(_, since)| since.elapsed());
        Waiting { calls: register.since.len(), longest: longest.unwrap_or_default() }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.parked.0.lock().since.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_that_still_waits_has_waited_longest() {
        let parked = Parked::default();
        assert!(parked.waiting().is_nobody());
        let first = parked.enter();
        tokio::time::advance(Duration::from_secs(2)).await;
        let second = parked.enter();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(parked.waiting(), Waiting { calls: 2, longest: Duration::from_secs(3) });
        drop(first);
        assert_eq!(parked.waiting(), Waiting { calls: 1, longest: Duration::from_secs(1) });
        drop(second);
        assert!(parked.waiting().is_nobody());
    }
}
