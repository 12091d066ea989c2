//! Records as rows: read when the file is opened, written batch by batch.
//!
//! A row that cannot be understood is left out with a warning: a record is worth a listing, not a
//! refusal to start.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};

use super::{
    super::{CatalogRecord, EventRecord, KEPT_EVENTS, Key, NamesRecord, book::Book},
    Batch, Sweep,
    file::Kept,
};
use crate::{
    id::{AgentId, Owner, ServerName},
    wire::{Each, RawValue},
};

type CatalogRow = (
    String,
    String,
    String,
    String,
    Option<String>,
    i64,
    Option<i64>,
    String,
    String,
    String,
    String,
    Option<String>,
);

/// The salt of the fingerprints in a file; `None` in a new one.
pub(super) async fn salt(connection: &mut SqliteConnection) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT value FROM meta WHERE name = 'salt'")
        .fetch_optional(connection)
        .await
}

/// Reads everything.
pub(super) async fn load(connection: &mut SqliteConnection, salt: String) -> sqlx::Result<Kept> {
    let mut kept = Kept { salt, book: Book::default(), events: Vec::new() };
    let rows: Vec<CatalogRow> = sqlx::query_as(
        "SELECT owner, server, fingerprint, hash, instructions, listed_at, withdrawn_at, \
         tools, prompts, resources, templates, extensions FROM catalogs",
    )
    .fetch_all(&mut *connection)
    .await?;
    for record in rows.into_iter().filter_map(|row| readable("catalogs", catalog(row))) {
        kept.book.put_catalog(record);
    }
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT owner, rules, assigned FROM names")
            .fetch_all(&mut *connection)
            .await?;
    for record in rows.into_iter().filter_map(|row| readable("names", names(row))) {
        kept.book.put_names(record);
    }
    let rows: Vec<(String, String, i64, String)> =
        sqlx::query_as("SELECT owner, server, at, event FROM events ORDER BY id")
            .fetch_all(&mut *connection)
            .await?;
    kept.events = rows.into_iter().filter_map(|row| readable("events", event(row))).collect();
    Ok(kept)
}

fn readable<T>(table: &'static str, record: Option<T>) -> Option<T> {
    if record.is_none() {
        tracing::warn!(table, "a row of the state database makes no sense and is left out");
    }
    record
}

fn catalog(row: CatalogRow) -> Option<CatalogRecord> {
    let (
        own,
        server,
        fingerprint,
        hash,
        instructions,
        listed_at,
        withdrawn_at,
        tools,
        prompts,
        resources,
        templates,
        extensions,
    ) = row;
    let items = |json: &str| serde_json::from_str(json).ok();
    Some(CatalogRecord {
        owner: owner(&own)?,
        server: ServerName::new(server).ok()?,
        fingerprint,
        hash,
        items: Each {
            tools: items(&tools)?,
            prompts: items(&prompts)?,
            resources: items(&resources)?,
            templates: items(&templates)?,
        },
        instructions: instructions.map(Into::into),
        extensions: extensions.and_then(|text| RawValue::from_string(text).ok()).map(Into::into),
        listed_at: time(listed_at),
        withdrawn_at: withdrawn_at.map(time),
    })
}

fn names((own, rules, assigned): (String, String, String)) -> Option<NamesRecord> {
    let assigned = serde_json::from_str(&assigned).ok()?;
    Some(NamesRecord { owner: owner(&own)?, rules, assigned })
}

fn event((own, server, at, json): (String, String, i64, String)) -> Option<EventRecord> {
    let server = ServerName::new(server).ok()?;
    Some(EventRecord { owner: owner(&own)?, server, at: time(at), json: json.into() })
}

/// Writes a batch, whole or not at all.
///
/// Boxed, as all that borrows and is awaited by the writer: the compiler cannot see otherwise that
/// it is `Send`.
pub(super) fn write<'a>(
    connection: &'a mut SqliteConnection,
    batch: &'a Batch,
) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        let mut writing = connection.begin().await?;
        for ((owner, server), record) in &batch.catalogs {
            match record {
                Some(record) => put_catalog(&mut writing, record).await?,
                None => {
                    sqlx::query("DELETE FROM catalogs WHERE owner = ? AND server = ?")
                        .bind(owner.as_str())
                        .bind(server.as_str())
                        .execute(&mut *writing)
                        .await?;
                }
            }
        }
        for (owner, record) in &batch.names {
            match record {
                Some(record) => put_names(&mut writing, record).await?,
                None => {
                    sqlx::query("DELETE FROM names WHERE owner = ?")
                        .bind(owner.as_str())
                        .execute(&mut *writing)
                        .await?;
                }
            }
        }
        for (key, events) in &batch.events {
            put_events(&mut writing, key, events).await?;
        }
        if let Some(sweep) = &batch.sweep {
            sweep_events(&mut writing, sweep).await?;
        }
        writing.commit().await
    })
}

async fn put_catalog(
    connection: &mut SqliteConnection,
    record: &CatalogRecord,
) -> sqlx::Result<()> {
    sqlx::query("INSERT OR REPLACE INTO catalogs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(record.owner.as_str())
        .bind(record.server.as_str())
        .bind(&record.fingerprint)
        .bind(&record.hash)
        .bind(json(&record.items.tools)?)
        .bind(record.instructions.as_deref())
        .bind(millis(record.listed_at))
        .bind(record.withdrawn_at.map(millis))
        .bind(json(&record.items.prompts)?)
        .bind(json(&record.items.resources)?)
        .bind(json(&record.items.templates)?)
        .bind(record.extensions.as_ref().map(|raw| raw.get()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn put_names(connection: &mut SqliteConnection, record: &NamesRecord) -> sqlx::Result<()> {
    sqlx::query("INSERT OR REPLACE INTO names VALUES (?, ?, ?)")
        .bind(record.owner.as_str())
        .bind(&record.rules)
        .bind(json(&record.assigned)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds events of one connection and drops those that are too many.
async fn put_events(
    connection: &mut SqliteConnection,
    (owner, server): &Key,
    events: &VecDeque<EventRecord>,
) -> sqlx::Result<()> {
    for event in events {
        sqlx::query("INSERT INTO events (owner, server, at, event) VALUES (?, ?, ?, ?)")
            .bind(owner.as_str())
            .bind(server.as_str())
            .bind(millis(event.at))
            .bind(&*event.json)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(
        "DELETE FROM events WHERE owner = ?1 AND server = ?2 AND id <= (SELECT id FROM events \
         WHERE owner = ?1 AND server = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
    )
    .bind(owner.as_str())
    .bind(server.as_str())
    .bind(i64::try_from(KEPT_EVENTS).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(())
}

/// Drops the timelines of servers that left and of which nothing was heard since.
async fn sweep_events(connection: &mut SqliteConnection, sweep: &Sweep) -> sqlx::Result<()> {
    let connections: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT owner, server, MAX(at) FROM events GROUP BY owner, server")
            .fetch_all(&mut *connection)
            .await?;
    for (own, server, last) in connections {
        let key = owner(&own).zip(ServerName::new(&server).ok());
        let stays = key.is_some_and(|key| sweep.configured.contains(&key));
        if !stays && time(last) < sweep.before {
            sqlx::query("DELETE FROM events WHERE owner = ? AND server = ?")
                .bind(own)
                .bind(server)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn owner(name: &str) -> Option<Owner> {
    if name == Owner::Store.as_str() {
        return Some(Owner::Store);
    }
    AgentId::new(name).ok().map(Owner::Agent)
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn time(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}
