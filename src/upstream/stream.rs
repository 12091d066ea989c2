//! Servers at the other end of a byte stream that the embedding program opens: a socket, a channel
//! of SSH, the streams of a container.
//!
//! One JSON message a line, as over standard streams. A new stream for every link. Closing the
//! stream is all that ends such a server; what stands behind it is the program's affair.

use std::{fmt, io, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, split},
    time::{Instant, timeout},
};

use super::{
    Connect, ConnectContext, ConnectError, Link, LinkEnd,
    channel::Channel,
    era,
    peer::{Body, Peer},
};

/// Makes links over streams that a function opens.
///
/// ```
/// # use std::sync::Arc;
/// use switchboard::{runtime::ServerConfig, upstream::{TransportConfig, stream::ByteStream}};
///
/// let connector = ByteStream::new(|| tokio::net::UnixStream::connect("/run/tools.sock"));
/// let config = ServerConfig::new(TransportConfig::InProcess);
/// // runtime.store().add_connector(name, config, Arc::new(connector)).await?;
/// # let _: (_, Arc<dyn switchboard::upstream::Connect>) = (config, Arc::new(connector));
/// ```
pub struct ByteStream<F> {
    open: Arc<F>,
}

impl<F, O, S> ByteStream<F>
where
    F: Fn() -> O + Send + Sync + 'static,
    O: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    /// A connector that opens a stream for each link.
    pub fn new(open: F) -> Self {
        Self { open: Arc::new(open) }
    }
}

impl<F> fmt::Debug for ByteStream<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream").finish_non_exhaustive()
    }
}

impl<F, O, S> Connect for ByteStream<F>
where
    F: Fn() -> O + Send + Sync + 'static,
    O: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    fn connect(&self, context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let open = Arc::clone(&self.open);
        Box::pin(async move {
            context.stderr.begin(context.incarnation, []);
            let end = Instant::now() + context.timeout;
            let stream = match timeout(context.timeout, open()).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(ConnectError::Transport(error.to_string())),
                Err(_) => {
                    return Err(ConnectError::Transport("the stream was not open in time".into()));
                }
            };
            let (source, sink) = split(stream);
            let stderr = Arc::clone(&context.stderr);
            let peer = Peer::new(source, sink, Arc::new(Nothing), context.message_limit, stderr);
            peer.inquiries().know(context.roots.clone());
            let rest = end.saturating_duration_since(Instant::now());
            let facts = era::agree(&peer, context.protocol, context.abilities, rest)
                .await
                .map_err(|failure| failure.error)?;
            Ok(Link::new(Channel::Stream(peer), facts, context.message_limit))
        })
    }

    fn transport(&self) -> &'static str {
        "pipe"
    }
}

/// What we know to stand behind such a stream: dropping the peer closes the stream.
pub(super) struct Nothing;

impl Body for Nothing {
    fn ended(&self) -> BoxFuture<'_, LinkEnd> {
        std::future::pending().boxed()
    }

    fn end(&self, _: Duration) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    fn kill(&self) {}
}

#[cfg(test)]
mod tests {
    use tokio::io::{
        AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, duplex,
    };

    use super::*;
    use crate::{
        id::{Incarnation, ServerName},
        upstream::{Protocol, StderrRing},
    };

    fn context() -> ConnectContext {
        ConnectContext {
            server: ServerName::new("remote").unwrap(),
            incarnation: Incarnation(1),
            protocol: Protocol::Legacy,
            abilities: crate::wire::Abilities::NONE,
            roots: crate::upstream::Roots::default(),
            timeout: Duration::from_secs(1),
            message_limit: 4096,
            stderr: Arc::new(StderrRing::default()),
            guard: crate::guard::Guard::none(),
        }
    }

    #[tokio::test]
    async fn a_link_runs_over_the_opened_stream_and_closing_it_closes_the_stream() {
        let (ours, theirs) = duplex(4096);
        let ours = parking_lot::Mutex::new(Some(ours));
        let connector = ByteStream::new(move || {
            let stream = ours.lock().take();
            async move { stream.ok_or_else(|| io::ErrorKind::ConnectionRefused.into()) }
        });
        let mut theirs = BufReader::new(theirs);
        let server = async {
            let mut line = String::new();
            theirs.read_line(&mut line).await.unwrap();
            assert!(line.contains("initialize"), "{line}");
            let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
            theirs.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            line.clear();
            theirs.read_line(&mut line).await.unwrap();
            assert!(line.contains("notifications/initialized"), "{line}");
        };
        let (link, ()) = tokio::join!(connector.connect(context()), server);
        let link = link.unwrap();
        link.close(Duration::ZERO).await;
        assert_eq!(link.ended().await, LinkEnd::Stopped);
        drop(link);
        assert_eq!(theirs.read_to_end(&mut Vec::new()).await.unwrap(), 0);

        let refused = connector.connect(context()).await.unwrap_err();
        assert_eq!(refused.to_string(), "transport failed: connection refused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_never_opens_fails_in_time() {
        let connector =
            ByteStream::new(std::future::pending::<io::Result<tokio::io::DuplexStream>>);
        let failed = connector.connect(context()).await.unwrap_err();
        assert_eq!(failed.to_string(), "transport failed: the stream was not open in time");
    }
}
