//! Watches a peer's tasks and what stands behind them, and decides why the link ended.
//!
//! Owns reader and writer. A cause from the process is better than a closed stream, and what the
//! server still said counts; but nobody who waits for an answer waits for a better cause.

use std::{future::Future, io, sync::Arc, time::Duration};

use futures::FutureExt as _;
use tokio::{task::JoinSet, time::timeout};

use super::{Body, Shared};
use crate::upstream::LinkEnd;

/// How long a better cause, or the rest of the server's output, is waited for.
const LINGER: Duration = Duration::from_millis(200);
/// How long a server that is half gone may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// Runs both halves until the link is over, then sees to it that nothing is left of the server.
pub(super) async fn watch(
    shared: Arc<Shared>,
    body: Arc<dyn Body>,
    reader: impl Future<Output = LinkEnd> + Send + 'static,
    writer: impl Future<Output = io::Result<()>> + Send + 'static,
) {
    let mut reading = JoinSet::new();
    reading.spawn(reader);
    let mut writing = JoinSet::new();
    writing.spawn(writer);

    let end = tokio::select! {
        biased;
        end = body.ended() => {
            timeout(LINGER, reading.join_next()).await.ok();
            end
        }
        end = finished(&mut reading) => {
            let known = body.ended().now_or_never();
            shared.finish(known.as_ref().unwrap_or(&end));
            match known {
                Some(known) => known,
                None => timeout(LINGER, body.ended()).await.unwrap_or(end),
            }
        }
        end = broken(&mut writing) => {
            shared.shut();
            shared.pending.refuse(&end);
            timeout(LINGER, reading.join_next()).await.ok();
            timeout(LINGER, body.ended()).await.unwrap_or(end)
        }
    };
    shared.finish(&end);
    let end = shared.pending.ended().unwrap_or(end);
    tracing::debug!(%end, oddities = ?shared.oddities, "link ended");
    shared.vital.publish(end);
    // Its input is closed by now; its output is read on, so that it can end in peace.
    body.end(GRACE).await;
}

/// How reading ended; a panic there must not go unnoticed.
async fn finished(reading: &mut JoinSet<LinkEnd>) -> LinkEnd {
    match reading.join_next().await {
        Some(Ok(end)) => end,
        Some(Err(_)) | None => LinkEnd::Transport("the reader failed, a bug".to_owned()),
    }
}

/// Resolves only if writing failed; a writer that was told to stop says nothing.
async fn broken(writing: &mut JoinSet<io::Result<()>>) -> LinkEnd {
    match writing.join_next().await {
        Some(Ok(Ok(()))) | None => std::future::pending().await,
        Some(Ok(Err(error))) => LinkEnd::Transport(format!("writing failed: {error}")),
        Some(Err(_)) => LinkEnd::Transport("the writer failed, a bug".to_owned()),
    }
}
