//! The file: opened, checked, brought to the present schema, read; set aside when it is no use.
//!
//! Owned by the store and its writer. It decides what is damage, which is set aside, and what is
//! only in the way at the moment, which is tried again.

use std::{
    ffi::OsString,
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use sqlx::{
    ConnectOptions as _, Connection as _, SqlStr, SqliteConnection,
    error::DatabaseError,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

use super::{
    super::book::Book,
    super::{EventRecord, new_salt},
    rows,
};

/// How long another program that writes, such as a backup, is waited for.
const BUSY: Duration = Duration::from_secs(2);
/// SQLite's codes for a file that is not as we made it: an error in a statement of ours,
/// corruption, no database.
const DAMAGE: [u32; 3] = [1, 11, 26];
/// The files of one database by what follows its name.
const PARTS: [&str; 2] = ["", "-wal"];

/// What a file held.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) salt: String,
    pub(super) book: Book,
    pub(super) events: Vec<EventRecord>,
}

impl Kept {
    pub(super) fn nothing(salt: String) -> Self {
        Self { salt, book: Book::default(), events: Vec::new() }
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It is no database of ours: trying again changes nothing.
    #[error("{0}")]
    Damaged(String),
    /// It may be usable later.
    #[error("{0}")]
    Unusable(String),
}

impl From<sqlx::Error> for FileError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        // Extended codes hold the primary one in their low byte.
        let primary = code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
        let text = error.to_string();
        if primary.is_some_and(|code| DAMAGE.contains(&code)) {
            Self::Damaged(text)
        } else {
            Self::Unusable(text)
        }
    }
}

impl From<MigrateError> for FileError {
    fn from(error: MigrateError) -> Self {
        if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
            return error.into();
        }
        if let MigrateError::VersionMissing(version) = error {
            let why = format!("a newer version of switchboard wrote it: its schema is {version}");
            return Self::Damaged(why);
        }
        Self::Damaged(error.to_string())
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// Opens the file and reads it; what is damaged or too new is set aside first.
pub(super) fn open(path: &Path) -> BoxFuture<'_, Result<(SqliteConnection, Kept), String>> {
    Box::pin(async move {
        let opened = match try_open(path).await {
            Err(FileError::Damaged(why)) => {
                set_aside(path, &why).await.map_err(|error| error.to_string())?;
                try_open(path).await
            }
            opened => opened,
        };
        opened.map_err(|error| error.to_string())
    })
}

/// Moves a file out of the way and says so.
pub(super) async fn set_aside(path: &Path, why: &str) -> io::Result<()> {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let aside = with(path, &format!(".damaged-{}", time.replace(':', "-")));
    for part in PARTS {
        match tokio::fs::rename(with(path, part), with(&aside, part)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // An index of the log that is no more.
    tokio::fs::remove_file(with(path, "-shm")).await.ok();
    tracing::warn!(
        file = %path.display(),
        aside = %aside.display(),
        why,
        "the state database cannot be used; it was set aside and a new one is begun"
    );
    Ok(())
}

/// What a file holds that cannot be written, as far as it can be read.
pub(super) async fn peek(path: &Path) -> Option<Kept> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(true);
    let mut connection = options.disable_statement_logging().connect().await.ok()?;
    let salt = rows::salt(&mut connection).await.ok()??;
    rows::load(&mut connection, salt).await.ok()
}

/// Keeps this salt in the file, in the place of any other.
pub(super) fn put_salt<'a>(
    connection: &'a mut SqliteConnection,
    salt: &'a str,
) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        sqlx::query("INSERT OR REPLACE INTO meta (name, value) VALUES ('salt', ?)")
            .bind(salt)
            .execute(connection)
            .await?;
        Ok(())
    })
}

async fn try_open(path: &Path) -> Result<(SqliteConnection, Kept), FileError> {
    // Made before SQLite makes it, which would let others read it; its log has the same rights.
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(path).await?;
    tokio::fs::set_permissions(path, Permissions::from_mode(0o600)).await?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .synchronous(SqliteSynchronous::Normal)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    match ready(&mut connection).await {
        Ok(kept) => Ok((connection, kept)),
        Err(error) => {
            // Waited for, because whoever closes it last removes its log, by name.
            connection.close().await.ok();
            Err(error)
        }
    }
}

/// Checks a file that was opened, brings it to the present schema and reads it.
async fn ready(connection: &mut SqliteConnection) -> Result<Kept, FileError> {
    // Not among the options: this is the first to look into the file.
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *connection).await?;
    sqlx::query("PRAGMA journal_size_limit = 1048576").execute(&mut *connection).await?;
    let verdict: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await?;
    if verdict != "ok" {
        return Err(FileError::Damaged(verdict));
    }
    migrate(connection).await?;
    let known = rows::salt(connection).await?;
    let salt = if let Some(salt) = known {
        salt
    } else {
        let salt = new_salt();
        put_salt(connection, &salt).await?;
        salt
    };
    Ok(rows::load(connection, salt).await?)
}

/// Brings the file to the present schema.
fn migrate(connection: &mut SqliteConnection) -> BoxFuture<'_, Result<(), MigrateError>> {
    // What `run` calls; that one demands of a borrowed connection what a boxed future cannot show.
    Box::pin(async move { migrations().run_direct(None, connection, false).await })
}

/// The schema, step by step; each step stands in `migrations/` and is never changed again.
fn migrations() -> Migrator {
    let step = |version, name: &'static str, sql| {
        let sql = SqlStr::from_static(sql);
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(vec![
        step(1, "kept", include_str!("../../../migrations/0001_kept.sql")),
        step(2, "primitives", include_str!("../../../migrations/0002_primitives.sql")),
        step(3, "extensions", include_str!("../../../migrations/0003_extensions.sql")),
    ])
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}
