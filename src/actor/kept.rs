//! What the kernel keeps for the time after a restart, translated to and from the store's records.
//!
//! Everything goes through here, so that what is told to a store can be judged in one place:
//! definitions are told as salted fingerprints, and of variables and headers only the names take
//! part. It decides nothing and waits for nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{event::Event, exchange::Exchange, server::ServerConfig};
use crate::{
    catalog::{Catalog, CatalogConfig, Item, Names},
    id::{Owner, ServerName},
    store::{CatalogRecord, EventRecord, Key, NamesRecord, Store},
    upstream::{ServerFacts, TransportConfig},
    wire::{Each, Primitive, RawValue, extension},
};

/// What a server offers, as far as its owner's view shows it.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) server: ServerName,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) said: Said,
}

/// What a server says of itself to its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// Advice to the model.
    pub(crate) instructions: Option<Arc<str>>,
    /// What it declares beyond the protocol.
    pub(crate) extensions: Option<Arc<RawValue>>,
}

impl Said {
    /// What it said when its link was made.
    pub(crate) fn of(facts: &ServerFacts) -> Self {
        let extensions = extension::declared(&facts.capabilities).map(Into::into);
        Self { instructions: facts.instructions.clone(), extensions }
    }
}

/// What a server offered when it was last listed, if its definition is still the same.
pub(crate) fn offer(
    store: &dyn Store,
    owner: &Owner,
    server: &ServerName,
    config: &ServerConfig,
) -> Option<Offer> {
    let record = store.catalog(owner, server)?;
    if record.withdrawn_at.is_some() || record.fingerprint != fingerprint(store.salt(), config)? {
        return None;
    }
    let mut items: Each<Vec<Item>> = Each::default();
    for primitive in Primitive::ALL {
        let raw = record.items.get(primitive).iter();
        let read: Result<_, _> = raw.map(|raw| Item::read(primitive, raw)).collect();
        *items.get_mut(primitive) = read.ok()?;
    }
    let catalog = Catalog::new(items);
    // Somebody changed the record, or this version reads definitions in another way.
    if catalog.hash().to_string() != record.hash {
        return None;
    }
    let (instructions, extensions) = (record.instructions.clone(), record.extensions.clone());
    let said = Said { instructions, extensions };
    Some(Offer { server: server.clone(), catalog: Arc::new(catalog), said })
}

/// Keeps what a server offers. One in this process is made anew by whoever embeds us and is
/// listed at once: nothing of it is kept.
pub(crate) fn put_offer(store: &dyn Store, owner: &Owner, offer: &Offer, config: &ServerConfig) {
    let Some(fingerprint) = fingerprint(store.salt(), config) else { return };
    store.put_catalog(CatalogRecord {
        owner: owner.clone(),
        server: offer.server.clone(),
        fingerprint,
        hash: offer.catalog.hash().to_string(),
        items: Each::of(|primitive| {
            let items = offer.catalog.items(primitive).iter();
            items.map(|item| Arc::clone(&item.raw)).collect()
        }),
        instructions: offer.said.instructions.clone(),
        extensions: offer.said.extensions.clone(),
        listed_at: SystemTime::now(),
        withdrawn_at: None,
    });
}

/// A view's names, with what was assigned before a restart to servers that it still has.
pub(crate) fn names(exchange: &Exchange, owner: &Owner) -> Names {
    let mut names = Names::new(&exchange.settings().catalog);
    let Some(record) = exchange.store.names(owner).filter(|it| it.rules == names.rules()) else {
        return names;
    };
    for server in exchange.seen(owner) {
        for (upstream, exposed) in record.assigned.get(&server).into_iter().flatten() {
            names.restore(&server, upstream, exposed);
        }
    }
    names
}

/// Keeps a view's names.
pub(crate) fn put_names(store: &dyn Store, owner: &Owner, names: &Names) {
    let mut assigned: BTreeMap<ServerName, BTreeMap<Arc<str>, Arc<str>>> = BTreeMap::new();
    for (server, upstream, exposed) in names.assigned() {
        let of = assigned.entry(server.clone()).or_default();
        of.insert(Arc::clone(upstream), Arc::clone(exposed));
    }
    store.put_names(NamesRecord { owner: owner.clone(), rules: names.rules(), assigned });
}

/// The names of an owner that is no more.
pub(crate) fn forget_names(store: &dyn Store, owner: &Owner) {
    put_names(store, owner, &Names::new(&CatalogConfig::default()));
}

/// What happened before this runtime, oldest first. What another version wrote and this one
/// cannot read is left out.
pub(crate) fn events(store: &dyn Store) -> Vec<Event> {
    let records = store.take_events();
    records.iter().filter_map(|record| serde_json::from_str(&record.json).ok()).collect()
}

/// Keeps an event of a common connection; those of sessions end with their sessions.
pub(crate) fn put_event(store: &dyn Store, event: &Event) {
    if event.session.is_some() {
        return;
    }
    // An event is made of names, numbers and texts: it can be written.
    let Ok(json) = serde_json::to_string(event) else { return };
    store.put_event(EventRecord {
        owner: event.owner.clone(),
        server: event.server.clone(),
        at: event.time,
        json: json.into(),
    });
}

/// Drops what is of no use any more and older than one interval of cleaning.
pub(crate) fn sweep(exchange: &Exchange) {
    let interval = exchange.settings().monitoring.cleanup_hours * 3600.0;
    let before = SystemTime::now().checked_sub(Duration::from_secs_f64(interval));
    let configured: BTreeSet<Key> = {
        let owners = exchange.owners.lock();
        let names = |(owner, server): (&Owner, &ServerName)| (owner.clone(), server.clone());
        let of = owners.iter().flat_map(|(owner, spec)| {
            spec.servers.keys().chain(&spec.grants).map(move |server| names((owner, server)))
        });
        of.collect()
    };
    exchange.store.sweep(&configured, before.unwrap_or(SystemTime::UNIX_EPOCH));
}

/// What tells a server's definition from any other for as long as it takes a call to end, inside
/// what only we can read; empty for a server in this process.
pub(super) fn program(config: &ServerConfig) -> String {
    fingerprint("", config).unwrap_or_default()
}

/// What tells this definition from any other as far as it decides what is offered; `None` for a
/// server in this process. Salted, because arguments and addresses may hold secrets that are easy
/// to guess.
fn fingerprint(salt: &str, config: &ServerConfig) -> Option<String> {
    let reached: Value = match &config.transport {
        TransportConfig::Stdio(stdio) => json!([
            "stdio",
            stdio.command,
            stdio.args,
            stdio.cwd.as_ref().map(|path| path.to_string_lossy()),
            stdio.env.keys().collect::<Vec<_>>(),
            stdio.inherit_env,
        ]),
        TransportConfig::Http(http) => {
            json!(["http", http.url, http.headers.keys().collect::<Vec<_>>()])
        }
        TransportConfig::InProcess => return None,
    };
    let text = json!([salt, config.protocol, reached]).to_string();
    Some(HEXLOWER.encode(&Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::MemoryStore,
        upstream::{http::HttpConfig, stdio::StdioConfig},
        wire::raw,
    };

    fn stdio(change: impl FnOnce(&mut StdioConfig)) -> ServerConfig {
        let mut config = StdioConfig::new("npx");
        config.args = vec!["-y".to_owned(), "pkg@1".to_owned()];
        config.env.insert("TOKEN".to_owned(), "one".into());
        change(&mut config);
        ServerConfig::new(TransportConfig::Stdio(config))
    }

    #[test]
    fn a_changed_definition_has_another_fingerprint_and_a_changed_secret_has_not() {
        let of = |config: &ServerConfig| fingerprint("salt", config).unwrap();
        let same = of(&stdio(|_| {}));
        assert_eq!(same, of(&stdio(|it| drop(it.env.insert("TOKEN".to_owned(), "two".into())))));
        let http = |url: &str| {
            let transport = HttpConfig { url: url.to_owned(), headers: BTreeMap::new() };
            ServerConfig::new(TransportConfig::Http(transport))
        };
        let others = [
            stdio(|it| it.command = "uvx".to_owned()),
            stdio(|it| it.args = vec!["-y".to_owned(), "pkg@2".to_owned()]),
            stdio(|it| it.args = vec!["-y pkg@1".to_owned()]),
            stdio(|it| it.cwd = Some("/x".into())),
            stdio(|it| drop(it.env.insert("MODE".to_owned(), "x".into()))),
            http("http://a/mcp"),
            http("http://b/mcp"),
        ];
        let prints: BTreeSet<String> = others.iter().map(of).chain([same.clone()]).collect();
        assert_eq!(prints.len(), others.len() + 1);
        assert_ne!(fingerprint("another salt", &stdio(|_| {})).unwrap(), same);
        assert!(fingerprint("salt", &ServerConfig::new(TransportConfig::InProcess)).is_none());
    }

    #[test]
    fn an_offer_is_kept_until_its_definition_changes_or_it_is_withdrawn() {
        let store = MemoryStore::default();
        let server = ServerName::new("a").unwrap();
        let tool = raw(&json!({"name": "echo", "inputSchema": {}}));
        let catalog = Arc::new(Catalog::from(vec![Item::read(Primitive::Tool, &tool).unwrap()]));
        let extensions = Some(raw(&json!({"extensions": {"a.b/c": {}}})).into());
        let instructions = Some("i".into());
        let said = Said { instructions, extensions };
        let given = Offer { server: server.clone(), catalog, said };
        let config = stdio(|_| {});
        put_offer(&store, &Owner::Store, &given, &config);
        let found = offer(&store, &Owner::Store, &server, &config).unwrap();
        assert_eq!(found.catalog.hash(), given.catalog.hash());
        assert_eq!(found.said.instructions.as_deref(), Some("i"));
        assert_eq!(found.said.extensions.unwrap().get(), r#"{"extensions":{"a.b/c":{}}}"#);
        let changed = stdio(|it| it.command = "uvx".to_owned());
        assert!(offer(&store, &Owner::Store, &server, &changed).is_none());
        store.withdraw(&Owner::Store, &server, SystemTime::now());
        assert!(offer(&store, &Owner::Store, &server, &config).is_none());
        put_offer(&store, &Owner::Store, &given, &config);
        assert!(offer(&store, &Owner::Store, &server, &config).is_some());
    }
}
