//! Watching resources of a connection, which starts it like a call and keeps it.
//!
//! Part of the connection's handle. What the server is asked for is the table's affair.

use tokio::sync::oneshot;

use super::{ConnectionHandle, Verdict, verdict};
use crate::{
    actor::{call::CallError, watches::Settled},
    upstream::Deadline,
    wire::method,
};

impl ConnectionHandle {
    /// Waits until the server has taken a subscription, inside the deadline; fails at once where
    /// waiting makes no sense.
    pub(crate) async fn settled(
        &self,
        mut settled: oneshot::Receiver<Settled>,
        deadline: &Deadline,
    ) -> Result<(), CallError> {
        let mut standing = self.watch();
        loop {
            {
                let now = standing.borrow_and_update();
                match verdict(now.state) {
                    Verdict::Go | Verdict::Park => {}
                    Verdict::Wake => self.wake(),
                    Verdict::Refuse => return Err(self.unavailable(&now)),
                }
            }
            tokio::select! {
                biased;
                settled = &mut settled => return match settled {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => {
                        let life = self.standing().incarnation;
                        Err(self.failed(method::SUBSCRIBE, error, life))
                    }
                    Err(_) => Err(CallError::Draining),
                },
                changed = standing.changed() => changed.map_err(|_| CallError::Draining)?,
                () = deadline.passed() => return Err(self.late_in_queue()),
            }
        }
    }

    /// Whether it is of use without a call.
    pub(crate) fn is_watched(&self) -> bool {
        self.watches.is_watched()
    }

    /// A connection that somebody watches is not left idle.
    pub(crate) fn wake_if_watched(&self) {
        if self.is_watched() {
            self.wake();
        }
    }
}
