//! A runtime with a server down to the bytes, and a client down to the bytes.

use std::{sync::Arc, time::Duration};

use switchboard::{
    access::Gate,
    face::{
        http::{HttpFace, HttpFaceConfig, RunningFace},
        stdio::{StdioOptions, serve},
    },
    id::Owner,
    runtime::{Runtime, RuntimeConfig},
    wire::{Era, Revision},
};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf,
        WriteHalf, duplex, split,
    },
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    body::{CONTESTED, Kind},
    server::{Offer, Server},
    tree::Tree,
    web::{Posts, Way},
};
use crate::support::{outgoing::to_client, upstream::Upstream, wait::PATIENCE};

/// What a modern client states in each request.
pub const STATED: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{},"context":{}},"roots":{}},"io.modelcontextprotocol/clientInfo":{"name":"it","version":"1"},"io.modelcontextprotocol/logLevel":"debug""#;

/// A runtime with the server `s`, after another one that has one of its URIs too.
pub struct Host {
    pub server: Server,
    gate: Arc<Gate>,
    face: Option<RunningFace>,
    _served: Option<Upstream>,
}

impl Host {
    pub async fn start(is_modern: bool, is_strict: bool, way: Way, offer: Offer) -> Self {
        let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
        let none = || "[]".to_owned();
        let resources = format!(r#"[{{"uri":"{CONTESTED}","name":"first"}}]"#);
        let first = Offer { tools: none(), prompts: none(), resources, templates: none() };
        Server::new(true, true, first).join(&runtime, "a").await;
        let server = Server::new(is_modern, is_strict, offer);
        let mut served = None;
        if way.is_served() {
            served = Some(server.join_by_http(&runtime, "s", way).await);
        } else {
            server.join(&runtime, "s").await;
        }
        let gate = Gate::new(runtime);
        let mut face = None;
        if way.is_posted() {
            let config = HttpFaceConfig { port: 0, ..HttpFaceConfig::default() };
            let bound = HttpFace::bind(&config).await.unwrap();
            face = Some(bound.serve(1 << 20, Arc::clone(&gate), None));
        }
        Self { server, gate, face, _served: served }
    }

    /// A client that can be asked for everything and wants every log message.
    pub async fn client(&self, revision: Revision) -> Client {
        let leg = match &self.face {
            Some(face) => {
                let url = format!("http://{}/mcp", face.local_addr());
                Leg::Posts(Posts::new(url, revision))
            }
            None => Leg::Lines(Box::new(self.lines())),
        };
        let mut client = Client { leg, revision, is_strict: false, last: 0 };
        if revision.era() == Era::Legacy {
            let params = format!(
                r#"{{"protocolVersion":"{revision}","capabilities":{{"elicitation":{{"form":{{}},"url":{{}}}},"sampling":{{"tools":{{}},"context":{{}}}},"roots":{{}}}},"clientInfo":{{"name":"it","version":"1"}}}}"#
            );
            client.ask("initialize", &params).await;
            client.hear().await;
            client.ask("logging/setLevel", r#"{"level":"debug"}"#).await;
            client.hear().await;
        }
        client
    }

    fn lines(&self) -> Stdio {
        let (ours, theirs) = duplex(1 << 20);
        let (reader, writer) = split(theirs);
        let grace = Duration::from_secs(5);
        let options = StdioOptions { owner: Owner::Store, line_bytes: 1 << 20, grace };
        let mut serving = JoinSet::new();
        let stop = CancellationToken::new();
        serving.spawn(serve(reader, writer, Arc::clone(&self.gate), options, stop));
        let (output, input) = split(ours);
        Stdio { input, output: BufReader::new(output).lines(), _serving: serving }
    }
}

enum Leg {
    Lines(Box<Stdio>),
    Posts(Posts),
}

struct Stdio {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    _serving: JoinSet<std::io::Result<()>>,
}

/// A client down to the bytes.
pub struct Client {
    leg: Leg,
    pub revision: Revision,
    /// Whether what it hears is of its revision, as what was sent is.
    pub is_strict: bool,
    last: u64,
}

impl Client {
    pub async fn say(&mut self, line: &str) {
        assert!(!line.contains('\n'), "{line}");
        match &mut self.leg {
            Leg::Lines(stdio) => {
                stdio.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
            }
            Leg::Posts(posts) => posts.say(line).await,
        }
    }

    /// Sends a request with parameters as they are.
    pub async fn ask(&mut self, method: &str, params: &str) {
        self.last += 1;
        let id = self.last;
        let line =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        self.say(&line).await;
    }

    /// The next message.
    pub async fn hear(&mut self) -> Tree {
        let line = match &mut self.leg {
            Leg::Lines(stdio) => {
                let line = timeout(PATIENCE, stdio.output.next_line()).await;
                line.expect("a line in time").unwrap().expect("a line")
            }
            Leg::Posts(posts) => posts.hear().await,
        };
        if self.is_strict {
            to_client(self.revision, None, &serde_json::from_str(&line).unwrap());
        }
        Tree::read(&line)
    }

    /// The parameters of a request of a kind, with further members of theirs and of their `_meta`.
    pub fn params(&self, kind: Kind, members: &str, meta: &[&str]) -> String {
        let stated = if self.revision.era() == Era::Modern { STATED } else { "" };
        let meta = joined(&[&[stated], meta].concat());
        let meta = if meta.is_empty() { String::new() } else { format!(r#""_meta":{{{meta}}}"#) };
        format!("{{{}}}", joined(&[kind.subject(), members, &meta]))
    }
}

impl Kind {
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tool => "tools/call",
            Self::Prompt => "prompts/get",
            Self::Resource => "resources/read",
            Self::Template => "completion/complete",
        }
    }

    const fn subject(self) -> &'static str {
        match self {
            Self::Tool => r#""name":"s_t""#,
            Self::Prompt => r#""name":"s_p""#,
            Self::Resource => r#""uri":"x:own""#,
            Self::Template => r#""ref":{"type":"ref/prompt","name":"s_p","x":1.0}"#,
        }
    }
}

/// Members that are there, with commas between them.
pub fn joined(members: &[&str]) -> String {
    let there = members.iter().copied().filter(|member| !member.is_empty());
    there.collect::<Vec<_>>().join(",")
}
