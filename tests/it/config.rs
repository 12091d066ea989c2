//! Configurations as people have them: files of every client, layers, and what goes wrong.
#![cfg(feature = "cli")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use switchboard::config::{ConfigErrors, Loaded, Sources, load};

mod builtin;
mod clients;
mod layers;
mod no_files;
mod problems;
mod secrets;

/// A folder with configuration files, and the environment around it.
struct Space {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Space {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            env: BTreeMap::from([("HOME".to_owned(), "/home/ada".to_owned())]),
            executable: PathBuf::from("/opt/switchboard"),
            folder: folder.path().to_owned(),
            ..Sources::default()
        };
        Self { folder, sources }
    }

    /// A file that is configured.
    fn file(mut self, name: &str, text: &str) -> Self {
        self.sources.files.push(name.into());
        self.beside(name, text)
    }

    /// A file that only lies there.
    fn beside(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn load(&self) -> Result<Loaded, ConfigErrors> {
        load(&self.sources)
    }

    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The problems, one a line.
    fn problems(&self) -> Vec<String> {
        let errors = self.load().unwrap_err();
        errors.problems.iter().map(ToString::to_string).collect()
    }
}

/// A file under `tests/it/config`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config").join(name)
}
