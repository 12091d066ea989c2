//! Room for what a slow reader has not read: bytes of notifications that wait at most.
//!
//! Each reader has its own. It only counts; whatever finds no room is dropped by those who ask.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of notifications of one kind that wait for one reader at most.
const HELD: usize = 4 << 20;

/// The room of one reader; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<Semaphore>);

/// A place in the room of a reader; it is free again when this is dropped.
#[derive(Debug)]
pub struct Room {
    _held: OwnedSemaphorePermit,
}

impl Allowance {
    /// All of it is free.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(HELD)))
    }

    /// A place for so many bytes, unless there are fewer.
    pub(super) fn take(&self, bytes: usize) -> Option<Room> {
        let bytes = u32::try_from(bytes).ok()?;
        let held = Arc::clone(&self.0).try_acquire_many_owned(bytes).ok()?;
        Some(Room { _held: held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_makes_room_again() {
        let allowance = Allowance::new();
        let first = allowance.take(HELD - 1).unwrap();
        assert!(allowance.take(2).is_none());
        let _second = allowance.take(1).unwrap();
        drop(first);
        assert!(allowance.take(HELD - 1).is_some());
        assert!(allowance.take(HELD + 1).is_none());
    }
}
