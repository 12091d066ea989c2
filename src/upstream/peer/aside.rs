//! The other stream of a hosted service: what its handlers say in calls that are made by their
//! types.
//!
//! Owned by the peer of the first stream, and no calls are made over it. Whoever makes a plain call
//! can neither be asked nor told anything before its answer, so what comes here is news of the
//! server, or meant for somebody who cannot hear it, and never another caller's.

use std::{sync::Arc, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Call, Peer, Shared};
use crate::{
    upstream::{Deadline, Dialogue, dialogue::Inquiries, stream::Nothing},
    wire::method,
};

/// The one that stands for all plain calls.
const PLAIN: u64 = 0;

impl Peer {
    /// Listens to another stream of the same server, as long as to the first. Gives what the server
    /// asks there.
    pub(in crate::upstream) fn also(
        &mut self,
        source: impl AsyncRead + Unpin + Send + 'static,
        sink: impl AsyncWrite + Unpin + Send + 'static,
        limit: usize,
    ) -> &Inquiries {
        let stderr = Arc::clone(&self.shared.stderr);
        let shared = Shared::new(Arc::clone(&self.shared.news), stderr);
        let plain = Call {
            method: method::TOOLS_CALL,
            params: None,
            name: None,
            stamp: None,
            progress: None,
            deadline: Deadline::new(Duration::MAX, Duration::MAX),
            trace: None,
            dialogue: Some(Arc::new(Dialogue::default())),
            acknowledged: None,
            cancellable: false,
        };
        // Never answered: it is there to be found by what names no call.
        drop(shared.pending.register(PLAIN, &plain));
        shared.pending.begin(PLAIN);
        let aside = Self::over(shared, source, sink, Arc::new(Nothing), limit);
        self.aside.insert(Box::new(aside)).inquiries()
    }
}
