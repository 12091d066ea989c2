//! What a client has not heard yet: resources that changed, each once however often it did, tasks
//! as they are now, and notifications of extensions.
//!
//! Bounded. A client that takes nothing holds up nobody.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{id::ServerName, upstream::Notice, wire::RawValue};

/// Parts of watched resources that wait at most; of more, only the watched resources are told.
const PARTS: usize = 1024;
/// Notifications of extensions that wait at most.
const NOTICES: usize = 256;
/// Bytes of what is said of tasks and by extensions that wait at most; what finds no room is
/// dropped.
const HELD: usize = 4 << 20;

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

/// Something to be heard.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// A resource changed.
    Updated(Update),
    /// A task changed.
    Task {
        /// Its server.
        server: ServerName,
        /// What the watcher calls it.
        shown: Arc<str>,
        /// Its server's raw parameters.
        params: Arc<RawValue>,
    },
    /// A notification of an extension.
    Notice(Notice),
}

/// What one client has not heard yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which it was told first.
    queue: VecDeque<Place>,
    known: HashSet<Update>,
    tasks: HashMap<Arc<str>, (ServerName, Arc<RawValue>)>,
    parts: usize,
    notices: usize,
    held: usize,
}

#[derive(Debug)]
enum Place {
    Updated(Update),
    /// The task that the client calls so, as it is when this is heard.
    Task(Arc<str>),
    Notice(Notice),
}

impl Inbox {
    /// A resource changed, or a part of it.
    pub(super) fn put(&self, server: &ServerName, shown: Arc<str>, part: Option<Arc<str>>) {
        self.waiting.lock().put(Update { server: server.clone(), shown, part });
        self.filled.notify_waiters();
    }

    /// A task changed. What is said of it is lost where it finds no room: whoever wants to know asks.
    pub(super) fn put_task(&self, server: &ServerName, shown: &Arc<str>, params: &Arc<RawValue>) {
        self.waiting.lock().put_task(server, shown, params);
        self.filled.notify_waiters();
    }

    /// An extension's notification; false where there is no room for it.
    pub(crate) fn put_notice(&self, notice: &Notice) -> bool {
        let room = self.waiting.lock().put_notice(notice);
        self.filled.notify_waiters();
        room
    }

    /// What is to be heard next. Any number may ask; each goes to one of them.
    pub(crate) async fn next(&self) -> Heard {
        loop {
            let filled = self.filled.notified();
            if let Some(heard) = self.waiting.lock().take() {
                return heard;
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
            self.queue.push_back(Place::Updated(update));
        }
    }

    fn put_task(&mut self, server: &ServerName, shown: &Arc<str>, params: &Arc<RawValue>) {
        let before = self.tasks.get(shown).map_or(0, |(_, params)| params.get().len());
        let held = self.held - before + params.get().len();
        if held > HELD {
            return;
        }
        self.held = held;
        let task = (server.clone(), Arc::clone(params));
        if self.tasks.insert(Arc::clone(shown), task).is_none() {
            self.queue.push_back(Place::Task(Arc::clone(shown)));
        }
    }

    fn put_notice(&mut self, notice: &Notice) -> bool {
        let held = self.held + notice.size();
        if held > HELD || self.notices == NOTICES {
            return false;
        }
        self.held = held;
        self.notices += 1;
        self.queue.push_back(Place::Notice(notice.clone()));
        true
    }

    fn take(&mut self) -> Option<Heard> {
        loop {
            match self.queue.pop_front()? {
                Place::Updated(update) => {
                    self.known.remove(&update);
                    self.parts -= usize::from(update.part.is_some());
                    return Some(Heard::Updated(update));
                }
                Place::Task(shown) => {
                    let Some((server, params)) = self.tasks.remove(&shown) else { continue };
                    self.held -= params.get().len();
                    return Some(Heard::Task { server, shown, params });
                }
                Place::Notice(notice) => {
                    self.held -= notice.size();
                    self.notices -= 1;
                    return Some(Heard::Notice(notice));
                }
            }
        }
    }

    fn forget(&mut self, shown: &str) {
        let of = |place: &Place| matches!(place, Place::Updated(update) if *update.shown == *shown);
        self.queue.retain(|place| !of(place));
        self.known.retain(|update| &*update.shown != shown);
        self.parts = self.known.iter().filter(|update| update.part.is_some()).count();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn heard(inbox: &Inbox) -> Option<(Arc<str>, Option<Arc<str>>)> {
        inbox.next().now_or_never().map(|heard| match heard {
            Heard::Updated(update) => (update.shown, update.part),
            Heard::Task { shown, params, .. } => (shown, Some(params.get().into())),
            Heard::Notice(notice) => (notice.method, None),
        })
    }

    #[test]
    fn a_burst_is_heard_once_and_in_order() {
        let (inbox, server) = (Inbox::default(), ServerName::new("s").unwrap());
        for (shown, part) in [("b:", None), ("a:", Some("a:1")), ("b:", None), ("a:", None)] {
            inbox.put(&server, shown.into(), part.map(Arc::from));
        }
        assert_eq!(heard(&inbox), Some(("b:".into(), None)));
        inbox.put(&server, "b:".into(), None);
        assert_eq!(heard(&inbox), Some(("a:".into(), Some("a:1".into()))));
        inbox.forget("a:");
        assert_eq!(heard(&inbox), Some(("b:".into(), None)));
        assert_eq!(heard(&inbox), None);
    }

    #[test]
    fn a_watcher_that_hears_nothing_keeps_no_more_than_it_watches() {
        let (inbox, server) = (Inbox::default(), ServerName::new("s").unwrap());
        for number in 0..10 * PARTS {
            inbox.put(&server, "a:".into(), Some(format!("a:{number}").into()));
        }
        assert_eq!(inbox.waiting.lock().queue.len(), PARTS + 1);
        let heard = (0..=PARTS).filter_map(|_| heard(&inbox)).last();
        assert_eq!(heard, Some(("a:".into(), None)));
    }

    #[test]
    fn a_task_is_heard_once_as_it_is_then_and_bodies_have_bounds() {
        let (inbox, server) = (Inbox::default(), ServerName::new("s").unwrap());
        let body = |size: usize| Arc::from(crate::wire::raw(&"x".repeat(size)));
        let name = Arc::from("t");
        for size in [5, 1] {
            inbox.put_task(&server, &name, &body(size));
        }
        inbox.put_task(&server, &Arc::from("u"), &body(HELD));
        let notice = |size| Notice { method: "x/y".into(), params: Some(body(size)), heard: false };
        assert!(!inbox.put_notice(&notice(HELD)));
        for _ in 0..NOTICES {
            assert!(inbox.put_notice(&notice(1)));
        }
        assert!(!inbox.put_notice(&notice(1)));
        assert_eq!(heard(&inbox), Some(("t".into(), Some("\"x\"".into()))));
        assert_eq!(heard(&inbox), Some(("x/y".into(), None)));
        assert!(inbox.put_notice(&notice(1)));
    }
}
