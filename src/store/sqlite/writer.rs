//! The one task that writes the file: gathers what changed, writes it in one transaction, and
//! tries again when the file cannot be written.
//!
//! Owned by the store, which ends it. Nobody waits for it but who closes the store.

use std::{path::PathBuf, sync::Arc, time::Duration};

use sqlx::{Connection as _, SqliteConnection};
use tokio::time::{Instant, sleep};

use super::{
    Batch, Progress, Shared,
    file::{self, FileError},
    rows,
};

/// How long changes are gathered for one transaction.
const GATHER: Duration = Duration::from_millis(50);
/// The pause before a file that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How often the file is looked for while there is nothing to write: somebody may remove it.
const LOOK: Duration = Duration::from_secs(5);
/// Between two warnings of one trouble.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// The writer of one file.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    salt: Arc<str>,
    shared: Arc<Shared>,
    /// `None` until the file can be used.
    connection: Option<SqliteConnection>,
    warned: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        salt: Arc<str>,
        shared: Arc<Shared>,
        connection: Option<SqliteConnection>,
        problem: Option<String>,
    ) -> Self {
        let mut writer = Self { path, salt, shared, connection, warned: None };
        if let Some(problem) = problem {
            writer.troubled(&problem);
        }
        writer
    }

    /// Writes until the store ends it.
    pub(super) async fn run(mut self) {
        loop {
            if self.shared.progress.borrow().problem.is_some() {
                sleep(RETRY).await;
            } else {
                tokio::select! {
                    () = self.shared.wake.notified() => sleep(GATHER).await,
                    () = sleep(LOOK) => if !self.is_gone() { continue },
                }
            }
            self.round().await;
        }
    }

    async fn round(&mut self) {
        if self.is_gone() {
            // What is written to it now goes with it.
            self.let_go().await;
        }
        if self.connection.is_none() {
            // Whatever file there is now, it does not have what we know.
            self.shared.records.lock().mark_all();
        }
        let batch = self.shared.records.lock().take();
        match self.write(&batch).await {
            Ok(()) => {
                if batch.closing {
                    self.let_go().await;
                }
                self.written(batch.upto);
            }
            Err(error) => {
                // Another connection next time: nobody knows what state this one is in.
                self.let_go().await;
                self.shared.records.lock().give_back(batch);
                self.failed(error).await;
            }
        }
    }

    /// Whether somebody removed the file that is open.
    fn is_gone(&self) -> bool {
        self.connection.is_some() && !self.path.exists()
    }

    async fn failed(&mut self, error: FileError) {
        match error {
            FileError::Unusable(why) => self.troubled(&why),
            FileError::Damaged(why) => match file::set_aside(&self.path, &why).await {
                // A new file can be begun at once.
                Ok(()) => self.shared.wake.notify_one(),
                Err(error) => self.troubled(&format!("{why}; it cannot be set aside: {error}")),
            },
        }
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), FileError> {
        let connection = if let Some(connection) = &mut self.connection {
            connection
        } else {
            let (mut connection, _) = file::open(&self.path).await.map_err(FileError::Unusable)?;
            file::put_salt(&mut connection, &self.salt).await?;
            self.connection.insert(connection)
        };
        Ok(rows::write(connection, batch).await?)
    }

    /// Closes the file. Waited for, because whoever closes it last removes its log, by name.
    async fn let_go(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await.ok();
        }
    }

    fn written(&mut self, upto: u64) {
        let open = self.connection.is_some();
        let now = Progress { written: upto, open, problem: None };
        let before = self.shared.progress.send_replace(now);
        if before.problem.is_some() {
            tracing::info!(file = %self.path.display(), "the state database is written again");
        }
    }

    fn troubled(&mut self, why: &str) {
        self.shared.progress.send_modify(|progress| progress.problem = Some(why.into()));
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            tracing::warn!(
                file = %self.path.display(),
                why,
                "the state database cannot be written; state is kept in memory until it can be"
            );
        }
    }
}
