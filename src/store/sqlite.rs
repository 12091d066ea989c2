//! The store of the binary: records in memory, followed by a SQLite file that one task writes.
//!
//! What is asked for is answered from memory, and what is told is noted there and marked. The
//! writer takes what is marked, by key, in one transaction: it never falls behind, because a key
//! is marked once however often it changed, so what waits is bounded by what is configured. While
//! the file cannot be written everything stays marked and goes there when it can be again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{
    CatalogRecord, EventRecord, KEPT_EVENTS, Key, NamesRecord, Store, book::Book, new_salt,
};
use crate::id::{Owner, ServerName};

mod file;
mod rows;
mod writer;

use file::Kept;
use writer::Writer;

/// A store in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    salt: Arc<str>,
    shared: Arc<Shared>,
    /// The writer; it ends with the store.
    _writer: JoinSet<()>,
}

/// What the store and its writer share.
#[derive(Debug)]
struct Shared {
    records: Mutex<Records>,
    /// There is something to write.
    wake: Notify,
    progress: watch::Sender<Progress>,
}

/// How far the writer is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// The last change that is in the file.
    written: u64,
    /// The file is open.
    open: bool,
    /// Why the file is not written.
    problem: Option<Arc<str>>,
}

/// The records, and which of them the file does not have yet.
#[derive(Debug, Default)]
struct Records {
    book: Book,
    /// Events that the kernel has not asked for yet.
    old_events: Vec<EventRecord>,
    marked: Marked,
    /// Counts changes.
    changes: u64,
    /// The file is to be closed once it has everything.
    closing: bool,
}

/// What the file does not have yet.
#[derive(Debug, Default)]
struct Marked {
    catalogs: BTreeSet<Key>,
    names: BTreeSet<Owner>,
    events: BTreeMap<Key, VecDeque<EventRecord>>,
    sweep: Option<Sweep>,
}

/// A clean-up of the file's events.
#[derive(Clone, Debug)]
struct Sweep {
    configured: BTreeSet<Key>,
    before: SystemTime,
}

/// What one transaction writes; `None` is deleted.
#[derive(Debug)]
struct Batch {
    catalogs: Vec<(Key, Option<Arc<CatalogRecord>>)>,
    names: Vec<(Owner, Option<Arc<NamesRecord>>)>,
    events: BTreeMap<Key, VecDeque<EventRecord>>,
    sweep: Option<Sweep>,
    /// The last change in it.
    upto: u64,
    /// The file is closed behind it.
    closing: bool,
}

impl SqliteStore {
    /// Opens a file, or makes one, readable for its owner alone. A damaged file and one of a
    /// newer version are set aside beside it. A file that cannot be used at all is tried again
    /// every few seconds: until then this is a store in memory that has a
    /// [problem](Store::problem).
    pub async fn open(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let (connection, kept, problem) = match file::open(&path).await {
            Ok((connection, kept)) => (Some(connection), kept, None),
            Err(problem) => {
                let kept = file::peek(&path).await;
                (None, kept.unwrap_or_else(|| Kept::nothing(new_salt())), Some(problem))
            }
        };
        let salt: Arc<str> = kept.salt.into();
        let records = Records { book: kept.book, old_events: kept.events, ..Records::default() };
        let shared = Arc::new(Shared {
            records: Mutex::new(records),
            wake: Notify::new(),
            progress: watch::Sender::new(Progress { open: true, ..Progress::default() }),
        });
        let writer = Writer::new(path, Arc::clone(&salt), Arc::clone(&shared), connection, problem);
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run());
        Self { salt, shared, _writer: tasks }
    }

    /// Changes the records; `change` says whether it was one.
    fn change(&self, change: impl FnOnce(&mut Records) -> bool) {
        let mut records = self.shared.records.lock();
        if change(&mut records) {
            records.changes += 1;
            drop(records);
            self.shared.wake.notify_one();
        }
    }
}

impl Store for SqliteStore {
    fn salt(&self) -> &str {
        &self.salt
    }

    fn catalog(&self, owner: &Owner, server: &ServerName) -> Option<Arc<CatalogRecord>> {
        self.shared.records.lock().book.catalog(owner, server)
    }

    fn put_catalog(&self, record: CatalogRecord) {
        let key = (record.owner.clone(), record.server.clone());
        self.change(|records| records.book.put_catalog(record) && records.marked.catalog(key));
    }

    fn withdraw(&self, owner: &Owner, server: &ServerName, at: SystemTime) {
        let key = (owner.clone(), server.clone());
        self.change(|records| records.book.withdraw(&key, at) && records.marked.catalog(key));
    }

    fn names(&self, owner: &Owner) -> Option<Arc<NamesRecord>> {
        self.shared.records.lock().book.names.get(owner).cloned()
    }

    fn put_names(&self, record: NamesRecord) {
        let owner = record.owner.clone();
        self.change(|records| {
            let changed = records.book.put_names(record);
            if changed {
                records.marked.names.insert(owner);
            }
            changed
        });
    }

    fn take_events(&self) -> Vec<EventRecord> {
        std::mem::take(&mut self.shared.records.lock().old_events)
    }

    fn put_event(&self, record: EventRecord) {
        self.change(|records| {
            records.marked.event(record);
            true
        });
    }

    fn sweep(&self, configured: &BTreeSet<Key>, before: SystemTime) {
        self.change(|records| {
            let (catalogs, names) = records.book.sweep(configured, before);
            records.marked.catalogs.extend(catalogs);
            records.marked.names.extend(names);
            records.marked.sweep = Some(Sweep { configured: configured.clone(), before });
            true
        });
    }

    fn problem(&self) -> Option<String> {
        self.shared.progress.borrow().problem.as_deref().map(ToOwned::to_owned)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let upto = {
                let mut records = self.shared.records.lock();
                records.closing = true;
                records.changes
            };
            self.shared.wake.notify_one();
            let mut progress = self.shared.progress.subscribe();
            let done = |now: &Progress| now.problem.is_some() || (now.written >= upto && !now.open);
            // A writer that is gone writes no more.
            drop(progress.wait_for(done).await);
        })
    }
}

impl Marked {
    /// Always a change, for the end of a condition.
    fn catalog(&mut self, key: Key) -> bool {
        self.catalogs.insert(key);
        true
    }

    fn event(&mut self, record: EventRecord) {
        let key = (record.owner.clone(), record.server.clone());
        let events = self.events.entry(key).or_default();
        if events.len() == KEPT_EVENTS {
            events.pop_front();
        }
        events.push_back(record);
    }
}

impl Records {
    /// What the file does not have; it counts as written from now on.
    fn take(&mut self) -> Batch {
        let marked = std::mem::take(&mut self.marked);
        let catalogs = marked.catalogs.into_iter();
        let names = marked.names.into_iter();
        Batch {
            catalogs: catalogs
                .map(|key| {
                    let record = self.book.catalogs.get(&key).cloned();
                    (key, record)
                })
                .collect(),
            names: names
                .map(|owner| {
                    let record = self.book.names.get(&owner).cloned();
                    (owner, record)
                })
                .collect(),
            events: marked.events,
            sweep: marked.sweep,
            upto: self.changes,
            closing: std::mem::take(&mut self.closing),
        }
    }

    /// It was not written after all.
    fn give_back(&mut self, batch: Batch) {
        self.marked.catalogs.extend(batch.catalogs.into_iter().map(|(key, _)| key));
        self.marked.names.extend(batch.names.into_iter().map(|(owner, _)| owner));
        let newer = std::mem::replace(&mut self.marked.events, batch.events);
        newer.into_values().flatten().for_each(|event| self.marked.event(event));
        self.closing |= batch.closing;
        self.marked.sweep = self.marked.sweep.take().or(batch.sweep);
    }

    /// The file is another one: it has nothing yet.
    fn mark_all(&mut self) {
        self.marked.catalogs.extend(self.book.catalogs.keys().cloned());
        self.marked.names.extend(self.book.names.keys().cloned());
    }
}

#[cfg(test)]
mod tests;
