//! Progress of one request: in order, never backwards, never waiting for a slow reader.

use serde::Deserialize;

use super::{Deadline, Progress, ProgressSink};
use crate::wire::RawValue;

/// What a progress notification says that matters on the way.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    /// The leg's own token.
    pub(super) progress_token: u64,
    /// How far it is.
    pub(super) progress: f64,
}

impl Said {
    /// Reads the parameters of a progress notification.
    pub(super) fn read(params: &RawValue) -> Option<Self> {
        serde_json::from_str(params.get()).ok()
    }
}

/// Where a request's progress goes.
#[derive(Debug)]
pub(super) struct Track {
    sink: ProgressSink,
    last: f64,
    deadline: Deadline,
}

impl Track {
    /// Progress extends the deadline.
    pub(super) const fn new(sink: ProgressSink, deadline: Deadline) -> Self {
        Self { sink, last: f64::NEG_INFINITY, deadline }
    }

    /// Passes progress on if it exceeds the last.
    pub(super) fn pass(&mut self, value: f64, params: &RawValue) {
        self.deadline.touch();
        if value > self.last {
            self.last = value;
            // What a slow reader leaves no room for is dropped: progress is a hint.
            self.sink.try_send(Progress { params: params.to_owned() }).ok();
        }
    }
}
