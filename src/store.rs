//! What outlives a restart, behind one trait: catalogs, exposed names, timelines.
//!
//! Owned by whoever makes a runtime, used by its actors. A store answers from memory and accepts
//! without waiting: nothing here is on the way of a call, and nobody waits for a disk. It knows
//! no supervision and judges no record; losing one costs a listing, never a call.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::SystemTime,
};

use futures::future::BoxFuture;

use crate::{
    id::{Owner, ServerName},
    wire::{Each, RawValue},
};

mod book;
pub mod memory;
#[cfg(feature = "store-sqlite")]
pub mod sqlite;

pub use memory::MemoryStore;
#[cfg(feature = "store-sqlite")]
pub use sqlite::SqliteStore;

/// One server of one owner.
pub type Key = (Owner, ServerName);

/// What a server offered when it was last listed.
#[derive(Clone, Debug)]
pub struct CatalogRecord {
    /// Whose server.
    pub owner: Owner,
    /// The server.
    pub server: ServerName,
    /// What tells the listed definition from any other, made with [`Store::salt`].
    pub fingerprint: String,
    /// What tells these definitions from any others.
    pub hash: String,
    /// The definitions as the server sent them, in its order.
    pub items: Each<Vec<Arc<RawValue>>>,
    /// Its advice to the model.
    pub instructions: Option<Arc<str>>,
    /// What it declares beyond the protocol.
    pub extensions: Option<Arc<RawValue>>,
    /// When these were listed for the first time.
    pub listed_at: SystemTime,
    /// When they were withdrawn, because the server was gone for too long.
    pub withdrawn_at: Option<SystemTime>,
}

/// Which exposed names an owner's view has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesRecord {
    /// Whose view.
    pub owner: Owner,
    /// The naming rules that they follow.
    pub rules: String,
    /// By server and the tool's name there.
    pub assigned: BTreeMap<ServerName, BTreeMap<Arc<str>, Arc<str>>>,
}

/// One event of the timeline of an owner's common connection to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Whose connection.
    pub owner: Owner,
    /// To which server.
    pub server: ServerName,
    /// When.
    pub at: SystemTime,
    /// The event, as JSON.
    pub json: Arc<str>,
}

/// What outlives a restart. Every method returns at once.
pub trait Store: Send + Sync + fmt::Debug {
    /// A random text that fingerprints are made with: the same as long as the records are.
    fn salt(&self) -> &str;

    /// What a server offered last, if that is known.
    fn catalog(&self, owner: &Owner, server: &ServerName) -> Option<Arc<CatalogRecord>>;

    /// Keeps what a server offers, in the place of what it offered before.
    fn put_catalog(&self, record: CatalogRecord);

    /// Marks a catalog as withdrawn.
    fn withdraw(&self, owner: &Owner, server: &ServerName, at: SystemTime);

    /// The names that an owner's view has given, if any are known.
    fn names(&self, owner: &Owner) -> Option<Arc<NamesRecord>>;

    /// Keeps the names of a view, in the place of those before; none at all are forgotten.
    fn put_names(&self, record: NamesRecord);

    /// The events kept when this was opened, oldest first; empty from the second time on.
    fn take_events(&self) -> Vec<EventRecord>;

    /// Keeps an event, and of each connection the last [`KEPT_EVENTS`].
    fn put_event(&self, record: EventRecord);

    /// Drops catalogs that were withdrawn before a time, and everything older than that of
    /// servers and owners that are none of these.
    fn sweep(&self, configured: &BTreeSet<Key>, before: SystemTime);

    /// Why nothing is kept on disk at the moment, where it should be.
    fn problem(&self) -> Option<String> {
        None
    }

    /// Waits until everything told before is as safe as it can be, and lets go of the disk; what
    /// is told later takes it again. A store with a problem keeps nobody waiting.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Events kept of each connection.
pub const KEPT_EVENTS: usize = 64;

/// A new salt: 122 random bits.
fn new_salt() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
