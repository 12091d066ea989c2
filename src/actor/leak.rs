//! Whether anything of a connection outlives it: its tasks, by what they do, and its link.
//!
//! For debug builds, whose tests read the count; a release build keeps no books. Looked at when
//! the tree is asked whether it still answers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::handle::Live;
use crate::id::{Owner, Seat};

/// How long what belongs to a connection may take to end after it.
const GRACE: Duration = Duration::from_secs(10);

/// The tasks of one owner that live, by what they do. Each holds it, so it outlives the owner.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roll(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Roll {
    /// A task that lives as long as the mark.
    pub(crate) fn enter(&self, kind: &'static str) -> Mark {
        *self.0.lock().entry(kind).or_default() += 1;
        Mark { roll: self.clone(), kind }
    }

    /// What the tasks that live do.
    pub(crate) fn living(&self) -> Vec<&'static str> {
        self.0.lock().iter().filter(|(_, count)| **count > 0).map(|(kind, _)| *kind).collect()
    }
}

/// One task that lives.
#[derive(Debug)]
pub(crate) struct Mark {
    roll: Roll,
    kind: &'static str,
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(count) = self.roll.0.lock().get_mut(self.kind) {
            *count -= 1;
        }
    }
}

/// A connection that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) owner: Owner,
    pub(crate) seat: Seat,
    pub(crate) roll: Roll,
    pub(crate) live: Weak<Live>,
}

/// The connections of one tree that ended, until nothing is left of them.
#[derive(Debug, Default)]
pub(crate) struct Leaks {
    ended: Mutex<Vec<(Instant, Ended)>>,
    found: AtomicU64,
}

impl Leaks {
    /// A connection ended now.
    pub(crate) fn watch(&self, ended: Ended) {
        if cfg!(debug_assertions) {
            self.ended.lock().push((Instant::now(), ended));
        }
    }

    /// Reports, once for each connection, what outlived it.
    pub(crate) fn check(&self) {
        self.ended.lock().retain(|(at, Ended { owner, seat, roll, live })| {
            let mut left = roll.living();
            left.extend((live.strong_count() > 0).then_some("link"));
            let overdue = at.elapsed() >= GRACE;
            if overdue && !left.is_empty() {
                let server = &seat.server;
                tracing::error!(%owner, %server, ?left, "tasks outlived their connection, a bug");
                self.found.fetch_add(1, Ordering::Relaxed);
            }
            !overdue && !left.is_empty()
        });
    }

    /// Connections that were outlived so far.
    pub(crate) fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{actor::task::Tasks, id::ServerName};

    #[tokio::test(start_paused = true)]
    async fn a_task_that_outlives_its_connection_is_reported_once_and_by_what_it_does() {
        let (leaks, mut tasks) = (Leaks::default(), Tasks::default());
        tasks.spawn("probe", std::future::pending(), |_| {});
        let watch = |roll: Roll| {
            let seat = Seat::common(ServerName::new("a").unwrap());
            leaks.watch(Ended { owner: Owner::Store, seat, roll, live: Weak::new() });
        };
        watch(tasks.roll());
        assert_eq!(tasks.roll().living(), ["probe"]);
        tokio::time::advance(GRACE).await;
        leaks.check();
        leaks.check();
        assert_eq!(leaks.found(), 1);

        let roll = tasks.roll();
        watch(roll.clone());
        drop(tasks);
        tokio::time::advance(GRACE).await;
        tokio::task::yield_now().await;
        assert!(roll.living().is_empty(), "it ended with its owner");
        leaks.check();
        assert_eq!(leaks.found(), 1);
    }
}
