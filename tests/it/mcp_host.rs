//! What the tests of the MCP face share: an embedded runtime with one scripted server behind a
//! real listener, and an event stream read as it comes.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use switchboard::{
    access::Gate,
    face::http::{HttpFace, HttpFaceConfig, RunningFace},
    id::{AgentId, ServerName},
    runtime::{AgentConfig, Runtime, RuntimeConfig, RuntimeHandle, ServerConfig},
    upstream::TransportConfig,
    wire::Revision,
};
use tokio::time::timeout;

use crate::support::{
    http::Client,
    outgoing::to_client,
    script::{Script, text},
    tap::tapped,
    wait::PATIENCE,
};

/// What the store's one server is called.
pub const SERVER: &str = "demo";
/// An agent without servers of its own.
pub const AGENT: &str = "research";
/// The longest body that the listener takes.
pub const BODY_BYTES: usize = 64 * 1024;

/// A runtime behind a listener.
pub struct Host {
    /// What runs.
    pub runtime: RuntimeHandle,
    face: RunningFace,
    /// What the server does.
    pub script: Script,
}

impl Host {
    /// With default settings.
    pub async fn start(script: Script) -> Self {
        Self::with(script, HttpFaceConfig::default(), 1000).await
    }

    /// With a listener's settings and a page size.
    pub async fn with(script: Script, config: HttpFaceConfig, page_size: u32) -> Self {
        let (runtime, gate) = runtime(&script, page_size).await;
        let config = HttpFaceConfig { port: 0, ..config };
        let face = HttpFace::bind(&config).await.unwrap().serve(BODY_BYTES, gate, None);
        Self { runtime, face, script }
    }

    /// An address of the listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.face.local_addr())
    }

    /// A client of the store's view.
    pub fn client(&self) -> Client {
        Client::new(self.url("/mcp"))
    }

    /// Stops the listener in order, which must not take its whole time; the runtime ends with its
    /// last handle.
    pub async fn stop(self) {
        let stopped = timeout(PATIENCE, self.face.stop(tokio::time::sleep(PATIENCE * 2))).await;
        stopped.expect("nothing was in flight");
    }

    /// Adds a tool to the server that runs.
    pub async fn grow(&self, tool: &str) {
        grow(&self.runtime, &self.script, tool).await;
    }
}

/// Adds a tool and has the server listed again; returns once the view has it.
pub async fn grow(runtime: &RuntimeHandle, script: &Script, tool: &str) {
    drop(Script::clone(script).tool(tool, async |_| Ok(text("new"))));
    let mut changes = runtime.store().changes().unwrap();
    runtime.store().restart(&ServerName::new(SERVER).unwrap()).await.unwrap();
    timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
}

/// A runtime with one scripted server that is ready.
pub async fn runtime(script: &Script, page_size: u32) -> (RuntimeHandle, Arc<Gate>) {
    let mut config = RuntimeConfig::default();
    config.limits.page_size = page_size;
    config.agents.insert(AgentId::new(AGENT).unwrap(), AgentConfig::default());
    let runtime = Runtime::spawn(config).await.unwrap();
    let server = ServerName::new(SERVER).unwrap();
    let store = runtime.store();
    let config = ServerConfig::new(TransportConfig::InProcess);
    store.add_connector(server.clone(), config, tapped(script)).await.unwrap();
    store.wait_ready(&server, PATIENCE).await.unwrap();
    let gate = Gate::new(runtime.clone());
    (runtime, gate)
}

/// The parameters of a modern request.
pub fn modern(mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(Revision::LATEST);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    params
}

/// A modern request with its headers, not sent yet.
pub fn modern_post(
    client: &Client,
    id: &Value,
    method: &str,
    params: Value,
) -> reqwest::RequestBuilder {
    let mut post = client
        .post()
        .header("mcp-protocol-version", Revision::LATEST.as_str())
        .header("mcp-method", method);
    if let Some(name) = params["name"].as_str() {
        post = post.header("mcp-name", name);
    }
    let params = modern(params);
    post.json(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

/// One event of a stream.
#[derive(Debug)]
pub struct Event {
    /// Its id.
    pub id: Option<String>,
    /// The message; null for an event without data.
    pub data: Value,
}

/// An event stream, read as it comes.
pub struct Events {
    revision: Revision,
    response: reqwest::Response,
    text: String,
}

impl Events {
    /// Reads a response that is a stream for a client of this revision.
    #[track_caller]
    pub fn of(revision: Revision, response: reqwest::Response) -> Self {
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["x-accel-buffering"], "no");
        Self { revision, response, text: String::new() }
    }

    /// The next event; `None` at the stream's end. Comments are skipped.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let Some(event) = event(&block) else { continue };
                if !event.data.is_null() {
                    to_client(self.revision, None, &event.data);
                }
                return Some(event);
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("an event in time");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        loop {
            let event = self.next().await.expect("a message before the stream's end");
            if !event.data.is_null() {
                return event.data;
            }
        }
    }
}

fn event(block: &str) -> Option<Event> {
    let field =
        |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = field("data");
    let id = field("id").map(str::to_owned);
    if data.is_none() && id.is_none() {
        return None;
    }
    let data = data.filter(|data| !data.is_empty());
    Some(Event {
        id,
        data: data.map(|data| serde_json::from_str(data).unwrap()).unwrap_or_default(),
    })
}

/// A listener's settings with short pauses on its streams.
pub fn talkative() -> HttpFaceConfig {
    HttpFaceConfig { keep_alive: Duration::from_secs(1), ..HttpFaceConfig::default() }
}
