//! Progress of one request: in order, never backwards, never waiting for a slow reader.
//!
//! One sink for a request's whole way, so that values increase (MCP, progress) from our own words
//! while it waits to every server that it is sent to.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{
    Deadline,
    room::{Allowance, Room},
};
use crate::wire::{Object, RawValue, raw};

/// What our own words add to the value: so little that a server's first step exceeds them.
const STEP: f64 = 1e-4;

/// One progress notification: its raw parameters, with the upstream leg's token.
#[derive(Debug)]
pub struct Progress {
    /// Raw `ProgressNotificationParams`; the receiver sets its own `progressToken`.
    pub params: Box<RawValue>,
    _room: Room,
}

/// Where progress of one request goes, in order; clones go to the same place.
///
/// Bounded in number, and to 4 MiB: what a slow reader leaves no room for is dropped, because
/// progress is a hint.
#[derive(Clone, Debug)]
pub struct ProgressSink {
    sender: mpsc::Sender<Progress>,
    allowance: Allowance,
    /// The value that was passed on last.
    last: Arc<Mutex<f64>>,
}

impl ProgressSink {
    /// A sink and its other end, where so many notifications may wait to be read.
    ///
    /// # Panics
    /// If there is room for none.
    pub fn new(room: usize) -> (Self, mpsc::Receiver<Progress>) {
        let (sender, receiver) = mpsc::channel(room);
        let last = Arc::new(Mutex::new(f64::NEG_INFINITY));
        (Self { sender, allowance: Allowance::new(), last }, receiver)
    }

    /// Passes a server's progress on, if it exceeds the last.
    pub(crate) fn pass(&self, value: f64, params: &RawValue) {
        let mut last = self.last.lock();
        if value > *last {
            *last = value;
            if let Some(room) = self.allowance.take(params.get().len()) {
                self.sender.try_send(Progress { params: params.to_owned(), _room: room }).ok();
            }
        }
    }

    /// Hands on what another sink has passed.
    pub(crate) fn hand_on(&self, progress: Progress) {
        self.sender.try_send(progress).ok();
    }

    /// Says in words of our own what the request waits for. It extends no deadline.
    pub(crate) fn say(&self, message: &str) {
        #[derive(Serialize)]
        struct Words<'a> {
            progress: f64,
            message: &'a str,
        }
        let progress = self.last.lock().max(0.0) + STEP;
        self.pass(progress, &raw(&Words { progress, message }));
    }
}

/// What a progress notification says that matters on the way.
pub(super) struct Said {
    /// The leg's own token.
    pub(super) progress_token: u64,
    /// How far it is.
    pub(super) progress: f64,
}

impl Said {
    /// Reads the parameters of a progress notification.
    pub(super) fn read(params: &RawValue) -> Option<Self> {
        let params = Object::read(params)?;
        let progress_token = params.typed("progressToken")?;
        Some(Self { progress_token, progress: params.typed("progress")? })
    }
}

/// Where the progress of one sending goes.
#[derive(Debug)]
pub(super) struct Track {
    sink: ProgressSink,
    deadline: Deadline,
}

impl Track {
    /// Progress extends the deadline.
    pub(super) const fn new(sink: ProgressSink, deadline: Deadline) -> Self {
        Self { sink, deadline }
    }

    /// The server is at work; whoever asked hears of it if the value exceeds the last.
    pub(super) fn pass(&self, value: f64, params: &RawValue) {
        self.deadline.touch();
        self.sink.pass(value, params);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_unread_is_bounded_in_bytes_and_makes_room_when_it_is_read() {
        let (sink, mut unread) = ProgressSink::new(64);
        let long = raw(&"x".repeat(1 << 20));
        for value in 0..9 {
            sink.pass(f64::from(value), &long);
        }
        let mut read = 0;
        while unread.try_recv().is_ok() {
            read += 1;
        }
        assert_eq!(read, 3, "a fourth one exceeds 4 MiB by its quotes");
        sink.pass(9.0, &long);
        assert!(unread.try_recv().is_ok());
    }
}
