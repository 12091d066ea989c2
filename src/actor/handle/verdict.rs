//! Whether a call goes on, waits or is refused, by where the connection stands.
//!
//! Pure. It knows states and no calls.

use crate::restart::State;

/// What a call does about a standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    Park,
    /// Park, and ask the supervisor to start the connection.
    Wake,
    Refuse,
}

/// The verdict for each state: a connection that will be tried soon is worth waiting for.
pub(super) const fn verdict(state: State) -> Verdict {
    match state {
        State::Ready => Verdict::Go,
        State::Connecting | State::Backoff => Verdict::Park,
        State::Idle => Verdict::Wake,
        State::Open | State::HalfOpen | State::Draining | State::Stopped | State::Failed => {
            Verdict::Refuse
        }
    }
}
