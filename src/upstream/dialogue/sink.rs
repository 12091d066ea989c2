//! The way from a server to whoever made a call. Bounded in number and in bytes; it never waits
//! for a reader.

use tokio::sync::mpsc::{
    self, Receiver, Sender,
    error::{SendError, TrySendError},
};

use super::Told;
use crate::upstream::room::{Allowance, Room};

/// What is told in a dialogue, in order. Bounded: a request that finds no room is declined; log
/// messages and notifications of extensions that do not, or exceed 4 MiB together, are dropped.
#[derive(Clone, Debug)]
pub struct DialogueSink {
    sender: Sender<Told>,
    allowance: Allowance,
}

impl DialogueSink {
    /// A sink and its other end, where so many may wait to be read.
    ///
    /// # Panics
    /// If there is room for none.
    pub fn new(room: usize) -> (Self, Receiver<Told>) {
        let (sender, receiver) = mpsc::channel(room);
        (Self { sender, allowance: Allowance::new() }, receiver)
    }

    /// Tells it once there is room for it.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub async fn send(&self, told: Told) -> Result<(), SendError<Told>> {
        self.sender.send(told).await
    }

    /// Tells it if there is room for it.
    ///
    /// # Errors
    /// There is none, or nobody reads any more.
    pub fn try_send(&self, told: Told) -> Result<(), TrySendError<Told>> {
        self.sender.try_send(told)
    }

    /// Tells what may be lost and holds so many bytes; false where there is no room.
    pub(super) fn aside(&self, bytes: usize, told: impl FnOnce(Room) -> Told) -> bool {
        let room = self.allowance.take(bytes);
        room.is_some_and(|room| self.sender.try_send(told(room)).is_ok())
    }
}
