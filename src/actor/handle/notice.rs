//! What a caller that asked for progress hears while its call waits: why, and until when.
//!
//! Words only; it neither ends a wait nor extends a deadline. Nothing that a server printed stands
//! in them.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::ConnectionHandle;
use crate::{actor::call::spoken, restart::State, upstream::ProgressSink};

/// A wait that is shorter is none worth telling of.
const FIRST: Duration = Duration::from_secs(1);
/// How often a waiting caller hears of it: often enough for a person and for a client's patience.
const EVERY: Duration = Duration::from_secs(5);

/// Tells one caller of its waits.
#[derive(Debug)]
pub(crate) struct Notices<'a> {
    sink: Option<&'a ProgressSink>,
    /// Nothing is told before.
    quiet_until: Instant,
}

impl<'a> Notices<'a> {
    /// For a caller that asked for progress, or for one that did not.
    pub(crate) fn new(sink: Option<&'a ProgressSink>) -> Self {
        Self { sink, quiet_until: Instant::now() }
    }

    /// Waits, and says these words from time to time.
    pub(crate) async fn during<T>(
        &mut self,
        wait: impl Future<Output = T>,
        words: impl Fn() -> String,
    ) -> T {
        let Some(sink) = self.sink else { return wait.await };
        let mut wait = pin!(wait);
        let mut due = self.quiet_until.max(Instant::now() + FIRST);
        loop {
            if let Ok(outcome) = timeout_at(due, &mut wait).await {
                return outcome;
            }
            sink.say(&words());
            due = Instant::now() + EVERY;
            self.quiet_until = due;
        }
    }
}

impl ConnectionHandle {
    /// It waits for others to leave.
    pub(super) fn is_queued(&self) -> String {
        format!("{} is busy with other calls; the call waits its turn", self.seat.server)
    }

    /// It waits for a connection.
    pub(super) fn is_parked(&self) -> String {
        let (standing, server) = (self.standing.borrow(), &self.seat.server);
        let what = match standing.state {
            State::Connecting if standing.cause.is_none() => "is starting",
            State::Idle => "is starting",
            State::Ready => "is back",
            State::Connecting
            | State::Backoff
            | State::Open
            | State::HalfOpen
            | State::Draining
            | State::Stopped
            | State::Failed => "is restarting",
        };
        let next = standing.next.map(|next| next.saturating_duration_since(Instant::now()));
        let next = next.map(|after| format!(", next try in {}", spoken(after)));
        format!("{server} {what}{}; the call waits", next.unwrap_or_default())
    }

    /// It waits because its server has too much to do.
    pub(super) fn is_put_off(&self) -> String {
        format!("{} has too much to do and asks for a pause; the call waits", self.seat.server)
    }
}
