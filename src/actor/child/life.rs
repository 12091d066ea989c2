//! The present life of a connection, as far as a timeline tells of it.
//!
//! Owned by the supervised connection; times are the clock's, never a decision.

use tokio::time::Instant;

use crate::{
    actor::{
        connection::ConnectionFailure,
        event::{Detail, Down, Via},
        handle::{ConnectionHandle, Live},
    },
    id::Incarnation,
};

/// One life.
#[derive(Debug)]
pub(super) struct Life {
    began: Instant,
    ready: Option<Instant>,
    pid: Option<u32>,
}

impl Life {
    /// A life begins.
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), ready: None, pid: None }
    }

    /// Its link is made.
    pub(super) fn ready(&mut self, handle: &ConnectionHandle, live: &Live) -> Detail {
        self.ready = Some(Instant::now());
        self.pid = live.link.facts().pid;
        let via = Via::of(handle.terms().transport, self.pid);
        Detail::Up { via, took: self.began.elapsed() }
    }

    /// It ended.
    pub(super) fn ended(
        &self,
        handle: &ConnectionHandle,
        incarnation: Incarnation,
        failure: &ConnectionFailure,
    ) -> Detail {
        let (pid, exit) =
            failure.process.clone().map_or((None, None), |(pid, exit)| (pid, Some(exit)));
        let stderr = match failure.trouble {
            Some(_) => handle.stderr.tail(incarnation, Down::LINES, Down::BYTES),
            None => Vec::new(),
        };
        Detail::Down(Down {
            trouble: failure.trouble,
            pid: self.pid.or(pid),
            exit,
            lasted: Some(self.began.elapsed()),
            served: self.ready.map(|ready| ready.elapsed()),
            stderr,
        })
    }
}
