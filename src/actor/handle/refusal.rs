//! What a caller is told when a call has no answer: one sentence that a model can act on, and the
//! facts behind it for a program.
//!
//! Says above all whether the call was sent. Nothing that a server printed stands in it.

use std::{sync::atomic::Ordering, time::Duration};

use bytesize::ByteSize;
use tokio::time::Instant;

use super::{ConnectionHandle, Standing};
use crate::{
    actor::call::{CallError, Delivery, Failure, spoken},
    error::Kind,
    id::Incarnation,
    restart::State,
    upstream::RequestError,
    wire::method,
};

impl ConnectionHandle {
    fn failure(&self, kind: Kind, phase: Delivery, text: String) -> Failure {
        let standing = self.standing.borrow();
        Failure {
            kind,
            server: self.seat.server.clone(),
            incarnation: standing.incarnation,
            phase,
            written: None,
            retry_after: standing.next.map(|next| next.saturating_duration_since(Instant::now())),
            text,
        }
    }

    pub(super) fn unavailable(&self, standing: &Standing) -> CallError {
        let retry_after = standing.next.map(|next| next.saturating_duration_since(Instant::now()));
        let what = match standing.state {
            _ if self.is_removed() => "was removed",
            State::Open | State::HalfOpen => "keeps failing and is paused",
            State::Failed if standing.next.is_some() => "failed",
            State::Failed => "failed and will not be tried again until an operator steps in",
            State::Stopped => "is stopped",
            State::Draining => "is being shut down",
            State::Idle | State::Connecting | State::Ready | State::Backoff => "is restarting",
        };
        let next = retry_after.map(|after| format!(", next try in {}", spoken(after)));
        let text = format!(
            "{} {what}{}; the call was not sent",
            self.seat.server,
            next.unwrap_or_default()
        );
        CallError::Failed(Failure {
            kind: Kind::Unavailable,
            server: self.seat.server.clone(),
            incarnation: standing.incarnation,
            phase: Delivery::Queued,
            written: None,
            retry_after,
            text,
        })
    }

    /// What is told of a name that this server may have, but was never ready to say.
    pub(crate) fn unlisted(&self) -> CallError {
        let standing = self.standing();
        match standing.state {
            _ if self.is_removed() => self.unavailable(&standing),
            State::Idle | State::Connecting | State::Ready | State::Backoff => self.late_in_queue(),
            State::Open | State::HalfOpen | State::Draining | State::Stopped | State::Failed => {
                self.unavailable(&standing)
            }
        }
    }

    pub(super) fn overloaded(&self, waiting: usize) -> CallError {
        let calls = if waiting == 1 { "call" } else { "calls" };
        self.full(&format!("has {waiting} {calls} waiting, which is its limit"))
    }

    pub(super) fn overloaded_by_bytes(&self, limit: usize) -> CallError {
        let limit = ByteSize::b(u64::try_from(limit).unwrap_or(u64::MAX));
        self.full(&format!("has calls of {limit} to answer, which is its limit"))
    }

    fn full(&self, of_what: &str) -> CallError {
        let text =
            format!("{} {of_what}; the call was not sent, try again in a moment", self.seat.server);
        let mut failure = self.failure(Kind::Overloaded, Delivery::Queued, text);
        failure.retry_after = failure.retry_after.or(Some(Duration::from_secs(1)));
        CallError::Failed(failure)
    }

    pub(super) fn busy(&self, retry_after: Duration) -> CallError {
        let text = format!(
            "{} has too much to do and asks for a pause of {}; the call was not executed",
            self.seat.server,
            spoken(retry_after)
        );
        let mut failure = self.failure(Kind::Unavailable, Delivery::Queued, text);
        failure.retry_after = Some(retry_after);
        CallError::Failed(failure)
    }

    pub(super) fn late_in_queue(&self) -> CallError {
        let why = match self.standing.borrow().state {
            State::Ready => "was busy with other calls",
            State::Idle | State::Connecting => "was still starting",
            State::Backoff
            | State::Open
            | State::HalfOpen
            | State::Draining
            | State::Stopped
            | State::Failed => "was restarting",
        };
        let text =
            format!("{} {why} until the deadline passed; the call was not sent", self.seat.server);
        CallError::Failed(self.failure(Kind::Timeout, Delivery::Queued, text))
    }

    /// Nobody ended a call at its deadline: it is counted, and may be with its server.
    pub(crate) fn outlived(&self) -> CallError {
        self.stats.overdue.fetch_add(1, Ordering::Relaxed);
        let (owner, server) = (&self.owner, &self.seat.server);
        tracing::error!(%owner, %server, "a call outlived its deadline and was ended, a bug");
        let text = format!(
            "{server} did not answer before the deadline; the call was given up but may have run, \
             check before repeating"
        );
        CallError::Failed(self.failure(Kind::Timeout, Delivery::Written, text))
    }

    pub(super) fn failed(
        &self,
        asked: &str,
        error: RequestError,
        incarnation: Incarnation,
    ) -> CallError {
        let name = &self.seat.server;
        let mut written_ago = None;
        let (kind, phase, text) = match error {
            RequestError::Server(error) => {
                return CallError::Server { server: name.clone(), error };
            }
            RequestError::NotSent(_)
            | RequestError::Busy { .. }
            | RequestError::Timeout { sent: false } => return self.late_in_queue(),
            RequestError::Refused(why) => (
                Kind::Upstream,
                Delivery::Queued,
                match asked {
                    method::TOOLS_CALL => format!("{name} did not execute the call: {why}"),
                    asked => format!("{name} did not execute {asked}: {why}"),
                },
            ),
            RequestError::Timeout { sent: true } => (
                Kind::Timeout,
                Delivery::Written,
                format!(
                    "{name} did not answer before the deadline; the call was cancelled but may have run, check before repeating"
                ),
            ),
            RequestError::Lost { written, .. } => {
                written_ago = Some(written.elapsed());
                (
                    Kind::OutcomeUnknown,
                    Delivery::Written,
                    format!(
                        "{name} was lost after the call was sent; it may have run, check before repeating"
                    ),
                )
            }
            RequestError::Malformed(why) => (
                Kind::Upstream,
                Delivery::Written,
                format!("{name} gave an answer that cannot be used: {why}"),
            ),
        };
        let failure = self.failure(kind, phase, text);
        CallError::Failed(Failure { incarnation, written: written_ago, ..failure })
    }
}
