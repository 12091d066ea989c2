//! The file of the managed layer: read, written whole, and made anew where it was lost.
//!
//! Owned by the operations. It knows what the layer in force says, because servers that were added
//! must not be lost with a file; what stands in it is the configuration's affair.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

/// One file, and what it said when it was put in force; `None` where there was none.
#[derive(Debug)]
pub(super) struct ManagedFile {
    path: PathBuf,
    in_force: Mutex<Option<String>>,
}

impl ManagedFile {
    /// A file that is in force as it is.
    pub(super) fn new(path: PathBuf) -> Self {
        let file = Self { path, in_force: Mutex::default() };
        file.keep();
        file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; what it said last where it is lost.
    pub(super) fn read(&self) -> io::Result<String> {
        match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(self.in_force.lock().clone().unwrap_or_default())
            }
            read => read,
        }
    }

    /// What it says is in force now. One that is gone meanwhile said what it said last.
    pub(super) fn keep(&self) {
        if let Ok(text) = fs::read_to_string(&self.path) {
            *self.in_force.lock() = Some(text);
        }
    }

    /// Writes it again if it is lost.
    pub(super) fn restore(&self) -> io::Result<()> {
        let text = self.in_force.lock().clone();
        match text {
            Some(text) if !self.path.exists() => self.write(&text),
            _ => Ok(()),
        }
    }

    /// Writes it so that it is whole at every moment, for its owner alone.
    pub(super) fn write(&self, text: &str) -> io::Result<()> {
        let beside = self.path.with_extension("toml.new");
        let mut options = File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&beside, &self.path))
            // What came of it takes up room on a disk that may have none left.
            .inspect_err(|_| drop(fs::remove_file(&beside)))?;
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}
