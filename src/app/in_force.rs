//! What configuration is in force, since when, and what put it there.
//!
//! Plain data of `Operations`, which alone changes it.

use serde::Serialize;
use tokio::time::Instant;

use crate::config::Files;

/// The files whose settings are in force.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) files: Files,
    since: Instant,
    by: String,
}

/// The same, for whoever asks.
#[derive(Debug, Serialize)]
pub(super) struct Since {
    for_ms: u64,
    by: String,
}

impl InForce {
    /// From now on these.
    pub(super) fn new(files: Files, by: &str) -> Self {
        Self { files, since: Instant::now(), by: by.to_owned() }
    }

    /// Since when, and by what.
    pub(super) fn since(&self) -> Since {
        let past = self.since.elapsed().as_millis();
        Since { for_ms: u64::try_from(past).unwrap_or(u64::MAX), by: self.by.clone() }
    }
}
