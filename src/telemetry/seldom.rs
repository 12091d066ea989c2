//! Warnings of the exporter, seldom: a collector that is down says the same every few seconds.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// Between two warnings of the exporter.
const EVERY: Duration = Duration::from_mins(1);

/// Lets one event of the exporter's through in a minute, and everything else.
#[derive(Debug)]
pub(super) struct Seldom {
    start: Instant,
    /// Seconds from the start until the next may pass.
    next: AtomicU64,
}

impl Default for Seldom {
    fn default() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(0) }
    }
}

impl Seldom {
    fn passes(&self, target: &str, now: Duration) -> bool {
        if !target.starts_with("opentelemetry") {
            return true;
        }
        let (next, later) = (self.next.load(Ordering::Relaxed), (now + EVERY).as_secs());
        let relaxed = Ordering::Relaxed;
        now.as_secs() >= next && self.next.compare_exchange(next, later, relaxed, relaxed).is_ok()
    }
}

impl<S: Subscriber> Filter<S> for Seldom {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        metadata.is_span() || self.passes(metadata.target(), self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exporter_is_heard_once_a_minute_and_everybody_else_always() {
        let seldom = Seldom::default();
        let at = Duration::from_secs;
        let passed = (0..150).filter(|second| seldom.passes("opentelemetry_sdk", at(*second)));
        assert_eq!(passed.count(), 3);
        assert!((0..150).all(|second| seldom.passes("switchboard::app", at(second))));
    }
}
