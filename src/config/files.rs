//! The files that a configuration was looked for in, and what each said, in short.
//!
//! Whoever reads a file for the configuration reads it through here, so that a change of any of
//! them can be noticed. It keeps digests, never texts.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

type Digest = [u8; 32];

/// Files by their paths; those that could not be read are among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Option<Digest>>);

impl Files {
    /// Reads a file as text, and remembers it.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<String> {
        let read = contents(path);
        self.0.insert(path.to_owned(), read.as_deref().ok().map(digest));
        String::from_utf8(read?).map_err(|_| io::Error::other("it is not text in UTF-8"))
    }

    /// Remembers a file that will say this.
    pub(crate) fn will_say(&mut self, path: &Path, text: &str) {
        self.0.insert(path.to_owned(), Some(digest(text.as_bytes())));
    }

    /// Remembers a file that counts by being there.
    pub(crate) fn look(&mut self, path: &Path) {
        self.0.insert(path.to_owned(), contents(path).as_deref().ok().map(digest));
    }

    /// Every path, of files that are there and of those that are not.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// What the same files say now.
    #[must_use]
    pub fn now(&self) -> Self {
        let mut now = Self::default();
        self.paths().for_each(|path| now.look(path));
        now
    }

    /// Files that said something before, and are looked for in vain or are empty: one that is being
    /// written is empty for a moment.
    pub fn gone_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a Path> {
        let says = |said: Option<&Digest>| said.is_some_and(|said| *said != digest(b""));
        let silent = self.0.iter().filter(move |(_, said)| !says(said.as_ref()));
        let spoke = move |path: &Path| says(before.0.get(path).and_then(Option::as_ref));
        silent.map(|(path, _)| path.as_path()).filter(move |path| spoke(path))
    }
}

/// What a file says. A pipe or a device may keep its reader for ever, and says it only once.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file; copy it to one"));
    }
    std::fs::read(path)
}

fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_from_a_touch_and_a_file_that_is_gone_from_one_that_never_was() {
        let folder = tempfile::tempdir().unwrap();
        let (file, never) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&file, "one").unwrap();
        let mut files = Files::default();
        assert_eq!(files.read(&file).unwrap(), "one");
        assert!(files.read(&never).is_err());
        std::fs::write(&file, "one").unwrap();
        assert_eq!(files.now(), files);
        std::fs::write(&file, "two").unwrap();
        assert_ne!(files.now(), files);
        std::fs::write(&file, "").unwrap();
        assert_eq!(files.now().gone_since(&files).collect::<Vec<_>>(), [&file]);
        let empty = files.now();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(files.now().gone_since(&files).collect::<Vec<_>>(), [&file]);
        assert_eq!(empty.now().gone_since(&empty).count(), 0);
    }
}
