//! A client of one revision over HTTP, by raw messages: it answers what it is asked, and every
//! message that it gets is one of its revision.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use reqwest::{RequestBuilder, Response};
use serde_json::{Map, Value, json};
use switchboard::wire::{Era, Revision};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{
    mcp_host::Events,
    support::{http::single, schema::assert_valid},
};

const VERSION: &str = "mcp-protocol-version";
const SESSION: &str = "mcp-session-id";
/// How long a request may take here: less than a test's patience, so that a cell fails by itself.
const LIMIT: Duration = Duration::from_secs(20);

/// A client, and the session that it opened if it is legacy.
pub struct Client {
    pub revision: Revision,
    http: reqwest::Client,
    url: String,
    session: Option<String>,
    last: AtomicU64,
}

/// What a client was told of unasked.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// The names of all tools after the last change.
    pub tools: Vec<String>,
    /// How often each resource was told as updated.
    pub updates: HashMap<String, usize>,
}

/// What came of a request.
#[derive(Debug)]
pub struct Heard {
    /// The result; the test ends at an error.
    pub result: Value,
    /// Requests to the client, in their order.
    pub asked: Vec<Value>,
    /// Notifications, in their order.
    pub told: Vec<Value>,
}

impl Heard {
    /// The text that a tool answered with.
    pub fn text(&self) -> &str {
        self.result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{self:?}"))
    }
}

impl Client {
    pub async fn open(url: &str, revision: Revision) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut client =
            Self { revision, http, url: url.to_owned(), session: None, last: AtomicU64::new(0) };
        if client.is_modern() {
            return client;
        }
        let params = json!({
            "protocolVersion": revision, "capabilities": client.capabilities(),
            "clientInfo": { "name": "it", "version": "1" },
        });
        let message = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params,
        });
        let response = client.post().json(&message).send().await.unwrap();
        let session = response.headers()[SESSION].to_str().unwrap().to_owned();
        let opened = single(revision, response).await;
        assert_eq!(opened["result"]["protocolVersion"], json!(revision), "{opened}");
        client.session = Some(session);
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        client.ask("logging/setLevel", json!({ "level": "info" })).await;
        client
    }

    pub fn is_modern(&self) -> bool {
        self.revision.era() == Era::Modern
    }

    fn capabilities(&self) -> Value {
        let mut capabilities = json!({ "sampling": {}, "roots": {} });
        if self.revision >= Revision::V2025_06_18 {
            capabilities["elicitation"] = json!({});
        }
        if self.is_modern() {
            capabilities["extensions"] = json!({ "io.modelcontextprotocol/tasks": {} });
        }
        capabilities
    }

    fn post(&self) -> RequestBuilder {
        self.headed(self.http.post(&self.url))
    }

    fn headed(&self, request: RequestBuilder) -> RequestBuilder {
        let mut request = request.header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header(SESSION, session);
        }
        if self.revision >= Revision::V2025_06_18 {
            request = request.header(VERSION, self.revision.as_str());
        }
        request
    }

    /// Posts what has no answer of its own.
    async fn send(&self, message: &Value) {
        let response = self.post().json(message).send().await.unwrap();
        assert_eq!(response.status(), 202, "{message}");
    }

    /// Posts a request; gives its id and the response as it begins.
    async fn begin(&self, method: &str, mut params: Value) -> (u64, Response) {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut post = self.post();
        if self.is_modern() {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!(self.revision);
            meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities();
            meta["io.modelcontextprotocol/logLevel"] = json!("info");
            post = post.header("mcp-method", method);
            let subject = match method {
                "resources/read" => "uri",
                "tasks/get" => "taskId",
                _ => "name",
            };
            if let Some(subject) = params[subject].as_str() {
                post = post.header("mcp-name", subject);
            }
        }
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let response = timeout(LIMIT, post.json(&message).send()).await.expect("a response");
        (id, response.unwrap())
    }

    /// Asks for something and answers whatever is asked back.
    pub async fn ask(&self, method: &str, params: Value) -> Heard {
        let (mut asked, mut told) = (Vec::new(), Vec::new());
        let mut again = params.clone();
        loop {
            let (id, response) = self.begin(method, again).await;
            let mut messages = Messages::of(self.revision, response).await;
            let result = loop {
                let message = messages.next(self.revision).await;
                match (message.get("method"), message.get("id")) {
                    (Some(_), Some(id)) => {
                        let answer = reply(&message);
                        self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": answer })).await;
                        asked.push(message);
                    }
                    (Some(_), None) => told.push(message),
                    (None, _) => {
                        assert_eq!(message["id"], id, "{message}");
                        let result = message.get("result");
                        break result.unwrap_or_else(|| panic!("{method}: {message}")).clone();
                    }
                }
            };
            if result["resultType"] != "input_required" {
                return Heard { result, asked, told };
            }
            let wanted = result["inputRequests"].as_object().unwrap();
            let answers: Map<_, _> =
                wanted.iter().map(|(key, question)| (key.clone(), reply(question))).collect();
            asked.extend(wanted.values().cloned());
            again = params.clone();
            again["inputResponses"] = answers.into();
            again["requestState"] = result["requestState"].clone();
        }
    }

    /// Calls a tool that never ends, and cancels it once it is at work.
    pub async fn cancel(&self, params: Value) {
        let (id, response) = self.begin("tools/call", params).await;
        let mut events = Events::of(self.revision, response);
        let progress = timeout(LIMIT, events.message()).await.expect("progress in time");
        assert_eq!(progress["method"], "notifications/progress", "{progress}");
        if !self.is_modern() {
            let params = json!({ "requestId": id });
            let method = "notifications/cancelled";
            self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
            let end = timeout(LIMIT, events.next()).await.expect("an end in time");
            assert!(end.is_none(), "{end:?}");
        }
    }

    /// What the client is told of unasked, from now on. A modern one names the resources that it
    /// watches here, a legacy one when it subscribes to them.
    pub async fn watch(&self, uris: &[String], tasks: &mut JoinSet<()>) -> watch::Receiver<News> {
        let response = if self.is_modern() {
            let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": uris });
            self.begin("subscriptions/listen", json!({ "notifications": filter })).await.1
        } else {
            self.headed(self.http.get(&self.url)).send().await.unwrap()
        };
        let (news, watched) = watch::channel(News::default());
        let client = self.twin();
        tasks.spawn(async move {
            let mut events = Events::of(client.revision, response);
            while let Some(event) = events.next().await {
                match event.data["method"].as_str().unwrap_or_default() {
                    "notifications/tools/list_changed" => {
                        let tools = client.ask("tools/list", json!({})).await.result;
                        let tools = tools["tools"].as_array().unwrap().iter();
                        let names = tools.map(|tool| tool["name"].to_string()).collect();
                        news.send_modify(|news| news.tools = names);
                    }
                    "notifications/resources/updated" => {
                        let uri = event.data["params"]["uri"].as_str().unwrap().to_owned();
                        news.send_modify(|news| *news.updates.entry(uri).or_default() += 1);
                    }
                    _ => {}
                }
            }
        });
        watched
    }

    /// The same session for a task of its own, with ids of its own.
    fn twin(&self) -> Self {
        Self {
            revision: self.revision,
            http: self.http.clone(),
            url: self.url.clone(),
            session: self.session.clone(),
            last: AtomicU64::new(1_000_000),
        }
    }
}

/// What the client answers, whoever asks.
fn reply(asked: &Value) -> Value {
    match asked["method"].as_str().unwrap() {
        "elicitation/create" => json!({ "action": "accept", "content": { "name": "Ada" } }),
        "sampling/createMessage" => json!({
            "role": "assistant", "model": "m", "content": { "type": "text", "text": "Oslo" },
        }),
        "roots/list" => json!({ "roots": [{ "uri": "file:///home/ada" }] }),
        other => panic!("nobody asks {other}"),
    }
}

/// The messages of a response: one of JSON, or those of a stream.
enum Messages {
    Single(Option<Value>),
    Stream(Events),
}

impl Messages {
    async fn of(revision: Revision, response: Response) -> Self {
        let is_stream = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if is_stream {
            return Self::Stream(Events::of(revision, response));
        }
        Self::Single(Some(single(revision, response).await))
    }

    async fn next(&mut self, revision: Revision) -> Value {
        let message = match self {
            Self::Single(message) => message.take().expect("one message"),
            Self::Stream(events) => {
                timeout(LIMIT, events.message()).await.expect("a message in time")
            }
        };
        assert_valid(revision, "JSONRPCMessage", &message);
        message
    }
}
