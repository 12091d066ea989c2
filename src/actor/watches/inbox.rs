//! What a watcher has not heard yet: resources that changed, each once however often it did.
//!
//! Bounded by what is watched. A watcher that takes nothing holds up nobody.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::id::ServerName;

/// Parts of watched resources that wait at most; of more, only the watched resources are told.
const PARTS: usize = 1024;

/// A resource that changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Update {
    /// Its server.
    pub(crate) server: ServerName,
    /// What the watcher calls the resource that it watches.
    pub(crate) shown: Arc<str>,
    /// The part of it that changed, by its server's own URI; `None` for itself.
    pub(crate) part: Option<Arc<str>>,
}

/// What one watcher has not heard yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which it was told first.
    updates: VecDeque<Update>,
    known: HashSet<Update>,
    parts: usize,
}

impl Inbox {
    /// A resource changed, or a part of it.
    pub(super) fn put(&self, server: &ServerName, shown: Arc<str>, part: Option<Arc<str>>) {
        self.waiting.lock().put(Update { server: server.clone(), shown, part });
        self.filled.notify_waiters();
    }

    /// The next update. Any number may ask; each update goes to one of them.
    pub(crate) async fn next(&self) -> Update {
        loop {
            let filled = self.filled.notified();
            if let Some(update) = self.waiting.lock().take() {
                return update;
            }
            filled.await;
        }
    }

    /// Forgets what waits of a resource that is watched no longer.
    pub(crate) fn forget(&self, shown: &str) {
        self.waiting.lock().forget(shown);
    }
}

impl Waiting {
    fn put(&mut self, mut update: Update) {
        if update.part.is_some() && self.parts >= PARTS {
            update.part = None;
        }
        if self.known.insert(update.clone()) {
            self.parts += usize::from(update.part.is_some());
            self.updates.push_back(update);
        }
    }

    fn take(&mut self) -> Option<Update> {
        let update = self.updates.pop_front()?;
        self.known.remove(&update);
        self.parts -= usize::from(update.part.is_some());
        Some(update)
    }

    fn forget(&mut self, shown: &str) {
        self.updates.retain(|update| &*update.shown != shown);
        self.known.retain(|update| &*update.shown != shown);
        self.parts = self.updates.iter().filter(|update| update.part.is_some()).count();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_burst_is_heard_once_and_in_order() {
        let (inbox, server) = (Inbox::default(), ServerName::new("s").unwrap());
        for (shown, part) in [("b:", None), ("a:", Some("a:1")), ("b:", None), ("a:", None)] {
            inbox.put(&server, shown.into(), part.map(Arc::from));
        }
        let heard = || inbox.next().now_or_never().map(|it| (it.shown, it.part));
        assert_eq!(heard(), Some(("b:".into(), None)));
        inbox.put(&server, "b:".into(), None);
        assert_eq!(heard(), Some(("a:".into(), Some("a:1".into()))));
        inbox.forget("a:");
        assert_eq!(heard(), Some(("b:".into(), None)));
        assert_eq!(heard(), None);
    }

    #[test]
    fn a_watcher_that_hears_nothing_keeps_no_more_than_it_watches() {
        let (inbox, server) = (Inbox::default(), ServerName::new("s").unwrap());
        for number in 0..10 * PARTS {
            inbox.put(&server, "a:".into(), Some(format!("a:{number}").into()));
        }
        assert_eq!(inbox.waiting.lock().updates.len(), PARTS + 1);
        assert_eq!(inbox.waiting.lock().updates.back().unwrap().part, None);
    }
}
