//! The store of a process that keeps nothing on disk: the default of an embedding program.
//!
//! What it knows ends with it. Two runtimes in one process, one after the other, may share one.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use parking_lot::Mutex;

use super::{CatalogRecord, EventRecord, Key, NamesRecord, Store, book::Book, new_salt};
use crate::id::{Owner, ServerName};

/// Catalogs and names in memory; of timelines it keeps none, because a runtime does.
#[derive(Debug)]
pub struct MemoryStore {
    salt: String,
    book: Mutex<Book>,
}

impl Default for MemoryStore {
    /// A store without records.
    fn default() -> Self {
        Self { salt: new_salt(), book: Mutex::default() }
    }
}

impl Store for MemoryStore {
    fn salt(&self) -> &str {
        &self.salt
    }

    fn catalog(&self, owner: &Owner, server: &ServerName) -> Option<Arc<CatalogRecord>> {
        self.book.lock().catalog(owner, server)
    }

    fn put_catalog(&self, record: CatalogRecord) {
        self.book.lock().put_catalog(record);
    }

    fn withdraw(&self, owner: &Owner, server: &ServerName, at: SystemTime) {
        self.book.lock().withdraw(&(owner.clone(), server.clone()), at);
    }

    fn names(&self, owner: &Owner) -> Option<Arc<NamesRecord>> {
        self.book.lock().names.get(owner).cloned()
    }

    fn put_names(&self, record: NamesRecord) {
        self.book.lock().put_names(record);
    }

    fn take_events(&self) -> Vec<EventRecord> {
        Vec::new()
    }

    fn put_event(&self, _: EventRecord) {}

    fn sweep(&self, configured: &BTreeSet<Key>, before: SystemTime) {
        self.book.lock().sweep(configured, before);
    }
}
