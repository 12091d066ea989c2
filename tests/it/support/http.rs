//! MCP over HTTP by hand, in both eras: what is sent is what the test says, and every answer is
//! checked against the published schema of its revision.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use switchboard::wire::Revision;

use super::outgoing::to_client;

/// A client of one endpoint.
pub struct Client {
    http: reqwest::Client,
    url: String,
    next_id: AtomicU64,
}

impl Client {
    /// For an endpoint such as `http://127.0.0.1:1234/mcp`.
    pub fn new(url: impl Into<String>) -> Self {
        Self::with(reqwest::Client::builder(), url)
    }

    /// The same over HTTP/2: many requests at a time over one connection.
    pub fn multiplexed(url: impl Into<String>) -> Self {
        Self::with(reqwest::Client::builder().http2_prior_knowledge(), url)
    }

    fn with(http: reqwest::ClientBuilder, url: impl Into<String>) -> Self {
        let http = http.no_proxy().build().unwrap();
        Self { http, url: url.into(), next_id: AtomicU64::new(1) }
    }

    /// A bare POST with what every request needs, for tests of what is refused.
    pub fn post(&self) -> RequestBuilder {
        self.http.post(&self.url).header("accept", "application/json, text/event-stream")
    }

    /// A modern request: its parameters get the `_meta` that the revision demands, and the headers
    /// repeat what they must.
    pub async fn modern(&self, method: &str, params: Value) -> Reply {
        self.attempt(method, params).await.unwrap()
    }

    /// The same where the connection may break, even in the middle of the answer.
    pub async fn attempt(&self, method: &str, mut params: Value) -> reqwest::Result<Reply> {
        let meta = &mut params["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = json!(Revision::LATEST);
        let declared = &mut meta["io.modelcontextprotocol/clientCapabilities"];
        if declared.is_null() {
            *declared = json!({});
        }
        meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "it", "version": "1"});
        let mut post = self
            .post()
            .header("mcp-protocol-version", Revision::LATEST.as_str())
            .header("mcp-method", method);
        let subject = match method {
            "resources/read" => "uri",
            method if method.starts_with("tasks/") => "taskId",
            _ => "name",
        };
        if let Some(name) = params[subject].as_str() {
            post = post.header("mcp-name", name);
        }
        let reply = self.send(post, method, params).await?;
        reply.check(Revision::LATEST, method);
        Ok(reply)
    }

    /// Every tool, in modern requests, all pages.
    pub async fn tools(&self) -> Vec<Value> {
        let mut tools = Vec::new();
        let mut params = json!({});
        loop {
            let reply = self.modern("tools/list", params).await;
            let page = reply.result();
            tools.extend_from_slice(page["tools"].as_array().unwrap());
            let Some(cursor) = page.get("nextCursor") else {
                return tools;
            };
            params = json!({ "cursor": cursor });
        }
    }

    /// Calls a tool in a modern request.
    pub async fn call(&self, tool: &str, arguments: Value) -> Reply {
        let params = json!({"name": tool, "arguments": arguments});
        self.modern("tools/call", params).await
    }

    /// Opens a legacy session.
    pub async fn initialize(&self, revision: Revision) -> Session<'_> {
        let params = json!({
            "protocolVersion": revision,
            "capabilities": {},
            "clientInfo": {"name": "it", "version": "1"},
        });
        let reply = self.send(self.post(), "initialize", params).await.unwrap();
        reply.check(revision, "initialize");
        let id = reply.headers.get("mcp-session-id").expect("a session id");
        let session = Session {
            client: self,
            id: id.to_str().unwrap().to_owned(),
            revision,
            server: reply.result().clone(),
        };
        let status = session.notify("notifications/initialized", json!({})).await;
        assert_eq!(status, 202);
        session
    }

    async fn send(
        &self,
        post: RequestBuilder,
        method: &str,
        params: Value,
    ) -> reqwest::Result<Reply> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        Reply::read(id, post.json(&message).send().await?).await
    }
}

/// A legacy session.
pub struct Session<'a> {
    client: &'a Client,
    id: String,
    revision: Revision,
    /// The result of `initialize`.
    pub server: Value,
}

impl Session<'_> {
    /// A request of this session.
    pub async fn request(&self, method: &str, params: Value) -> Reply {
        let reply = self.client.send(self.post(), method, params).await.unwrap();
        reply.check(self.revision, method);
        reply
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Reply {
        let params = json!({"name": tool, "arguments": arguments});
        self.request("tools/call", params).await
    }

    /// Sends a notification and returns the HTTP status.
    pub async fn notify(&self, method: &str, params: Value) -> u16 {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        let response = self.post().json(&message).send().await.unwrap();
        response.status().as_u16()
    }

    /// Opens a stream of what belongs to no request.
    pub async fn stream(&self) -> reqwest::Response {
        let get = self.client.http.get(&self.client.url).header("accept", "text/event-stream");
        self.headers(get).send().await.unwrap()
    }

    /// Ends the session and returns the HTTP status.
    pub async fn end(self) -> u16 {
        let delete = self.client.http.delete(&self.client.url);
        let response = self.headers(delete).send().await.unwrap();
        response.status().as_u16()
    }

    /// What was agreed on.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// A bare POST of this session.
    pub fn post(&self) -> RequestBuilder {
        self.headers(self.client.post())
    }

    fn headers(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header("mcp-session-id", &self.id);
        // The header came with 2025-06-18; older clients do not know it.
        if self.revision >= Revision::V2025_06_18 {
            request.header("mcp-protocol-version", self.revision.as_str())
        } else {
            request
        }
    }
}

/// What came back: one response, and the notifications before it if it was a stream.
#[derive(Debug)]
pub struct Reply {
    id: u64,
    /// The HTTP status.
    pub status: u16,
    /// The HTTP headers.
    pub headers: HeaderMap,
    messages: Vec<Value>,
}

impl Reply {
    async fn read(id: u64, response: reqwest::Response) -> reqwest::Result<Self> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.text().await?;
        let streamed = headers
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let texts: Vec<String> = if streamed { events(&body) } else { vec![body] };
        let messages = texts
            .iter()
            .map(|text| {
                serde_json::from_str(text).unwrap_or_else(|why| panic!("{status} {text:?}: {why}"))
            })
            .collect();
        Ok(Self { id, status, headers, messages })
    }

    /// The response, with the request's id.
    #[track_caller]
    pub fn response(&self) -> &Value {
        let mut found = self.messages.iter().filter(|message| message["id"] == self.id);
        match (found.next(), found.next()) {
            (Some(response), None) => response,
            _ => panic!("not exactly one response: {self:#?}"),
        }
    }

    /// The result; an error fails the test.
    #[track_caller]
    pub fn result(&self) -> &Value {
        let response = self.response();
        response.get("result").unwrap_or_else(|| panic!("{response:#}"))
    }

    /// The error; a result fails the test.
    #[track_caller]
    pub fn error(&self) -> &Value {
        let response = self.response();
        response.get("error").unwrap_or_else(|| panic!("{response:#}"))
    }

    /// The text of a successful call's first content block.
    #[track_caller]
    pub fn text(&self) -> &str {
        let result = self.result();
        assert_ne!(result["isError"], true, "{result:#}");
        result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result:#}"))
    }

    /// Notifications of one method, in their order.
    pub fn notifications(&self, method: &str) -> Vec<&Value> {
        let of_method = |message: &&Value| message["method"] == method;
        self.messages.iter().filter(of_method).collect()
    }

    /// Every message is one of the revision's, and a result is of the type that the method gives.
    #[track_caller]
    fn check(&self, revision: Revision, method: &str) {
        for message in &self.messages {
            to_client(revision, Some(method), message);
        }
        self.response();
    }
}

/// A body that is one message to a client of this revision, or a batch of them.
pub async fn single(revision: Revision, response: reqwest::Response) -> Value {
    let message = response.json().await.unwrap();
    to_client(revision, None, &message);
    message
}

/// The data of every event of a finished stream; comments and events without data are left out.
fn events(body: &str) -> Vec<String> {
    body.replace("\r\n", "\n")
        .split("\n\n")
        .map(|event| {
            let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
            let lines: Vec<&str> =
                lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
            lines.join("\n")
        })
        .filter(|data| !data.is_empty())
        .collect()
}
