//! A server down to the bytes: it says what a test wrote and keeps what it heard as it came.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex},
};

use switchboard::{
    id::ServerName,
    runtime::{RuntimeHandle, ServerConfig},
    upstream::{TransportConfig, http::HttpConfig, stream::ByteStream},
    wire::{Message, Object},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex, split},
    task::JoinSet,
};

use super::web::{self, Way};
use crate::support::{outgoing::Leg, upstream::Upstream, wait::PATIENCE};

/// What it lists: raw arrays of definitions.
#[derive(Clone, Debug)]
pub struct Offer {
    pub tools: String,
    pub prompts: String,
    pub resources: String,
    pub templates: String,
}

/// A server that follows. Clones share it.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    is_modern: bool,
    is_strict: bool,
    offer: Offer,
    state: Mutex<State>,
    lives: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct State {
    /// The lines for each message to come; `$ID` and `$TOKEN` are those of the last request.
    lines: VecDeque<Vec<String>>,
    heard: Vec<String>,
    id: String,
    token: String,
}

impl Server {
    /// Strict, it ends the test where it hears what is not of its revision.
    pub fn new(is_modern: bool, is_strict: bool, offer: Offer) -> Self {
        let (state, lives) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { is_modern, is_strict, offer, state, lives }))
    }

    /// Adds it to the store, behind lines, and waits until it is ready.
    pub async fn join(&self, runtime: &RuntimeHandle, name: &str) {
        let name = ServerName::new(name).unwrap();
        let server = self.clone();
        let open = move || std::future::ready(io::Result::Ok(server.live()));
        let config = ServerConfig::new(TransportConfig::InProcess);
        let store = runtime.store();
        store.add_connector(name.clone(), config, Arc::new(ByteStream::new(open))).await.unwrap();
        store.wait_ready(&name, PATIENCE).await.unwrap();
    }

    /// The same over HTTP.
    pub async fn join_by_http(&self, runtime: &RuntimeHandle, name: &str, way: Way) -> Upstream {
        let name = ServerName::new(name).unwrap();
        let upstream = web::serve(self.clone(), way, self.0.is_strict).await;
        let http = HttpConfig { url: upstream.url(), headers: BTreeMap::new() };
        let config = ServerConfig::new(TransportConfig::Http(http));
        let store = runtime.store();
        store.add(name.clone(), config).await.unwrap();
        store.wait_ready(&name, PATIENCE).await.unwrap();
        upstream
    }

    /// What it says to the next messages: requests, and answers to its own ones.
    pub fn says<const N: usize>(&self, lines: [Vec<String>; N]) {
        let mut state = self.0.state.lock().unwrap();
        state.heard.clear();
        state.lines = lines.into();
    }

    /// What it heard since, but for handshakes, lists and notifications.
    pub fn heard(&self) -> Vec<String> {
        self.0.state.lock().unwrap().heard.clone()
    }

    fn live(&self) -> DuplexStream {
        let (ours, theirs) = duplex(1 << 20);
        let server = self.clone();
        self.0.lives.lock().unwrap().spawn(async move {
            // It ends with its stream.
            server.converse(theirs).await.ok();
        });
        ours
    }

    async fn converse(&self, stream: DuplexStream) -> io::Result<()> {
        let (source, mut sink) = split(stream);
        let mut lines = BufReader::new(source).lines();
        let mut leg = Leg::default();
        while let Some(line) = lines.next_line().await? {
            // What is generated is not of any revision; halves of surrogate pairs are not even text.
            if self.0.is_strict {
                leg.hear(&serde_json::from_str(&line).unwrap());
            }
            for answer in self.answers(&line) {
                sink.write_all(format!("{answer}\n").as_bytes()).await?;
            }
        }
        Ok(())
    }

    /// What it says to a message.
    pub fn answers(&self, line: &str) -> Vec<String> {
        let Shared { is_modern, offer, .. } = &*self.0;
        let mut state = self.0.state.lock().unwrap();
        match Message::parse(line.as_bytes()).unwrap() {
            Message::Notification { .. } => return Vec::new(),
            Message::Response { .. } => {}
            Message::Request { id, method, params } => {
                state.id = serde_json::to_string(&id).unwrap();
                let meta = params.and_then(Object::read);
                let meta = meta.and_then(|params| params.get("_meta").map(ToOwned::to_owned));
                let meta = meta.as_deref().and_then(Object::read).unwrap_or_default();
                let token = meta.get("progressToken").map(|token| token.get().to_owned());
                state.token = token.unwrap_or_default();
                let own = match &*method {
                    "server/discover" if *is_modern => Some(DISCOVERED.to_owned()),
                    "server/discover" => None,
                    "initialize" => Some(INITIALISED.to_owned()),
                    "logging/setLevel" => Some("{}".to_owned()),
                    "tools/list" => Some(format!(r#"{{"tools":{}}}"#, offer.tools)),
                    "prompts/list" => Some(format!(r#"{{"prompts":{}}}"#, offer.prompts)),
                    "resources/list" => Some(format!(r#"{{"resources":{}}}"#, offer.resources)),
                    "resources/templates/list" => {
                        Some(format!(r#"{{"resourceTemplates":{}}}"#, offer.templates))
                    }
                    _ => {
                        state.heard.push(line.to_owned());
                        let lines = state.lines.pop_front().unwrap_or_default();
                        return lines.iter().map(|line| state.filled(line)).collect();
                    }
                };
                let body = own.map_or(UNKNOWN.to_owned(), |result| format!(r#""result":{result}"#));
                return vec![format!(r#"{{"jsonrpc":"2.0","id":{},{body}}}"#, state.id)];
            }
        }
        state.heard.push(line.to_owned());
        let lines = state.lines.pop_front().unwrap_or_default();
        lines.iter().map(|line| state.filled(line)).collect()
    }
}

impl State {
    fn filled(&self, line: &str) -> String {
        line.replace("$ID", &self.id).replace("$TOKEN", &self.token)
    }
}

const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"prompts":{},"resources":{},"completions":{},"logging":{}},"ttlMs":0,"cacheScope":"private"}"#;
const INITIALISED: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"prompts":{},"resources":{},"completions":{},"logging":{}},"serverInfo":{"name":"bytes","version":"1"}}"#;
const UNKNOWN: &str = r#""error":{"code":-32601,"message":"method not found"}"#;
