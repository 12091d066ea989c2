//! What stands behind a stream: a process, a hosted service, nothing that could be ended.
//!
//! Owned by a peer and implemented by the transports. A service of this process may also be called
//! beside its stream; who called and what becomes of it stays with the peer.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio_util::sync::DropGuard;

use super::{Answer, Shared};
use crate::upstream::LinkEnd;

/// What stands behind a stream.
pub(in crate::upstream) trait Body: Send + Sync {
    /// Its process.
    fn pid(&self) -> Option<u32> {
        None
    }

    /// Resolves with the cause when it has ended by itself.
    fn ended(&self) -> BoxFuture<'_, LinkEnd>;

    /// Ends it after its input was closed: `grace` to end by itself, then more and more firmly.
    fn end(&self, grace: Duration) -> BoxFuture<'_, ()>;

    /// Ends it at once, with everything that it started.
    fn kill(&self);

    /// A way to it beside the stream, where there is one.
    fn direct(&self) -> Option<&dyn Direct> {
        None
    }
}

/// Carries calls of tools out beside the stream.
pub(in crate::upstream) trait Direct: Send + Sync {
    /// Begins such a call, by its JSON parameters; it is cancelled when the guard is dropped.
    /// `None` if only the stream can carry it out, or nobody waits for it any more.
    fn call_tool(&self, params: &str, answering: Answering) -> Option<DropGuard>;
}

/// Where the answer to a request goes that is carried out beside the stream.
pub(in crate::upstream) struct Answering {
    shared: Arc<Shared>,
    id: u64,
}

impl Answering {
    pub(super) fn new(shared: &Arc<Shared>, id: u64) -> Self {
        Self { shared: Arc::clone(shared), id }
    }

    /// The request's id.
    pub(in crate::upstream) const fn id(&self) -> u64 {
        self.id
    }

    /// It is carried out from now on; false where it must not be, because its caller was told that
    /// it never will.
    pub(in crate::upstream) fn begins(&self) -> bool {
        self.shared.pending.begin(self.id)
    }

    /// Answers it.
    pub(in crate::upstream) fn send(self, answer: Answer) {
        self.shared.vital.hear();
        self.shared.pending.answer(self.id, || answer);
    }
}
