//! Where there is no guard: processes are started as they are, and end with their runtime.
//!
//! For systems other than Linux; untested.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Launch, Launched, no_pipe};

/// Nothing to keep.
#[derive(Debug)]
pub(super) struct Keeper;

/// Nothing to forget.
#[derive(Debug)]
pub(crate) struct Entry;

/// No program can be a guard here.
pub(super) const fn guard_of_this_program() -> Keeper {
    Keeper
}

impl Keeper {
    pub(super) fn new(_program: Option<PathBuf>) -> Self {
        Self
    }

    pub(super) fn with_ledger(&self, _directory: &Path) -> io::Result<Self> {
        Ok(Self)
    }

    #[cfg(feature = "cli")]
    pub(super) fn reap_strangers(&self) {}
}

pub(super) async fn launch(_keeper: &Arc<Keeper>, launch: Launch<'_>) -> io::Result<Launched> {
    let mut child = launch.plain().spawn()?;
    let input = child.stdin.take().ok_or_else(no_pipe)?;
    Ok(Launched { child, input, entry: Entry })
}
