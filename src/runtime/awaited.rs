//! Calls that wait for a task of their server's: they are under way although no request of theirs
//! may be, so a drain waits for them, and what they ask goes on while new calls are refused.
//!
//! Whoever waits holds an [`Awaited`]. When the drain's time is over, it is told to give up.

use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};

use super::{Answer, CallError, CallRequest, Scope};

/// One such call; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// Cancelled when there is no more time for it.
    pub(crate) given_up: CancellationToken,
    _under_way: TaskTrackerToken,
    _task: TaskTrackerToken,
}

impl Scope {
    /// A call of this scope's begins to wait for its task.
    pub(crate) fn awaited(&self) -> Awaited {
        let exchange = &self.runtime.tree.exchange;
        Awaited {
            given_up: exchange.given_up.clone(),
            _under_way: self.under_way(),
            _task: exchange.awaited.token(),
        }
    }

    /// A call of this scope's is under way as long as this lives, whatever it waits for.
    pub(crate) fn under_way(&self) -> TaskTrackerToken {
        self.runtime.tree.exchange.tracker.token()
    }

    /// Carries out a further request of a call that is under way.
    ///
    /// # Errors
    /// As [`Scope::call`], but never that the runtime is draining.
    pub(crate) async fn go_on(&self, request: CallRequest) -> Result<Answer, CallError> {
        self.runtime.carry_out(&self.owner, request).await
    }

    /// Carries out a request of such a call whose answer nobody waits for.
    pub(crate) fn part(&self, request: CallRequest) {
        // Outside of a tokio runtime there is nobody left who could carry it out.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let scope = self.clone();
            let sent = async move { scope.go_on(request).await.map(drop).ok() };
            self.runtime.tree.exchange.awaited.spawn_on(sent, &runtime);
        }
    }
}
