//! Tasks and timers that an actor owns: they report back by message, end with their owner, and a panic in
//! one of them becomes a message too.
//!
//! The only way in which an actor waits for anything; a handler never does.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use ractor::{ActorRef, Message};
use tokio::task::{AbortHandle, JoinSet};

use super::leak::Roll;

/// The tasks of one actor; dropped with its state, they are aborted.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    set: JoinSet<()>,
    roll: Roll,
}

impl Tasks {
    /// Starts a task. `kind` says what it does; if it panics, `panicked` is told in words.
    pub(crate) fn spawn(
        &mut self,
        kind: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
        panicked: impl FnOnce(String) + Send + 'static,
    ) {
        // Finished tasks are taken out here, so the set never grows beyond those under way.
        while self.set.try_join_next().is_some() {}
        let mark = cfg!(debug_assertions).then(|| self.roll.enter(kind));
        self.set.spawn(async move {
            let _mark = mark;
            if let Err(payload) = AssertUnwindSafe(task).catch_unwind().await {
                panicked(words(payload.as_ref()));
            }
        });
    }

    /// Aborts all of them.
    pub(crate) fn clear(&mut self) {
        self.set = JoinSet::new();
    }

    /// Which of them live, in a debug build; it outlives them.
    pub(crate) fn roll(&self) -> Roll {
        self.roll.clone()
    }
}

/// One timer of an actor: setting it again replaces it, and it ends with its owner.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<AbortHandle>);

impl Timer {
    /// Sends a message after a delay, instead of what was set before.
    pub(crate) fn set<M: Message>(
        &mut self,
        actor: &ActorRef<M>,
        delay: Duration,
        message: impl FnOnce() -> M + Send + 'static,
    ) {
        self.clear();
        self.0 = Some(actor.send_after(delay, message).abort_handle());
    }

    /// Sends nothing.
    pub(crate) fn clear(&mut self) {
        if let Some(timer) = self.0.take() {
            timer.abort();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.clear();
    }
}

fn words(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_in_words() {
        let mut tasks = Tasks::default();
        let (tell, told) = tokio::sync::oneshot::channel();
        tasks.spawn("panic", async { panic!("so it goes") }, |words| {
            tell.send(words).unwrap_or_default();
        });
        assert_eq!(told.await.unwrap(), "so it goes");
    }
}
