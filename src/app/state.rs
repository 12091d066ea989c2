//! The state directory: where it is, who may use it, and that one process owns it.
//!
//! One for each space. It decides places and holds the lock; what stands in the directory
//! belongs to others.

use std::{
    fs::{DirBuilder, File, Metadata, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use data_encoding::BASE32_NOPAD_VISUAL;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

#[cfg(not(feature = "store-sqlite"))]
use crate::store::MemoryStore;
#[cfg(feature = "store-sqlite")]
use crate::store::SqliteStore;
use crate::store::Store;

/// What a space is called when no configuration file was named.
const DEFAULT_SPACE: &str = "default";
/// Characters of a space's name that are there to be read.
const SLUG: usize = 40;
/// Bytes of the path's hash that keep two files of one name apart.
const HASH: usize = 5;

/// How long the lock of an instance that was killed is waited for: a child that it was about to
/// start holds it until it runs its own program.
const LINGERING: Duration = Duration::from_secs(1);

/// Why there is no state directory.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Nobody said where, and the environment does not either.
    #[error("no place for the state directory: set HOME, or name one with --state-dir")]
    Homeless,
    /// It cannot be used.
    #[error("the state directory {directory} cannot be used; choose another with --state-dir")]
    Unusable {
        /// Where.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{directory} belongs to another instance{}; stop that one, or choose another --state-dir", by(*.pid))]
    Locked {
        /// Where.
        directory: PathBuf,
        /// The other process, if it said.
        pid: Option<u32>,
    },
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// Where an instance keeps its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

/// The state directory is ours until this is dropped, or the process ends in any way.
#[derive(Debug)]
#[must_use = "the directory is free again when the lock is dropped"]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Whether the file of the lock is still the one that others look at.
    pub fn holds(&self) -> bool {
        let place = |file: &Metadata| (file.dev(), file.ino());
        let ours = self.file.metadata().ok();
        ours.is_some() && ours.as_ref().map(place) == self.path.metadata().ok().as_ref().map(place)
    }
}

impl StateDir {
    /// The directory that was named, else the one of the space that the first configuration
    /// file makes. Nothing is created.
    ///
    /// # Errors
    /// [`StateError::Homeless`].
    pub fn locate(named: Option<&Path>, first_file: Option<&Path>) -> Result<Self, StateError> {
        if let Some(named) = named.filter(|path| !path.as_os_str().is_empty()) {
            return Ok(Self(named.to_owned()));
        }
        let folder = |name: &str| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        let home = folder("XDG_STATE_HOME")
            .or_else(|| Some(folder("HOME")?.join(".local/state")))
            .ok_or(StateError::Homeless)?;
        let space = first_file.map_or_else(
            || DEFAULT_SPACE.to_owned(),
            // A file that is not there has a name all the same.
            |file| {
                space(
                    &file
                        .canonicalize()
                        .or_else(|_| std::path::absolute(file))
                        .unwrap_or_else(|_| file.to_owned()),
                )
            },
        );
        Ok(Self(home.join("switchboard").join(space)))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens what outlives the process. The directory must be ours.
    pub async fn store(&self) -> Arc<dyn Store> {
        #[cfg(feature = "store-sqlite")]
        let store = SqliteStore::open(self.0.join("state.db")).await;
        #[cfg(not(feature = "store-sqlite"))]
        let store = MemoryStore::default();
        Arc::new(store)
    }

    /// Makes the directory, for its owner alone, and takes it for this process.
    ///
    /// # Errors
    /// [`StateError`]; `Locked` while another process has it.
    pub async fn acquire(&self) -> Result<Lock, StateError> {
        let unusable = |source| StateError::Unusable { directory: self.0.clone(), source };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.0).map_err(unusable)?;
        let mut options = File::options();
        options.read(true).write(true).create(true).mode(0o600);
        let path = self.0.join("lock");
        let mut file = options.open(&path).map_err(unusable)?;
        let end = Instant::now() + LINGERING;
        while let Err(refused) = file.try_lock() {
            match refused {
                TryLockError::Error(source) => return Err(unusable(source)),
                TryLockError::WouldBlock if Instant::now() < end => sleep(LINGERING / 20).await,
                TryLockError::WouldBlock => {
                    let mut text = String::new();
                    // Without it the message is still true.
                    file.read_to_string(&mut text).ok();
                    let pid = text.trim().parse().ok();
                    return Err(StateError::Locked { directory: self.0.clone(), pid });
                }
            }
        }
        // The file stays where it is when we end: removing it would let two have the lock.
        let named = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        named.map_err(unusable)?;
        Ok(Lock { path, file })
    }
}

/// A name for the space of a configuration file: readable, and its own.
fn space(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    let text = format!("{}-{stem}", folder.to_string_lossy()).to_lowercase();
    let words: Vec<&str> = text
        .split(|found: char| !found.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let slug: String = words.join("-").chars().take(SLUG).collect();
    let digest = Sha256::digest(file.as_os_str().as_encoded_bytes());
    let hash = BASE32_NOPAD_VISUAL.encode(digest.get(..HASH).unwrap_or_default());
    let name = format!("{slug}-{}", hash.to_lowercase());
    name.trim_start_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_space_is_readable_and_its_files_own() {
        let one = space(Path::new("/home/me/My Agents/switchboard.toml"));
        let other = space(Path::new("/srv/My Agents/switchboard.toml"));
        assert!(one.starts_with("my-agents-switchboard-"), "{one}");
        assert_eq!(one.len(), "my-agents-switchboard-".len() + 8);
        assert_ne!(one, other);
        let odd = space(Path::new("/größe"));
        assert!(odd.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{odd}");
        assert!(!space(Path::new("/")).starts_with('-'));
        let long = space(Path::new(&format!("/{}.toml", "x".repeat(300))));
        assert!(long.len() <= SLUG + 9);
    }

    #[test]
    fn a_named_directory_wins_and_one_file_has_one_space() {
        let named = StateDir::locate(Some(Path::new("/s")), Some(Path::new("/a.toml")));
        assert_eq!(named.unwrap().path(), Path::new("/s"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        std::fs::write(&file, "").unwrap();
        let link = folder.path().join("b.toml");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let of = |file| StateDir::locate(None, Some(file)).unwrap();
        assert_eq!(of(&file), of(&link));
        assert_ne!(of(&file), StateDir::locate(None, None).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_directory_has_one_owner_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir(folder.path().join("deep/state"));
        let lock = state.acquire().await.unwrap();
        let mode = state.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let error = state.acquire().await.unwrap_err();
        let own = std::process::id();
        assert!(matches!(error, StateError::Locked { pid: Some(pid), .. } if pid == own));
        assert!(error.to_string().contains(&format!("(process {own})")));
        assert!(lock.holds());
        drop(lock);
        let lock = state.acquire().await.unwrap();
        std::fs::remove_dir_all(state.path()).unwrap();
        assert!(!lock.holds(), "nobody looks at a file that was removed");
        let again = state.acquire().await.unwrap();
        assert!(again.holds() && !lock.holds());
    }
}
