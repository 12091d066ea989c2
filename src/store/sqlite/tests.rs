//! The store and its file: what comes back, what is set aside, what happens without a disk.

use std::{fs, path::Path, time::Duration};

use serde_json::json;
use sqlx::Connection as _;
use tempfile::TempDir;

use super::*;
use crate::wire::{Each, raw};

fn key(server: &str) -> Key {
    (Owner::Store, ServerName::new(server).unwrap())
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn catalog(server: &str, hash: &str) -> CatalogRecord {
    let tool = json!({"name": "echo", "inputSchema": {}, "description": "x".repeat(9000)});
    CatalogRecord {
        owner: Owner::Store,
        server: key(server).1,
        fingerprint: "f".to_owned(),
        hash: hash.to_owned(),
        items: Each {
            tools: vec![Arc::from(raw(&tool)), Arc::from(raw(&json!({"name": "add"})))],
            prompts: vec![Arc::from(raw(&json!({"name": "ask"})))],
            resources: vec![Arc::from(raw(&json!({"uri": "a:b"})))],
            templates: vec![Arc::from(raw(&json!({"uriTemplate": "a:{b}"})))],
        },
        instructions: Some("be kind".into()),
        extensions: Some(raw(&json!({"extensions": {"a.b/c": {}}})).into()),
        listed_at: at(7),
        withdrawn_at: None,
    }
}

fn event(server: &str, number: u64) -> EventRecord {
    let json = number.to_string().into();
    EventRecord { owner: Owner::Store, server: key(server).1, at: at(number), json }
}

fn names(exposed: &str) -> NamesRecord {
    let of = BTreeMap::from([("echo".into(), exposed.into())]);
    let assigned = BTreeMap::from([(key("a").1, of)]);
    NamesRecord { owner: Owner::Store, rules: "r".to_owned(), assigned }
}

fn get(store: &SqliteStore, server: &str) -> Option<Arc<CatalogRecord>> {
    store.catalog(&Owner::Store, &key(server).1)
}

/// Waits until the file has everything, and goes on using it.
async fn flush(store: &SqliteStore) {
    let upto = store.shared.records.lock().changes;
    let mut progress = store.shared.progress.subscribe();
    progress.wait_for(|now| now.problem.is_some() || now.written >= upto).await.unwrap();
}

/// Databases that were set aside; a log may stand beside each.
fn aside(folder: &TempDir) -> Vec<String> {
    let names = fs::read_dir(folder.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|it| it.starts_with("state.db.damaged-") && !it.ends_with("-wal")).collect()
}

async fn statement(path: &Path, statement: &'static str) {
    let mut other = sqlx::SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query(statement).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn what_was_told_is_there_when_the_file_is_opened_again() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteStore::open(&path).await;
    let salt = store.salt().to_owned();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for server in ["a", "b"] {
        store.put_catalog(catalog(server, "h"));
    }
    store.withdraw(&Owner::Store, &key("b").1, at(9));
    store.put_names(names("a_echo"));
    for number in 0..100 {
        store.put_event(event("a", number));
    }
    store.put_event(event("b", 100));
    flush(&store).await;
    // In a second transaction, so that old events are dropped in the file as well.
    (101..111).for_each(|number| store.put_event(event("a", number)));
    let log = path.with_extension("db-wal").metadata().unwrap();
    assert_eq!(log.permissions().mode() & 0o777, 0o600);
    store.close().await;

    let store = SqliteStore::open(&path).await;
    assert_eq!((store.salt(), store.problem()), (&*salt, None));
    let known = get(&store, "a").unwrap();
    let expected = catalog("a", "h");
    assert_eq!(known.items.tools.len(), 2);
    assert_eq!(known.items.tools[0].get(), expected.items.tools[0].get());
    assert_eq!((&known.instructions, known.listed_at), (&expected.instructions, at(7)));
    assert_eq!(get(&store, "b").unwrap().withdrawn_at, Some(at(9)));
    assert_eq!(*store.names(&Owner::Store).unwrap(), names("a_echo"));
    let events = store.take_events();
    let of_a: Vec<&str> =
        events.iter().filter(|it| it.server == key("a").1).map(|it| &*it.json).collect();
    assert_eq!((of_a.len(), of_a[0], of_a[63]), (KEPT_EVENTS, "46", "110"));
    assert_eq!(events.len(), KEPT_EVENTS + 1);
    assert!(store.take_events().is_empty());
}

#[tokio::test]
async fn a_file_that_is_damaged_or_too_new_is_set_aside_and_begun_anew() {
    for what in ["garbage", "truncated"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let store = SqliteStore::open(&path).await;
        for number in 0..20 {
            store.put_catalog(catalog(&format!("s{number}"), "h"));
        }
        store.close().await;
        let whole = fs::read(&path).unwrap();
        let damaged = match what {
            "garbage" => "no database at all".repeat(1000).into_bytes(),
            _ => whole[..whole.len() / 2].to_vec(),
        };
        fs::write(&path, &damaged).unwrap();

        let store = SqliteStore::open(&path).await;
        assert_eq!(store.problem(), None, "{what}");
        let [name] = &aside(&folder)[..] else { panic!("{what}: {:?}", aside(&folder)) };
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), damaged, "{what}");
        assert!(get(&store, "s1").is_none(), "{what}");
        store.put_catalog(catalog("s1", "h"));
        store.close().await;
        assert!(get(&SqliteStore::open(&path).await, "s1").is_some(), "{what}");
        assert_eq!(aside(&folder).len(), 1, "{what}");
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    SqliteStore::open(&path).await.close().await;
    statement(
        &path,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'tomorrow', TRUE, x'00', 0)",
    )
    .await;
    let store = SqliteStore::open(&path).await;
    assert_eq!((store.problem(), aside(&folder).len()), (None, 1));
}

#[tokio::test]
async fn a_file_that_breaks_while_it_is_used_is_begun_anew_with_all_that_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteStore::open(&path).await;
    store.put_catalog(catalog("a", "h"));
    store.put_names(names("a_echo"));
    flush(&store).await;
    statement(&path, "DROP TABLE catalogs").await;
    store.put_catalog(catalog("b", "h"));
    flush(&store).await;
    assert_eq!((store.problem(), aside(&folder).len()), (None, 1));
    let salt = store.salt().to_owned();
    store.close().await;

    let store = SqliteStore::open(&path).await;
    assert!(get(&store, "a").is_some() && get(&store, "b").is_some());
    assert!(store.names(&Owner::Store).is_some());
    assert_eq!(store.salt(), salt);
}

#[tokio::test(start_paused = true)]
async fn without_a_file_it_is_a_store_in_memory_until_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    fs::create_dir(&path).unwrap();
    let store = SqliteStore::open(&path).await;
    assert!(store.problem().is_some());
    store.put_catalog(catalog("a", "h"));
    for number in 0..100 {
        store.put_event(event("a", number));
    }
    flush(&store).await;
    assert!(store.problem().is_some() && get(&store, "a").is_some());

    fs::remove_dir(&path).unwrap();
    let mut progress = store.shared.progress.subscribe();
    progress.wait_for(|now| now.problem.is_none()).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(&path).await;
    assert!(get(&store, "a").is_some());
    let events = store.take_events();
    assert_eq!((events.len(), &*events[63].json), (KEPT_EVENTS, "99"));
}

#[tokio::test]
async fn a_sweep_drops_what_is_old_in_the_file_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteStore::open(&path).await;
    for server in ["here", "left", "gone"] {
        store.put_catalog(catalog(server, "h"));
        store.put_event(event(server, 7));
    }
    store.put_event(event("left just now", 20));
    store.withdraw(&Owner::Store, &key("gone").1, at(8));
    flush(&store).await;
    store.sweep(&["here", "gone"].map(key).into(), at(10));
    store.close().await;

    let store = SqliteStore::open(&path).await;
    let known = ["here", "left", "gone"].map(|server| get(&store, server).is_some());
    assert_eq!(known, [true, false, false]);
    let events = store.take_events();
    let of: BTreeSet<&str> = events.iter().map(|event| event.server.as_str()).collect();
    assert_eq!(of, ["gone", "here", "left just now"].into());
}

#[test]
fn what_was_not_written_waits_beside_what_is_newer() {
    let mut records = Records::default();
    for number in 0..KEPT_EVENTS as u64 {
        records.marked.event(event("a", number));
    }
    records.book.put_catalog(catalog("a", "old"));
    records.marked.catalog(key("a"));
    let batch = records.take();
    assert!(records.take().catalogs.is_empty());
    records.book.put_catalog(catalog("a", "new"));
    records.marked.event(event("a", 1000));
    records.give_back(batch);
    let batch = records.take();
    let events = &batch.events[&key("a")];
    assert_eq!((events.len(), &*events[0].json, &*events[63].json), (KEPT_EVENTS, "1", "1000"));
    assert_eq!(batch.catalogs[0].1.as_ref().unwrap().hash, "new");
}
