//! The vital signs of a link: when the server was last heard, and why the link ended.
//!
//! Shared by a link's tasks and its callers; never waits and decides nothing.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::LinkEnd;

/// What is known of a link's life.
#[derive(Debug)]
pub(super) struct Vital {
    start: Instant,
    /// One more than the nanoseconds from `start` to the last message; zero if there was none.
    heard: AtomicU64,
    end: watch::Sender<Option<LinkEnd>>,
}

impl Vital {
    /// A link that lives from now on.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), heard: AtomicU64::new(0), end: watch::Sender::new(None) }
    }

    /// A message was received.
    pub(super) fn hear(&self) {
        let heard = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.heard.store(heard.saturating_add(1), Ordering::Relaxed);
    }

    /// Whether any message was received.
    pub(super) fn has_spoken(&self) -> bool {
        self.heard.load(Ordering::Relaxed) > 0
    }

    /// How long no message was received; since the start if there was none.
    pub(super) fn silent_for(&self) -> Duration {
        let heard = self.heard.load(Ordering::Relaxed).saturating_sub(1);
        self.start.elapsed().saturating_sub(Duration::from_nanos(heard))
    }

    /// The link is over; the first cause stands.
    pub(super) fn publish(&self, end: LinkEnd) {
        self.end.send_if_modified(|published| {
            let first = published.is_none();
            published.get_or_insert(end);
            first
        });
    }

    /// Resolves with the cause when the link is over; any number may wait.
    pub(super) async fn ended(&self) -> LinkEnd {
        let mut end = self.end.subscribe();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(LinkEnd::Stopped),
            Err(_) => LinkEnd::Stopped,
        }
    }

    /// How the link ended, once it has.
    pub(super) fn end(&self) -> Option<LinkEnd> {
        self.end.borrow().clone()
    }
}
