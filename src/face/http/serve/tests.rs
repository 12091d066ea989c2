//! Connections in memory, with a clock that can be paused.

use std::{future::pending, io};

use axum::{Router, routing::get};
use bytes::Bytes;
use futures::stream;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
    time::{Instant, timeout},
};
use tower::ServiceExt as _;

use super::*;

/// Every answer of `/late` takes so long.
const LATE: Duration = Duration::from_mins(20);
const WHOLE: &str = "GET /now HTTP/1.1\r\nHost: x\r\n\r\n";

/// Routes alone.
impl Answer for Router {
    async fn answer(self, request: Request<Body>, _is_local: IsLocal) -> Response {
        self.oneshot(request).await.unwrap()
    }
}

struct Pipes(mpsc::Receiver<DuplexStream>);

impl Listener for Pipes {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        match self.0.recv().await {
            Some(stream) => (stream, SocketAddr::from(([127, 0, 0, 1], 1))),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
    }
}

fn served() -> (Served, mpsc::Sender<DuplexStream>) {
    let (connect, accepted) = mpsc::channel(1);
    let late = || async {
        let rest = async {
            timeout(LATE, pending::<()>()).await.ok();
            Ok::<_, io::Error>(Bytes::from_static(b"late"))
        };
        Body::from_stream(stream::once(rest))
    };
    let app = Router::new().route("/now", get(|| async { "now" })).route("/late", get(late));
    (Served::start(Pipes(accepted), app, Life::default()), connect)
}

/// What comes back until the connection is closed, and how long that takes.
async fn until_closed(connect: &mpsc::Sender<DuplexStream>, sent: &str) -> (String, Duration) {
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let start = Instant::now();
    connect.send(theirs).await.unwrap();
    ours.write_all(sent.as_bytes()).await.unwrap();
    let mut came = Vec::new();
    // A connection that is dropped with bytes unread is an end as well.
    ours.read_to_end(&mut came).await.ok();
    (String::from_utf8_lossy(&came).into_owned(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_head_does_not_come_is_closed() {
    let (served, connect) = served();
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for sent in ["", "GET /now HT", "GET /now HTTP/1.1\r\nHost:", "PRI * HTT", preface] {
        let (_, took) = until_closed(&connect, sent).await;
        assert!(took <= Duration::from_secs(30), "{sent:?}: {took:?}");
    }
    let (came, took) = until_closed(&connect, &format!("{WHOLE}GET /now HTTP/1.1\r\n")).await;
    assert!(came.ends_with("now"), "{came}");
    assert!(took <= Duration::from_mins(2), "{took:?}");
    served.stop(pending()).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_its_time_is_not_cut() {
    let (served, connect) = served();
    let late = WHOLE.replace("now", "late");
    let (came, took) = until_closed(&connect, &late).await;
    assert!(came.contains("late"), "{came}");
    assert!(took > LATE, "{took:?}");
    served.stop(pending()).await;
}
