//! Calls that wait for tasks which one program made, over all its lives at one connection.
//!
//! Held by those calls, so it is there as long as one is. A life that ends for good waits for them
//! and then tells them; which of its lives is asked, they decide themselves.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::watch, time::timeout};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{ConnectionHandle, Live};
use crate::id::Incarnation;

/// How long what calls still have to say of tasks may take, once they were given up.
const PARTING: Duration = Duration::from_secs(2);

/// Those of one connection, by their programs.
#[derive(Debug, Default)]
pub(super) struct Awaitings(Mutex<Vec<Weak<Awaiting>>>);

/// Calls that wait for tasks of one program.
#[derive(Debug)]
pub(crate) struct Awaiting {
    pub(crate) program: Arc<str>,
    calls: TaskTracker,
    lives: Mutex<Lives>,
    /// The lives that have no more time for tasks.
    given_up: watch::Sender<Vec<Incarnation>>,
}

/// Lives of the program that tasks may be asked for of.
#[derive(Debug, Default)]
struct Lives {
    made: Vec<Weak<Live>>,
    /// They end for good, and wait for the calls before.
    retiring: Vec<Weak<Live>>,
}

impl ConnectionHandle {
    /// The calls that wait for tasks of a program.
    pub(crate) fn awaiting(&self, program: &Arc<str>) -> Arc<Awaiting> {
        let mut all = self.awaitings.0.lock();
        all.retain(|it| it.strong_count() > 0);
        let found = all.iter().filter_map(Weak::upgrade).find(|it| it.program == *program);
        found.unwrap_or_else(|| {
            let awaiting = Arc::new(Awaiting {
                program: Arc::clone(program),
                calls: TaskTracker::new(),
                lives: Mutex::default(),
                given_up: watch::Sender::default(),
            });
            all.push(Arc::downgrade(&awaiting));
            awaiting
        })
    }
}

impl Awaiting {
    /// A call waits as long as this lives.
    pub(crate) fn wait(&self) -> TaskTrackerToken {
        self.calls.token()
    }

    /// Whether no call waits.
    pub(crate) fn is_over(&self) -> bool {
        self.calls.is_empty()
    }

    /// A life made a task.
    pub(super) fn made(&self, live: &Arc<Live>) {
        remember(&mut self.lives.lock().made, live);
    }

    /// A life ends for good.
    pub(crate) fn retires(&self, live: &Arc<Live>) {
        remember(&mut self.lives.lock().retiring, live);
    }

    /// A life that made a task, as long as it is there.
    pub(super) fn maker(&self, incarnation: Incarnation) -> Option<Arc<Live>> {
        let lives = self.lives.lock();
        there(&lives.made).find(|live| live.incarnation == incarnation)
    }

    /// Whether a life ends for good.
    pub(super) fn is_retiring(&self, incarnation: Incarnation) -> bool {
        there(&self.lives.lock().retiring).any(|live| live.incarnation == incarnation)
    }

    /// The newest life that ends for good and is there still.
    pub(super) fn last(&self) -> Option<Arc<Live>> {
        there(&self.lives.lock().retiring).max_by_key(|live| live.incarnation)
    }

    /// Tells the calls that a life has no more time, and waits a moment for what they still have
    /// to say.
    pub(crate) async fn give_up(&self, incarnation: Incarnation) {
        self.given_up.send_modify(|lives| lives.push(incarnation));
        self.calls.close();
        timeout(PARTING, self.calls.wait()).await.ok();
        self.calls.reopen();
    }

    /// Resolves when lives were given up that a call waits for, as it says.
    pub(super) async fn given_up(&self, awaited: impl Fn(&[Incarnation]) -> bool) {
        let mut given_up = self.given_up.subscribe();
        // There is a sender as long as this borrow.
        given_up.wait_for(|lives| awaited(lives)).await.ok();
    }
}

fn remember(lives: &mut Vec<Weak<Live>>, live: &Arc<Live>) {
    lives.retain(|it| it.strong_count() > 0 && !it.ptr_eq(&Arc::downgrade(live)));
    lives.push(Arc::downgrade(live));
}

fn there(lives: &[Weak<Live>]) -> impl Iterator<Item = Arc<Live>> {
    lives.iter().filter_map(Weak::upgrade).filter(|live| live.link.end().is_none())
}
