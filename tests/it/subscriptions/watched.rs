//! Servers whose resources are watched, and what is asked of them.

use std::{collections::BTreeMap, path::PathBuf, process::Stdio, time::Duration};

use serde_json::{Value, json};
use switchboard::{
    access::Principal,
    id::ServerName,
    runtime::{Isolation, Runtime, RuntimeConfig, RuntimeHandle, ServerConfig, Startup},
    upstream::{Protocol, TransportConfig, http::HttpConfig, stdio::StdioConfig},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{
    dialogue::talk::{Host, SERVER, Talk},
    support::wait::{PATIENCE, until},
};

/// Resources that the server lists.
pub const ONE: &str = "res://one";
pub const TWO: &str = "res://two";
/// One that has parts.
pub const FOLDER: &str = "res://folder/";
/// One that it lists and does not tell of.
pub const SHY: &str = "res://shy";
/// One that nobody has.
pub const NONE: &str = "res://none";
/// The same as [`ONE`], of the server that cannot tell.
pub const OF_MUTE: &str = "switchboard+mute:res://one";

/// A runtime in front of such servers.
pub struct Watched {
    pub host: Host,
    _server: Option<Child>,
}

impl Watched {
    /// One server of an era, over a transport.
    pub async fn start(era: &str, transport: &str) -> Self {
        let folder = folder();
        let words = words(&folder, era, transport);
        if transport == "stdio" {
            let host = Host::over(config(era, &words), folder).await;
            return Self { host, _server: None };
        }
        let mut server = Command::new("python3")
            .args(&words)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let url = format!("http://127.0.0.1:{port}/mcp");
        let http = HttpConfig { url, headers: BTreeMap::new() };
        let config = ServerConfig {
            protocol: protocol(era),
            ..ServerConfig::new(TransportConfig::Http(http))
        };
        Self { host: Host::over(config, folder).await, _server: Some(server) }
    }

    /// One server for each session.
    pub async fn isolated(era: &str) -> Self {
        let folder = folder();
        let config = config(era, &words(&folder, era, "stdio"));
        let config = ServerConfig { isolation: Isolation::Session, ..config };
        Self { host: Host::over(config, folder).await, _server: None }
    }

    /// Two servers that are started when they are wanted and stopped soon; one cannot tell.
    pub async fn lazy_pair() -> (Self, RuntimeHandle) {
        let folder = folder();
        let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
        let words = words(&folder, "legacy", "stdio");
        add(&runtime, SERVER, &words, Startup::Lazy).await;
        let mute = [words, vec!["mute".to_owned()]].concat();
        add(&runtime, "mute", &mute, Startup::Lazy).await;
        let host = Host::of(runtime.clone(), folder);
        (Self { host, _server: None }, runtime)
    }

    /// Removes the first of the pair and adds it again.
    pub async fn replace(&self, runtime: &RuntimeHandle) {
        runtime.store().remove(&ServerName::new(SERVER).unwrap()).await.unwrap();
        let words = words(&self.host.folder, "legacy", "stdio");
        add(runtime, SERVER, &words, Startup::Eager).await;
    }

    /// Waits for a journal of exactly these lines.
    pub async fn journals(&self, lines: &[String]) {
        until("the journal", async || (self.host.journal() == lines).then_some(())).await;
    }

    /// Waits until its lives were subscribed to so often; one that is stopped may not be told of the end.
    pub async fn subscribed(&self, times: usize) {
        let journal = || self.host.journal().iter().filter(|line| line.starts_with('+')).count();
        until("it is subscribed to", async || (journal() == times).then_some(())).await;
    }

    /// What state a server's connection is in.
    pub fn state(&self, server: &str) -> String {
        let status = serde_json::to_value(self.host.gate.status(&Principal::local())).unwrap();
        let servers = status["servers"].as_array().unwrap();
        let found = servers.iter().find(|it| it["server"] == server).unwrap();
        found["state"].as_str().unwrap().to_owned()
    }

    pub async fn is_idle(&self, server: &str) {
        until("it is stopped", async || (self.state(server) == "idle").then_some(())).await;
    }
}

async fn add(runtime: &RuntimeHandle, name: &str, words: &[String], startup: Startup) {
    let config =
        ServerConfig { startup, idle_stop: Duration::from_secs(1), ..config("legacy", words) };
    let name = ServerName::new(name).unwrap();
    let store = runtime.store();
    store.add(name.clone(), config).await.unwrap();
    store.wait_ready(&name, PATIENCE).await.unwrap();
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("journal"), "").unwrap();
    folder
}

fn words(folder: &TempDir, era: &str, transport: &str) -> Vec<String> {
    let program =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/subscriptions/server.py");
    let journal = folder.path().join("journal");
    [program.to_str().unwrap(), era, transport, journal.to_str().unwrap()]
        .map(ToOwned::to_owned)
        .to_vec()
}

fn config(era: &str, words: &[String]) -> ServerConfig {
    let mut stdio = StdioConfig::new("python3");
    stdio.args = words.to_vec();
    ServerConfig { protocol: protocol(era), ..ServerConfig::new(TransportConfig::Stdio(stdio)) }
}

fn protocol(era: &str) -> Protocol {
    if era == "modern" { Protocol::Modern } else { Protocol::Legacy }
}

/// Calls a tool of the server and waits for its answer.
async fn learn(talk: &mut Talk, tool: &str, who: &str) -> Value {
    let id = talk.call(tool, who).await;
    talk.learned(id).await
}

/// Changes a resource.
pub async fn touch(talk: &mut Talk, uri: &str) {
    assert_eq!(learn(talk, "touch", uri).await, uri);
}

/// The same by a client of its own.
pub async fn touch_any(servers: &Watched, uri: &str) {
    touch(&mut servers.host.legacy(json!({})).await, uri).await;
}

/// The number of the server's process.
pub async fn pid(talk: &mut Talk) -> u32 {
    learn(talk, "pid", "").await.as_u64().unwrap().try_into().unwrap()
}

/// How many resources the server tells of.
pub async fn held(talk: &mut Talk) -> u64 {
    learn(talk, "held", "").await.as_u64().unwrap()
}

/// Waits until it tells of so many.
pub async fn so_many_are_held(talk: &mut Talk, count: u64) {
    until("the subscriptions", async || (held(talk).await == count).then_some(())).await;
}
