//! HTTP/1.1 by hand on one connection that stays open, so that the generator is cheap: requests of
//! modern and of legacy clients, answered as JSON or as a stream of events.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::measure::Caller;

/// What every modern request says of its client; without a closing brace, so that more may follow.
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"load","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}"#;

/// Asks for progress.
const TOKEN: &str = r#","progressToken":"p""#;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One client's connection.
pub struct Connection {
    stream: TcpStream,
    host: SocketAddr,
    path: String,
    /// A legacy client's, once it has one.
    session: Option<String>,
    received: Vec<u8>,
}

impl Connection {
    /// Connects as a modern client.
    pub async fn open(host: SocketAddr, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let received = Vec::with_capacity(16 * 1024);
        Ok(Self { stream, host, path: path.to_owned(), session: None, received })
    }

    /// Connects and opens a legacy session.
    pub async fn legacy(host: SocketAddr, path: &str) -> Result<Self> {
        let mut connection = Self::open(host, path).await?;
        let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1"}}}"#;
        let head = connection.exchange("", hello).await?;
        connection.session = header(&head, "mcp-session-id").map(ToOwned::to_owned);
        let done = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        connection.exchange(&connection.legacy_headers(), done).await?;
        Ok(connection)
    }

    fn legacy_headers(&self) -> String {
        let session = self.session.as_ref();
        let session = session.map(|id| format!("Mcp-Session-Id: {id}\r\n")).unwrap_or_default();
        format!("{session}MCP-Protocol-Version: 2025-11-25\r\n")
    }

    /// A legacy client's own stream, which stays open; nothing of it is read but its head.
    pub async fn listen(mut self) -> Result<Self> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n{}\r\n",
            self.path,
            self.host,
            self.legacy_headers(),
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.received.clear();
        let end = self.head().await?;
        ensure!(status(&self.text(0, end)) == Some("200"), "{}", self.text(0, end));
        Ok(self)
    }

    /// A request with a fresh id; gives the answer's body, as it came.
    pub async fn request(&mut self, method: &str, name: &str, params: &str) -> Result<String> {
        self.asked(method, name, params, "").await
    }

    /// The same, for an answer with progress before it.
    pub async fn with_progress(
        &mut self,
        method: &str,
        name: &str,
        params: &str,
    ) -> Result<String> {
        self.asked(method, name, params, TOKEN).await
    }

    async fn asked(
        &mut self,
        method: &str,
        name: &str,
        params: &str,
        meta: &str,
    ) -> Result<String> {
        let (headers, body, id) = self.prepared(method, name, params, meta);
        let head = self.exchange(&headers, &body).await?;
        let end = head.len();
        let body = self.text(end, self.received.len());
        ensure!(body.contains(&format!("\"id\":{id}")), "{method} was answered {head}{body}");
        Ok(body)
    }

    /// Headers and body of a request; `params` is the inside of an object that goes on.
    fn prepared(
        &self,
        method: &str,
        name: &str,
        params: &str,
        meta: &str,
    ) -> (String, String, u64) {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let start =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}"#);
        if self.session.is_some() {
            let body = format!("{}}}}}", start.trim_end_matches(','));
            return (self.legacy_headers(), body, id);
        }
        let name = if name.is_empty() { String::new() } else { format!("Mcp-Name: {name}\r\n") };
        let headers = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}");
        (headers, format!("{start}{META}{meta}}}}}}}"), id)
    }

    /// Posts a body and reads the whole answer, whose head it gives.
    async fn exchange(&mut self, headers: &str, body: &str) -> Result<String> {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n",
            self.path,
            self.host,
            body.len(),
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body.as_bytes());
        self.stream.write_all(&request).await?;
        self.received.clear();
        let end = self.head().await?;
        let head = self.text(0, end);
        match header(&head, "content-length") {
            Some(length) => {
                let all = end + length.parse::<usize>()?;
                while self.received.len() < all {
                    self.receive().await?;
                }
            }
            // A body in chunks ends with an empty one; none of ours contains such an end.
            None if header(&head, "transfer-encoding").is_some() => {
                while !self.received.ends_with(b"\r\n0\r\n\r\n") {
                    self.receive().await?;
                }
            }
            None => {}
        }
        let fine = status(&head).is_some_and(|status| status.starts_with('2'));
        ensure!(fine, "it was answered {}", self.text(0, self.received.len().min(2000)));
        Ok(head)
    }

    async fn head(&mut self) -> Result<usize> {
        loop {
            self.receive().await?;
            let end = self.received.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                return Ok(end + 4);
            }
        }
    }

    async fn receive(&mut self) -> Result<()> {
        if self.received.capacity() - self.received.len() < 4096 {
            self.received.reserve(self.received.len().max(4096));
        }
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }

    fn text(&self, from: usize, to: usize) -> String {
        String::from_utf8_lossy(self.received.get(from..to).unwrap_or_default()).into_owned()
    }
}

/// Calls `echo` of one server with one text, again and again.
pub struct Echo {
    pub connection: Connection,
    /// As the server in between knows it.
    pub tool: String,
    /// Comes back.
    pub text: String,
    /// Asks for progress, so that the answer may be a stream.
    pub progress: bool,
}

impl Caller for Echo {
    async fn call(&mut self) -> Result<()> {
        let params =
            format!("\"name\":\"{}\",\"arguments\":{{\"text\":\"{}\"}},", self.tool, self.text);
        let meta = if self.progress { TOKEN } else { "" };
        let (headers, body, id) = self.connection.prepared("tools/call", &self.tool, &params, meta);
        let head = self.connection.exchange(&headers, &body).await?;
        let received = &self.connection.received;
        // All of a large answer would cost more to search than to carry.
        let length = received.len();
        let first = self.connection.text(head.len(), length.min(head.len() + 300));
        let last = self.connection.text(length.saturating_sub(300).max(head.len()), length);
        let id = format!("\"id\":{id}");
        let fine = length - head.len() > self.text.len()
            && (first.contains(&id) || last.contains(&id))
            && !last.contains("\"isError\":true")
            && !first.contains("\"error\":");
        ensure!(fine, "a call was answered {head}{first} … {last}");
        Ok(())
    }
}

fn status(head: &str) -> Option<&str> {
    head.split(' ').nth(1)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// What listens there answers to a GET.
pub async fn get(host: SocketAddr, path: &str) -> Result<String> {
    let mut connection = Connection::open(host, path).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    connection.stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.stream.read_to_string(&mut answer).await.context(path.to_owned())?;
    Ok(answer)
}
