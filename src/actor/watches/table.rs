//! What is watched, and how far the server's subscription to each has come.
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

/// What can be watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// A resource, by its server's own URI.
    Resource(Arc<str>),
    /// A task, by its server's own name.
    Task(Arc<str>),
}

/// What the server is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To tell of changes of this.
    Subscribe(Topic),
    /// To tell of them no longer.
    Unsubscribe(Topic),
}

impl Step {
    /// What it is about.
    pub(crate) const fn topic(&self) -> &Topic {
        match self {
            Self::Subscribe(topic) | Self::Unsubscribe(topic) => topic,
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

/// The watchers of one connection.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<Topic, Entry>,
    /// What has a step to take, in its order.
    due: VecDeque<Topic>,
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
        topic: &Topic,
        inbox: &Arc<Inbox>,
        shown: &Arc<str>,
        waiting: Option<oneshot::Sender<Settled>>,
    ) -> u64 {
        self.last += 1;
        let entry = self.entries.entry(topic.clone()).or_default();
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
        self.settle(topic);
        self.last
    }

    /// Somebody watches no longer.
    pub(super) fn remove(&mut self, topic: &Topic, number: u64) {
        let Some(entry) = self.entries.get_mut(topic) else { return };
        entry.watchers.remove(&number);
        self.settle(topic);
    }

    /// Whether anybody watches a resource. A task is its server's to go on with or not.
    pub(super) fn is_watched(&self) -> bool {
        let is_resource = |topic: &Topic| matches!(topic, Topic::Resource(_));
        self.entries.iter().any(|(topic, it)| is_resource(topic) && !it.watchers.is_empty())
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
        while let Some(topic) = self.due.pop_front() {
            let Some(entry) = self.entries.get_mut(&topic) else { continue };
            entry.is_due = false;
            match (entry.phase, entry.watchers.is_empty()) {
                (Phase::Wanted, false) => {
                    entry.phase = Phase::Asked;
                    return Some(Step::Subscribe(topic));
                }
                (Phase::Held, true) => {
                    entry.phase = Phase::Leaving;
                    return Some(Step::Unsubscribe(topic));
                }
                _ => {}
            }
        }
        None
    }

    /// How a step went; gives whom to tell that they may have missed a change.
    pub(super) fn done(&mut self, life: Incarnation, step: &Step, outcome: &Settled) -> Vec<Told> {
        let topic = step.topic();
        let Some(entry) = self.entries.get_mut(topic).filter(|_| life == self.life) else {
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
                    // What a task is at now only its server's next word says.
                    let is_telling = matches!(topic, Topic::Resource(_));
                    if std::mem::take(&mut watcher.doubts) && is_telling {
                        told.push(watcher.told(None));
                    }
                }
            }
            // A server that refuses tells on, and nobody hears it.
            Step::Unsubscribe(_) => entry.phase = Phase::Wanted,
        }
        self.settle(topic);
        told
    }

    /// A step that was begun is due again.
    pub(super) fn put_off(&mut self, life: Incarnation, step: &Step) {
        let topic = step.topic();
        if let Some(entry) = self.entries.get_mut(topic).filter(|_| life == self.life) {
            entry.phase = match step {
                Step::Subscribe(_) => Phase::Wanted,
                Step::Unsubscribe(_) => Phase::Held,
            };
            self.settle(topic);
        }
    }

    /// What follows from watchers that came or went, and from an answer. While the server is asked
    /// nothing does.
    fn settle(&mut self, topic: &Topic) {
        let Some(entry) = self.entries.get_mut(topic) else { return };
        let is_left = entry.watchers.is_empty();
        let asks = matches!((entry.phase, is_left), (Phase::Wanted, false) | (Phase::Held, true));
        if asks && !std::mem::replace(&mut entry.is_due, true) {
            self.due.push_back(topic.clone());
        }
        if is_left && matches!(entry.phase, Phase::Wanted | Phase::Refused) {
            if entry.is_due {
                self.due.retain(|due| due != topic);
            }
            self.entries.remove(topic);
        }
    }

    /// What the server was asked for and is to tell of.
    pub(super) fn wanted(&self) -> Vec<Topic> {
        let asked = |entry: &Entry| matches!(entry.phase, Phase::Asked | Phase::Held);
        let watched = self.entries.iter().filter(|(_, it)| asked(it) && !it.watchers.is_empty());
        watched.map(|(topic, _)| topic.clone()).collect()
    }

    /// Whom a change of a resource reaches: its watchers, and those of what it is a part of. A
    /// server may tell of a part of what was subscribed to (MCP, resources).
    pub(super) fn updated(&self, uri: &str) -> Vec<Told> {
        let resource = |uri: &str| self.entries.get(&Topic::Resource(Arc::from(uri)));
        let mut told = Vec::new();
        if let Some(entry) = resource(uri) {
            told.extend(entry.watchers.values().map(|watcher| watcher.told(None)));
        }
        let ends = uri.match_indices(['/', '?', '#']).rev().take(ANCESTORS);
        let mut part = None;
        for (end, mark) in ends {
            for end in [end, end + mark.len()] {
                let above = uri.get(..end).filter(|above| above.len() < uri.len());
                let Some(entry) = above.and_then(resource) else { continue };
                let part = part.get_or_insert_with(|| Arc::from(uri));
                told.extend(entry.watchers.values().map(|watcher| watcher.told(Some(part))));
            }
        }
        told
    }

    /// Whom a change of a task reaches.
    pub(super) fn task(&self, id: &Arc<str>) -> Vec<Told> {
        let entry = self.entries.get(&Topic::Task(Arc::clone(id)));
        let watchers = entry.into_iter().flat_map(|entry| entry.watchers.values());
        watchers.map(|watcher| watcher.told(None)).collect()
    }

    /// Everybody, about every resource.
    pub(super) fn all(&self) -> Vec<Told> {
        let is_resource = |topic: &Topic| matches!(topic, Topic::Resource(_));
        let entries = self.entries.iter().filter(|(topic, _)| is_resource(topic));
        let watchers = entries.flat_map(|(_, entry)| entry.watchers.values());
        watchers.map(|watcher| watcher.told(None)).collect()
    }
}

#[cfg(test)]
mod tests;
