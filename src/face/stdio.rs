//! MCP over our own standard streams: one client, one line for each message, both eras.
//!
//! The first `initialize` or the first modern request fixes the era for good; before it,
//! `server/discover` and `ping` are answered as probes. Calls run at the same time. Nothing but
//! messages is written.

mod conversation;
mod lines;

use std::{io, sync::Arc, time::Duration};

use conversation::Conversation;
use lines::{Line, Lines};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{access::Gate, id::Owner, wire::Pieces};

/// Messages that wait for a client that does not read; then its calls wait.
const WAITING: usize = 64;

/// How the streams are served.
#[derive(Clone, Debug)]
pub struct StdioOptions {
    /// Whose view the client sees.
    pub owner: Owner,
    /// The longest line that is read, in bytes; a longer one is refused and skipped.
    pub line_bytes: usize,
    /// How long calls in flight may take once the input has ended or we stop.
    pub grace: Duration,
}

/// Serves one client until its input ends or `stop` is cancelled, then finishes what is in
/// flight within the grace.
///
/// # Errors
/// When a stream fails; that the client ended or closed one of them is no failure.
pub async fn serve<R, W>(
    reader: R,
    writer: W,
    gate: Arc<Gate>,
    options: StdioOptions,
    stop: CancellationToken,
) -> io::Result<()>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    let (out, waiting) = mpsc::channel(WAITING);
    let grace = options.grace;
    let converse = converse(reader, out, gate, options, stop.clone());
    let write = write(writer, waiting);
    tokio::pin!(converse, write);
    tokio::select! {
        // The writer ends first only when nobody reads: then there is nobody to talk to.
        written = &mut write => written,
        read = &mut converse => {
            // A client that reads nothing would never let us go.
            let patience = async {
                stop.cancelled().await;
                sleep(grace).await;
            };
            tokio::select! {
                written = write => written?,
                () = patience => tracing::warn!("the client did not read its last messages"),
            }
            read
        }
    }
}

async fn converse<R: AsyncRead + Unpin>(
    reader: R,
    out: mpsc::Sender<Pieces>,
    gate: Arc<Gate>,
    options: StdioOptions,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut lines = Lines::new(reader, options.line_bytes);
    let mut conversation = Conversation::new(gate, options.owner, out);
    let read = loop {
        tokio::select! {
            line = lines.next() => match line {
                Ok(None) => break Ok(()),
                Ok(Some(Line::Text(line))) => conversation.receive(&line).await,
                Ok(Some(Line::TooLong)) => conversation.refuse_length().await,
                Err(error) => break Err(error),
            },
            due = conversation.due() => conversation.tend(due).await,
            () = stop.cancelled() => break Ok(()),
        }
    };
    if timeout(options.grace, conversation.finish()).await.is_err() {
        tracing::warn!("the client's input ended and its calls did not; they are cancelled");
    }
    read
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut waiting: mpsc::Receiver<Pieces>,
) -> io::Result<()> {
    let written = async {
        while let Some(line) = waiting.recv().await {
            for piece in line.between(Vec::new(), b"\n") {
                writer.write_all(&piece).await?;
            }
            // A burst is flushed once.
            if waiting.is_empty() {
                writer.flush().await?;
            }
        }
        writer.flush().await
    };
    match written.await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
