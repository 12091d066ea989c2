//! Notices that a configuration file changed, however it was saved.
//!
//! Folders are watched, because editors replace files and clusters swap links; contents are
//! compared, because a touch is no change. It reads nothing into settings: who asked does.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::config::Files;

/// Quiet after a change, so that one save is one reload.
const QUIET: Duration = Duration::from_millis(300);
/// A folder that never gets quiet is read all the same.
const LONGEST: Duration = Duration::from_secs(2);

/// Watches the files that a configuration was read from.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    stirred: Arc<Notify>,
    /// Something happened, or may have happened, that was not looked at yet.
    pending: bool,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The system has no room for a watch, for example.
    pub(super) fn new() -> notify::Result<Self> {
        let stirred = Arc::new(Notify::new());
        let stir = Arc::clone(&stirred);
        let watcher = notify::recommended_watcher(move |event| {
            if !only_read(&event) {
                stir.notify_one();
            }
        })?;
        // A file may have changed since it was read.
        Ok(Self { watcher, stirred, pending: true, folders: BTreeSet::new() })
    }

    /// Waits until one of these files says something else than it did. Dropping it loses no
    /// change.
    pub(super) async fn changed(&mut self, files: &Files) {
        loop {
            self.follow(files);
            if !self.pending {
                self.stirred.notified().await;
                self.pending = true;
            }
            let latest = Instant::now() + LONGEST;
            let mut until = Instant::now() + QUIET;
            while timeout_at(until.min(latest), self.stirred.notified()).await.is_ok() {
                until = Instant::now() + QUIET;
            }
            self.pending = false;
            if files.now() != *files {
                return;
            }
        }
    }

    fn follow(&mut self, files: &Files) {
        let folders: BTreeSet<PathBuf> = files.paths().flat_map(folders).collect();
        for gone in self.folders.difference(&folders) {
            // A folder that is gone is no longer watched anyway.
            self.watcher.unwatch(gone).ok();
        }
        for folder in &folders {
            // Also those that are watched, because another one may be there under the name.
            let watched = self.watcher.watch(folder, RecursiveMode::NonRecursive);
            if let Err(error) = watched
                && !self.folders.contains(folder)
            {
                tracing::warn!(folder = %folder.display(), "cannot be watched for changes: {error}");
            }
        }
        self.folders = folders;
    }
}

/// Where a change of a file shows: its folder, or the nearest one that there is, and the folder of
/// what it links to.
fn folders(file: &Path) -> impl Iterator<Item = PathBuf> {
    let near = |file: &Path| {
        let above = file.ancestors().skip(1).find(|folder| folder.is_dir());
        above.map(Path::to_owned)
    };
    let target = file.canonicalize().ok().and_then(|file| near(&file));
    near(file).into_iter().chain(target)
}

/// Whether a file was merely looked at, as we do ourselves.
fn only_read(event: &notify::Result<Event>) -> bool {
    let kind = event.as_ref().map(|event| event.kind);
    matches!(kind, Ok(EventKind::Access(access)) if access != AccessKind::Close(AccessMode::Write))
}
