//! A server down to the bytes, which counts connections.

use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::upstream::http::client::Client;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

struct Server {
    listener: TcpListener,
    client: Client,
    address: Uri,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/mcp?a=b", listener.local_addr().unwrap());
        let limit = std::time::Duration::from_secs(5);
        let client = Client::of_network(false, limit).unwrap();
        Self { listener, client, address: address.parse().unwrap() }
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// Answers one request over a connection of its own.
    async fn serve(&self) -> TcpStream {
        let mut stream = self.accept().await;
        hear(&mut stream).await;
        stream.write_all(ANSWER).await.unwrap();
        stream
    }

    async fn send(&self) -> Result<Response<crate::upstream::http::client::Answer>, Error> {
        let mut request = Request::new(Sent::new(Bytes::from_static(b"{}")));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.address.clone();
        self.client.send(request).await
    }

    /// Waits until this process was told that the one connection was closed.
    async fn noticed(&self) {
        let Client::Direct(direct) = &self.client else { unreachable!("it is no https") };
        let is_free = || {
            let mut waiting = direct.waiting.connections.lock();
            waiting.iter_mut().any(|(_, driven)| driven.is_free())
        };
        while is_free() {
            tokio::task::yield_now().await;
        }
    }

    /// Sends a request and reads its answer to the end.
    async fn ask(&self) -> Result<Bytes, Error> {
        let answer = self.send().await?;
        Ok(answer.into_body().collect().await.unwrap().to_bytes())
    }
}

/// Reads one request.
async fn hear(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(b"{}") {
        let read = stream.read_buf(&mut heard).await.unwrap();
        assert!(read > 0, "it ended after {:?}", String::from_utf8_lossy(&heard));
    }
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn an_answer_that_was_read_leaves_its_connection_to_the_next_request() {
    let server = Server::start().await;
    let serve = async {
        let mut stream = server.accept().await;
        for _ in 0..2 {
            let heard = hear(&mut stream).await;
            assert!(heard.starts_with("POST /mcp?a=b HTTP/1.1\r\n"), "{heard}");
            let host = server.address.authority().unwrap();
            assert!(heard.contains(&format!("host: {host}\r\n")), "{heard}");
            stream.write_all(ANSWER).await.unwrap();
        }
        stream
    };
    let ask = async {
        for _ in 0..2 {
            assert_eq!(server.ask().await.unwrap(), "ok");
        }
    };
    let (_stream, ()) = tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_given_no_request() {
    let server = Server::start().await;
    for _ in 0..3 {
        let (answer, stream) = tokio::join!(server.ask(), server.serve());
        assert_eq!(answer.unwrap(), "ok");
        drop(stream);
        server.noticed().await;
    }
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_connection_along() {
    let server = Server::start().await;
    let serve = async {
        let mut stream = server.accept().await;
        hear(&mut stream).await;
        stream.write_all(&ANSWER[..ANSWER.len() - 1]).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        server.serve().await
    };
    let ask = async {
        let unread = server.send().await.unwrap();
        drop(unread);
        assert_eq!(server.ask().await.unwrap(), "ok");
    };
    let (_stream, ()) = tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let server = Server::start().await;
    let (answer, mut stream) = tokio::join!(server.ask(), server.serve());
    assert_eq!(answer.unwrap(), "ok");
    // Not before, because connecting takes real time.
    tokio::time::pause();
    let begun = Instant::now();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert!(begun.elapsed() >= POOL_IDLE / 2);
}

#[tokio::test]
async fn what_breaks_is_told_from_what_was_never_reached() {
    let server = Server::start().await;
    let serve = async {
        let mut stream = server.accept().await;
        hear(&mut stream).await;
        stream.write_all(&ANSWER[..9]).await.unwrap();
    };
    let (broken, ()) = tokio::join!(server.ask(), serve);
    assert!(matches!(broken.unwrap_err(), Error::Broken(_)));
    let Server { listener, client, address } = server;
    drop(listener);
    let mut request = Request::new(Sent::default());
    *request.uri_mut() = address;
    let unreached = client.send(request).await.map(drop).unwrap_err();
    assert!(matches!(unreached, Error::Unreached(_)), "{unreached}");
}
