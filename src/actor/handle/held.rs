//! The bytes that one connection's calls hold: their parameters stay in memory until they are
//! answered, because they may have to be sent to the next incarnation.
//!
//! Bounds calls together where admission bounds their number. It refuses and never waits.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::ConnectionHandle;
use crate::actor::call::CallError;

/// A call's part of the bytes, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    of: &'a AtomicUsize,
    bytes: usize,
}

impl<'a> Held<'a> {
    /// Adds to what is held, unless that would exceed the limit.
    fn take(of: &'a AtomicUsize, bytes: usize, limit: usize) -> Option<Self> {
        let more = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= limit);
        of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { of, bytes })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ConnectionHandle {
    /// Makes room for a call's parameters, within `limits.queue_bytes`.
    pub(crate) fn hold(&self, bytes: usize, limit: usize) -> Result<Held<'_>, CallError> {
        Held::take(&self.held, bytes, limit).ok_or_else(|| self.overloaded_by_bytes(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_exceeds_the_limit_and_is_given_back() {
        let of = AtomicUsize::new(0);
        let first = Held::take(&of, 60, 100).unwrap();
        assert!(Held::take(&of, 41, 100).is_none());
        assert!(Held::take(&of, usize::MAX, usize::MAX).is_none(), "no overflow");
        let second = Held::take(&of, 40, 100).unwrap();
        drop(first);
        drop(second);
        assert_eq!(of.load(Ordering::Relaxed), 0);
    }
}
