//! A runtime with a server down to the bytes, and a client down to the bytes.

use std::{sync::Arc, time::Duration};

use switchboard::{
    access::Gate,
    face::stdio::{StdioOptions, serve},
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
};
use crate::support::{outgoing::to_client, wait::PATIENCE};

/// What a modern client states in each request.
pub const STATED: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{},"context":{}},"roots":{}},"io.modelcontextprotocol/clientInfo":{"name":"it","version":"1"},"io.modelcontextprotocol/logLevel":"debug""#;

/// A runtime with the server `s`, after another one that has one of its URIs too.
pub struct Host {
    pub server: Server,
    gate: Arc<Gate>,
}

impl Host {
    pub async fn start(is_modern: bool, is_strict: bool, offer: Offer) -> Self {
        let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
        let none = || "[]".to_owned();
        let resources = format!(r#"[{{"uri":"{CONTESTED}","name":"first"}}]"#);
        let first = Offer { tools: none(), prompts: none(), resources, templates: none() };
        Server::new(true, true, first).join(&runtime, "a").await;
        let server = Server::new(is_modern, is_strict, offer);
        server.join(&runtime, "s").await;
        Self { server, gate: Gate::new(runtime) }
    }

    /// A client that can be asked for everything and wants every log message.
    pub async fn client(&self, revision: Revision) -> Client {
        let (ours, theirs) = duplex(1 << 20);
        let (reader, writer) = split(theirs);
        let grace = Duration::from_secs(5);
        let options = StdioOptions { owner: Owner::Store, line_bytes: 1 << 20, grace };
        let mut serving = JoinSet::new();
        let stop = CancellationToken::new();
        serving.spawn(serve(reader, writer, Arc::clone(&self.gate), options, stop));
        let (output, input) = split(ours);
        let output = BufReader::new(output).lines();
        let mut client =
            Client { input, output, revision, is_strict: false, last: 0, _serving: serving };
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
}

/// A client over lines.
pub struct Client {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    pub revision: Revision,
    /// Whether what it hears is of its revision, as what was sent is.
    pub is_strict: bool,
    last: u64,
    _serving: JoinSet<std::io::Result<()>>,
}

impl Client {
    pub async fn say(&mut self, line: &str) {
        assert!(!line.contains('\n'), "{line}");
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
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
        let line = timeout(PATIENCE, self.output.next_line()).await.expect("a line in time");
        let line = line.unwrap().expect("a line");
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
