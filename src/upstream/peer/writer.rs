//! The writing half: what is queued goes out in few writes.
//!
//! Knows exactly which requests the kernel has accepted. The gate makes that knowledge final:
//! once it is shut, nothing more goes out, so "not written" can never become untrue.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::Instant,
};

use super::Shared;

/// Lines that are taken from the queue at a time.
const BATCH: usize = 64;

/// One line, its newline included.
pub(super) struct Outgoing {
    /// The request that it is.
    pub(super) id: Option<u64>,
    /// Its bytes.
    pub(super) line: Vec<u8>,
}

/// Lines that go out together.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// The requests among them, and where each ends.
    ends: Vec<(u64, usize)>,
}

/// Writes until the queue or the link ends, then closes the server's input.
pub(super) async fn run(
    shared: Arc<Shared>,
    lines: mpsc::Receiver<Outgoing>,
    mut sink: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let written = write(&shared, lines, &mut sink).await;
    sink.shutdown().await.ok();
    written
}

async fn write(
    shared: &Shared,
    mut lines: mpsc::Receiver<Outgoing>,
    sink: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut queued = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            () = shared.shut.cancelled() => return Ok(()),
            count = lines.recv_many(&mut queued, BATCH) => if count == 0 {
                return Ok(());
            },
            () = shared.wake.notified() => {}
        }
        let mut batch = Batch::default();
        shared.pending.take(&mut queued, &mut |outgoing| batch.add(outgoing));
        tokio::select! {
            biased;
            () = shared.shut.cancelled() => return Ok(()),
            written = batch.write(shared, sink) => written?,
        }
    }
}

impl Batch {
    fn add(&mut self, Outgoing { id, mut line }: Outgoing) {
        if self.bytes.is_empty() {
            self.bytes = line;
        } else {
            self.bytes.append(&mut line);
        }
        self.ends.extend(id.map(|id| (id, self.bytes.len())));
    }

    async fn write(&self, shared: &Shared, sink: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut from = 0;
        while from < self.bytes.len() {
            from += poll_fn(|context| self.offer(shared, Pin::new(sink), context, from)).await?;
        }
        sink.flush().await
    }

    /// Offers the kernel what it has not taken yet, and notes which requests it took.
    fn offer(
        &self,
        shared: &Shared,
        sink: Pin<&mut impl AsyncWrite>,
        context: &mut Context<'_>,
        from: usize,
    ) -> Poll<io::Result<usize>> {
        let gate = shared.gate.lock();
        if *gate == Gate::Shut {
            // The task ends by the token that follows the gate.
            return Poll::Pending;
        }
        let rest = self.bytes.get(from..).unwrap_or_default();
        let count = ready!(sink.poll_write(context, rest))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let taken = from + 1..=from + count;
        let ids = self.ends.iter().filter(|(_, end)| taken.contains(end)).map(|(id, _)| *id);
        shared.pending.written(ids, Instant::now());
        Poll::Ready(Ok(count))
    }
}

/// Whether anything may still be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Gate {
    /// It may.
    #[default]
    Open,
    /// It may not.
    Shut,
}
