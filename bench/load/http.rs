//! HTTP/1.1 by hand on one connection that stays open, so that the generator is cheap: a modern
//! `tools/call`, answered as JSON.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::measure::{Caller, TEXT};

/// One caller's connection.
pub struct Connection {
    stream: TcpStream,
    host: String,
    received: Vec<u8>,
}

/// A response's status and body.
pub struct Response {
    pub status: u16,
    pub body: String,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: address.to_string(), received: Vec::with_capacity(16 * 1024) })
    }

    /// One modern request with a fresh id; `params` is the inside of an object, before `_meta`.
    pub async fn request(
        &mut self,
        method: &str,
        name: Option<&str>,
        params: &str,
    ) -> Result<Response> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"load","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        );
        let name = name.map(|name| format!("Mcp-Name: {name}\r\n")).unwrap_or_default();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}Content-Length: {}\r\n\r\n{body}",
            self.host,
            body.len(),
        );
        self.stream.write_all(request.as_bytes()).await?;
        let response = self.response().await?;
        ensure!(
            response.status == 200 && response.body.contains(&format!("\"id\":{id}")),
            "{method} was answered {}: {}",
            response.status,
            response.body
        );
        Ok(response)
    }

    async fn response(&mut self) -> Result<Response> {
        self.received.clear();
        let end_of_head = loop {
            self.receive().await?;
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(self.received.get(..end_of_head).unwrap_or_default());
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let length = header(&head, "content-length").context("an answer without a length")?;
        let end = end_of_head + length.parse::<usize>()?;
        while self.received.len() < end {
            self.receive().await?;
        }
        let body = self.received.get(end_of_head..end).unwrap_or_default();
        Ok(Response { status, body: String::from_utf8(body.to_vec())? })
    }

    async fn receive(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }
}

impl Caller for Connection {
    async fn call(&mut self) -> Result<()> {
        let params = format!("\"name\":\"demo0_echo\",\"arguments\":{{\"text\":\"{TEXT}\"}},");
        let response = self.request("tools/call", Some("demo0_echo"), &params).await?;
        ensure!(!response.body.contains("\"isError\":true"), "{}", response.body);
        Ok(())
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}
