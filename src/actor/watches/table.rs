//! Which resources are watched, and how far the server's subscription to each has come.
//!
//! Pure: no clock, no tasks. Every change that asks something of the server makes a step due;
//! whoever carries steps out says how they went.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::sync::oneshot;

use super::{Inbox, Settled};
use crate::id::Incarnation;

/// How many of its ancestors a changed resource is looked for under.
const ANCESTORS: usize = 32;

/// What the server is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To tell of changes of this resource.
    Subscribe(Arc<str>),
    /// To tell of them no longer.
    Unsubscribe(Arc<str>),
}

impl Step {
    /// The resource, by its server's own URI.
    pub(crate) const fn uri(&self) -> &Arc<str> {
        match self {
            Self::Subscribe(uri) | Self::Unsubscribe(uri) => uri,
        }
    }
}

/// Whom an update reaches, and as what.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) inbox: Arc<Inbox>,
    pub(super) shown: Arc<str>,
    pub(super) part: Option<Arc<str>>,
}

/// The watchers of one connection, by the server's own URIs.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<Arc<str>, Entry>,
    /// Resources with a step to take, in their order.
    due: VecDeque<Arc<str>>,
    /// Whose answers count.
    life: Incarnation,
    last: u64,
}

#[derive(Debug, Default)]
struct Entry {
    watchers: BTreeMap<u64, Watcher>,
    phase: Phase,
    /// It stands among what is due.
    is_due: bool,
}

/// How far a subscription has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The server has not been asked.
    #[default]
    Wanted,
    /// It was asked and has not answered.
    Asked,
    /// It tells of changes.
    Held,
    /// It refused; its next life is asked again, or this one for the next watcher.
    Refused,
    /// It was asked to tell no longer and has not answered.
    Leaving,
}

#[derive(Debug)]
struct Watcher {
    inbox: Arc<Inbox>,
    shown: Arc<str>,
    /// Who waits to hear whether the server takes it.
    waiting: Option<oneshot::Sender<Settled>>,
    /// It may have missed a change.
    doubts: bool,
}

impl Watcher {
    fn told(&self, part: Option<&Arc<str>>) -> Told {
        let (inbox, shown) = (Arc::clone(&self.inbox), Arc::clone(&self.shown));
        Told { inbox, shown, part: part.cloned() }
    }
}

impl Table {
    /// Somebody watches; without `waiting` it believes so already.
    pub(super) fn add(
        &mut self,
        uri: &Arc<str>,
        inbox: &Arc<Inbox>,
        shown: &Arc<str>,
        waiting: Option<oneshot::Sender<Settled>>,
    ) -> u64 {
        self.last += 1;
        let entry = self.entries.entry(Arc::clone(uri)).or_default();
        let is_held = entry.phase == Phase::Held;
        let mut watcher = Watcher {
            inbox: Arc::clone(inbox),
            shown: Arc::clone(shown),
            doubts: waiting.is_none() && !is_held,
            waiting,
        };
        if is_held && let Some(waiting) = watcher.waiting.take() {
            // Whoever asked may have left.
            waiting.send(Ok(())).ok();
        }
        if entry.phase == Phase::Refused {
            entry.phase = Phase::Wanted;
        }
        entry.watchers.insert(self.last, watcher);
        self.settle(uri);
        self.last
    }

    /// Somebody watches no longer.
    pub(super) fn remove(&mut self, uri: &Arc<str>, number: u64) {
        let Some(entry) = self.entries.get_mut(uri) else { return };
        entry.watchers.remove(&number);
        self.settle(uri);
    }

    pub(super) fn is_watched(&self) -> bool {
        self.entries.values().any(|entry| !entry.watchers.is_empty())
    }

    /// Another life, or the same one whose server forgot everything.
    pub(super) fn begin(&mut self, life: Incarnation) {
        self.life = life;
        self.entries.retain(|_, entry| !entry.watchers.is_empty());
        for entry in self.entries.values_mut() {
            (entry.phase, entry.is_due) = (Phase::Wanted, true);
            for watcher in entry.watchers.values_mut() {
                watcher.doubts |= watcher.waiting.is_none();
            }
        }
        self.due = self.entries.keys().cloned().collect();
    }

    /// The next step that is due; it counts as begun.
    pub(super) fn next(&mut self, life: Incarnation) -> Option<Step> {
        if life != self.life {
            return None;
        }
        while let Some(uri) = self.due.pop_front() {
            let Some(entry) = self.entries.get_mut(&uri) else { continue };
            entry.is_due = false;
            match (entry.phase, entry.watchers.is_empty()) {
                (Phase::Wanted, false) => {
                    entry.phase = Phase::Asked;
                    return Some(Step::Subscribe(uri));
                }
                (Phase::Held, true) => {
                    entry.phase = Phase::Leaving;
                    return Some(Step::Unsubscribe(uri));
                }
                _ => {}
            }
        }
        None
    }

    /// How a step went; gives whom to tell that they may have missed a change.
    pub(super) fn done(&mut self, life: Incarnation, step: &Step, outcome: &Settled) -> Vec<Told> {
        let uri = step.uri();
        let Some(entry) = self.entries.get_mut(uri).filter(|_| life == self.life) else {
            return Vec::new();
        };
        let mut told = Vec::new();
        match step {
            Step::Subscribe(_) => {
                entry.phase = if outcome.is_ok() { Phase::Held } else { Phase::Refused };
                for watcher in entry.watchers.values_mut() {
                    if let Some(waiting) = watcher.waiting.take() {
                        waiting.send(outcome.clone()).ok();
                    }
                    if std::mem::take(&mut watcher.doubts) {
                        told.push(watcher.told(None));
                    }
                }
            }
            // A server that refuses tells on, and nobody hears it.
            Step::Unsubscribe(_) => entry.phase = Phase::Wanted,
        }
        self.settle(uri);
        told
    }

    /// A step that was begun is due again.
    pub(super) fn put_off(&mut self, life: Incarnation, step: &Step) {
        let uri = step.uri();
        if let Some(entry) = self.entries.get_mut(uri).filter(|_| life == self.life) {
            entry.phase = match step {
                Step::Subscribe(_) => Phase::Wanted,
                Step::Unsubscribe(_) => Phase::Held,
            };
            self.settle(uri);
        }
    }

    /// What follows from watchers that came or went, and from an answer. While the server is asked
    /// nothing does.
    fn settle(&mut self, uri: &Arc<str>) {
        let Some(entry) = self.entries.get_mut(uri) else { return };
        let is_left = entry.watchers.is_empty();
        let asks = matches!((entry.phase, is_left), (Phase::Wanted, false) | (Phase::Held, true));
        if asks && !std::mem::replace(&mut entry.is_due, true) {
            self.due.push_back(Arc::clone(uri));
        }
        if is_left && matches!(entry.phase, Phase::Wanted | Phase::Refused) {
            if entry.is_due {
                self.due.retain(|due| due != uri);
            }
            self.entries.remove(uri);
        }
    }

    /// What the server was asked for and is to tell of.
    pub(super) fn wanted(&self) -> Vec<Arc<str>> {
        let asked = |entry: &Entry| matches!(entry.phase, Phase::Asked | Phase::Held);
        let watched = self.entries.iter().filter(|(_, it)| asked(it) && !it.watchers.is_empty());
        watched.map(|(uri, _)| Arc::clone(uri)).collect()
    }

    /// Whom a change of a resource reaches: its watchers, and those of what it is a part of. A
    /// server may tell of a part of what was subscribed to (MCP, resources).
    pub(super) fn updated(&self, uri: &str) -> Vec<Told> {
        let mut told = Vec::new();
        if let Some(entry) = self.entries.get(uri) {
            told.extend(entry.watchers.values().map(|watcher| watcher.told(None)));
        }
        let ends = uri.match_indices(['/', '?', '#']).rev().take(ANCESTORS);
        let mut part = None;
        for (end, mark) in ends {
            for end in [end, end + mark.len()] {
                let above = uri.get(..end).filter(|above| above.len() < uri.len());
                let Some(entry) = above.and_then(|above| self.entries.get(above)) else { continue };
                let part = part.get_or_insert_with(|| Arc::from(uri));
                told.extend(entry.watchers.values().map(|watcher| watcher.told(Some(part))));
            }
        }
        told
    }

    /// Everybody, about everything.
    pub(super) fn all(&self) -> Vec<Told> {
        let watchers = self.entries.values().flat_map(|entry| entry.watchers.values());
        watchers.map(|watcher| watcher.told(None)).collect()
    }
}

#[cfg(test)]
mod tests;
