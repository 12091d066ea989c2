//! Notices that a configuration file changed, however it was saved.
//!
//! Folders are watched, because editors replace files and clusters swap links; contents are
//! compared, because a touch is no change. It reads nothing into settings: who asked does.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// Quiet after a change, so that one save is one reload.
const QUIET: Duration = Duration::from_millis(300);
/// A folder that never gets quiet is read all the same.
const LONGEST: Duration = Duration::from_secs(2);

type Digests = BTreeMap<PathBuf, Option<[u8; 32]>>;

/// Watches the files that a configuration was read from.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    stirred: Arc<Notify>,
    folders: BTreeSet<PathBuf>,
    seen: Digests,
}

impl Watch {
    /// Watches these files, there or not.
    ///
    /// # Errors
    /// The system has no room for a watch, for example.
    pub(super) fn new(files: &[PathBuf]) -> notify::Result<Self> {
        let stirred = Arc::new(Notify::new());
        let stir = Arc::clone(&stirred);
        let watcher = notify::recommended_watcher(move |_| stir.notify_one())?;
        let mut watch = Self { watcher, stirred, folders: BTreeSet::new(), seen: Digests::new() };
        watch.follow(files);
        watch.seen = digests(files);
        Ok(watch)
    }

    /// Watches the folders of these files from now on.
    pub(super) fn follow(&mut self, files: &[PathBuf]) {
        let folders: BTreeSet<PathBuf> =
            files.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
        for gone in self.folders.difference(&folders) {
            // A folder that is gone is no longer watched anyway.
            self.watcher.unwatch(gone).ok();
        }
        for new in folders.difference(&self.folders) {
            if let Err(error) = self.watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %new.display(), "cannot be watched for changes: {error}");
            }
        }
        self.folders = folders;
    }

    /// Waits until the content of a file differs from what it was. Dropping it loses no change.
    pub(super) async fn changed(&mut self, files: &[PathBuf]) {
        loop {
            self.stirred.notified().await;
            let latest = Instant::now() + LONGEST;
            let mut until = Instant::now() + QUIET;
            while timeout_at(until.min(latest), self.stirred.notified()).await.is_ok() {
                until = Instant::now() + QUIET;
            }
            let now = digests(files);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

/// What the files say, in short; `None` for one that cannot be read.
fn digests(files: &[PathBuf]) -> Digests {
    let digest = |file: &PathBuf| -> io::Result<[u8; 32]> {
        Ok(Sha256::digest(std::fs::read(file)?).into())
    };
    files.iter().map(|file| (file.clone(), digest(file).ok())).collect()
}
