//! The records of a store as they are in memory: what is asked for, and what was changed.
//!
//! Pure data, owned by a store. Each change says whether it was one, so that what is the same is
//! not written again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

use super::{CatalogRecord, Key, NamesRecord};
use crate::{
    id::{Owner, ServerName},
    wire::RawValue,
};

fn text(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get)
}

/// Catalogs and names.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) catalogs: BTreeMap<Key, Arc<CatalogRecord>>,
    pub(super) names: BTreeMap<Owner, Arc<NamesRecord>>,
}

impl Book {
    pub(super) fn catalog(&self, owner: &Owner, server: &ServerName) -> Option<Arc<CatalogRecord>> {
        self.catalogs.get(&(owner.clone(), server.clone())).cloned()
    }

    /// Says whether it differs from the one before.
    pub(super) fn put_catalog(&mut self, record: CatalogRecord) -> bool {
        let key = (record.owner.clone(), record.server.clone());
        let same = self.catalogs.get(&key).is_some_and(|known| {
            known.fingerprint == record.fingerprint
                && known.hash == record.hash
                && known.instructions == record.instructions
                && text(known.extensions.as_deref()) == text(record.extensions.as_deref())
                && known.withdrawn_at == record.withdrawn_at
        });
        if !same {
            self.catalogs.insert(key, Arc::new(record));
        }
        !same
    }

    /// Says whether there was one to withdraw.
    pub(super) fn withdraw(&mut self, key: &Key, at: SystemTime) -> bool {
        let Some(known) = self.catalogs.get_mut(key).filter(|it| it.withdrawn_at.is_none()) else {
            return false;
        };
        Arc::make_mut(known).withdrawn_at = Some(at);
        true
    }

    /// Says whether they differ from those before.
    pub(super) fn put_names(&mut self, record: NamesRecord) -> bool {
        if record.assigned.is_empty() {
            return self.names.remove(&record.owner).is_some();
        }
        if self.names.get(&record.owner).is_some_and(|known| **known == record) {
            return false;
        }
        self.names.insert(record.owner.clone(), Arc::new(record));
        true
    }

    /// Drops what is old and of no use, and says what that was.
    pub(super) fn sweep(
        &mut self,
        configured: &BTreeSet<Key>,
        before: SystemTime,
    ) -> (Vec<Key>, Vec<Owner>) {
        let old = |record: &CatalogRecord| match record.withdrawn_at {
            Some(withdrawn) => withdrawn < before,
            None => record.listed_at < before,
        };
        let catalogs: Vec<Key> = self
            .catalogs
            .iter()
            .filter(|(key, record)| {
                old(record) && (record.withdrawn_at.is_some() || !configured.contains(*key))
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in &catalogs {
            self.catalogs.remove(key);
        }
        // Names of a server that left are given back by the view; here go those of whole views.
        let known: BTreeSet<&Owner> = configured.iter().map(|(owner, _)| owner).collect();
        let names: Vec<Owner> =
            self.names.keys().filter(|owner| !known.contains(owner)).cloned().collect();
        for owner in &names {
            self.names.remove(owner);
        }
        (catalogs, names)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::Each;

    fn record(server: &str, at: u64) -> CatalogRecord {
        CatalogRecord {
            owner: Owner::Store,
            server: ServerName::new(server).unwrap(),
            fingerprint: "f".to_owned(),
            hash: "h".to_owned(),
            items: Each::default(),
            instructions: None,
            extensions: None,
            listed_at: SystemTime::UNIX_EPOCH + Duration::from_secs(at),
            withdrawn_at: None,
        }
    }

    fn key(server: &str) -> Key {
        (Owner::Store, ServerName::new(server).unwrap())
    }

    #[test]
    fn what_is_the_same_is_no_change() {
        let mut book = Book::default();
        assert!(book.put_catalog(record("a", 1)));
        assert!(!book.put_catalog(record("a", 2)));
        assert!(book.put_catalog(CatalogRecord { hash: "other".to_owned(), ..record("a", 3) }));
        assert!(book.withdraw(&key("a"), SystemTime::now()));
        assert!(!book.withdraw(&key("a"), SystemTime::now()));
        // It is back.
        assert!(book.put_catalog(CatalogRecord { hash: "other".to_owned(), ..record("a", 4) }));
        assert!(!book.withdraw(&key("b"), SystemTime::now()));
    }

    #[test]
    fn a_sweep_drops_what_is_old_and_of_no_use() {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let mut book = Book::default();
        for (server, listed) in [("here", 1), ("left", 1), ("left just now", 9), ("gone", 1)] {
            book.put_catalog(record(server, listed));
        }
        book.put_catalog(record("gone just now", 1));
        book.withdraw(&key("gone"), at(4));
        book.withdraw(&key("gone just now"), at(6));
        let configured = BTreeSet::from(["here", "gone", "gone just now"].map(key));
        let (dropped, _) = book.sweep(&configured, at(5));
        assert_eq!(dropped, ["gone", "left"].map(key));
        let left: Vec<&str> = book.catalogs.keys().map(|(_, server)| server.as_str()).collect();
        assert_eq!(left, ["gone just now", "here", "left just now"]);
    }

    #[test]
    fn names_without_an_owner_are_swept() {
        let mut book = Book::default();
        let one = BTreeMap::from([("echo".into(), "a_echo".into())]);
        let names = |owner| NamesRecord {
            owner,
            rules: "r".to_owned(),
            assigned: BTreeMap::from([(ServerName::new("a").unwrap(), one.clone())]),
        };
        let agent = Owner::Agent(crate::id::AgentId::new("gone").unwrap());
        assert!(book.put_names(names(Owner::Store)) && book.put_names(names(agent.clone())));
        assert!(!book.put_names(names(Owner::Store)));
        let (_, dropped) = book.sweep(&BTreeSet::from([key("a")]), SystemTime::now());
        assert_eq!(dropped, [agent]);
        let none = NamesRecord { assigned: BTreeMap::new(), ..names(Owner::Store) };
        assert!(book.put_names(none) && book.names.is_empty());
    }
}
