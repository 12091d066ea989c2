//! The clients of the dialogue tests: a server in Python behind a runtime, and one client over
//! lines in whatever era the test speaks.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Value, json};
use switchboard::{
    access::Gate,
    face::stdio::{StdioOptions, serve},
    id::{Owner, ServerName},
    runtime::{Isolation, Runtime, RuntimeConfig, RuntimeHandle, ServerConfig},
    upstream::{TransportConfig, stdio::StdioConfig},
    wire::Revision,
};
use tempfile::TempDir;
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf,
        WriteHalf, duplex, split,
    },
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    outgoing::{heard_in, to_client},
    wait::PATIENCE,
};

/// What the server is called.
pub const SERVER: &str = "asker";

/// A runtime with one server that asks.
pub struct Host {
    pub gate: Arc<Gate>,
    pub runtime: RuntimeHandle,
    /// How the one server is defined.
    pub config: Option<ServerConfig>,
    /// Its journal is in here.
    pub folder: TempDir,
}

impl Host {
    /// With a server of this era, `legacy` or `modern`.
    pub async fn start(era: &str) -> Self {
        Self::with(era, Isolation::default()).await
    }

    pub async fn with(era: &str, isolation: Isolation) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/dialogue/server.py");
        let mut stdio = StdioConfig::new("python3");
        let journal = folder.path().join("journal");
        std::fs::write(&journal, "").unwrap();
        stdio.args = [&program, &PathBuf::from(era), &journal]
            .map(|path| path.to_str().unwrap().to_owned())
            .to_vec();
        let config = ServerConfig { isolation, ..ServerConfig::new(TransportConfig::Stdio(stdio)) };
        Self::over(config, folder).await
    }

    /// With a server reached in any way; its journal, if it has one, is in the folder.
    pub async fn over(config: ServerConfig, folder: TempDir) -> Self {
        let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
        let name = ServerName::new(SERVER).unwrap();
        let store = runtime.store();
        store.add(name.clone(), config.clone()).await.unwrap();
        store.wait_ready(&name, PATIENCE).await.unwrap();
        let mut host = Self::of(runtime, folder);
        host.config = Some(config);
        host
    }

    /// In front of a runtime that has its servers.
    pub fn of(runtime: RuntimeHandle, folder: TempDir) -> Self {
        Self { gate: Gate::new(runtime.clone()), runtime, config: None, folder }
    }

    /// What the server carried out, in its order: tool and `who`.
    pub fn journal(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("journal")).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// A legacy client that declares these capabilities.
    pub async fn legacy(&self, capabilities: Value) -> Talk {
        self.of_revision(Revision::LATEST_LEGACY, capabilities).await
    }

    /// What a legacy client that declares these capabilities is told.
    pub async fn initialized(&self, capabilities: Value) -> Value {
        self.open(Revision::LATEST_LEGACY, capabilities).await.1
    }

    pub async fn of_revision(&self, revision: Revision, capabilities: Value) -> Talk {
        self.open(revision, capabilities).await.0
    }

    async fn open(&self, revision: Revision, capabilities: Value) -> (Talk, Value) {
        let mut talk = self.talk(revision, capabilities.clone());
        let params = json!({
            "protocolVersion": revision, "capabilities": capabilities,
            "clientInfo": {"name": "it", "version": "1"},
        });
        let id = talk.ask("initialize", params).await;
        let told = talk.result(id).await;
        (talk, told)
    }

    /// A modern client that declares these capabilities in each request.
    pub fn modern(&self, capabilities: Value) -> Talk {
        self.talk(Revision::LATEST, capabilities)
    }

    fn talk(&self, revision: Revision, capabilities: Value) -> Talk {
        let (ours, theirs) = duplex(64 * 1024);
        let (reader, writer) = split(theirs);
        let grace = Duration::from_secs(5);
        let options = StdioOptions { owner: Owner::Store, line_bytes: 1 << 20, grace };
        let mut serving = JoinSet::new();
        let stop = CancellationToken::new();
        serving.spawn(serve(reader, writer, Arc::clone(&self.gate), options, stop));
        let (output, input) = split(ours);
        let output = BufReader::new(output).lines();
        Talk {
            input,
            output,
            revision,
            capabilities,
            last: 0,
            asked: HashMap::new(),
            _serving: serving,
        }
    }
}

/// What its servers heard, which they keep beside their journals, was of their revision.
impl Drop for Host {
    fn drop(&mut self) {
        heard_in(self.folder.path());
    }
}

/// A client over lines.
pub struct Talk {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    revision: Revision,
    /// What a modern client declares.
    pub capabilities: Value,
    last: u64,
    /// The methods of its requests.
    asked: HashMap<u64, String>,
    _serving: JoinSet<std::io::Result<()>>,
}

impl Talk {
    pub async fn say(&mut self, message: &Value) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    /// Says nothing more.
    pub async fn end(&mut self) {
        self.input.shutdown().await.unwrap();
    }

    /// Sends a request and gives its id.
    pub async fn ask(&mut self, method: &str, mut params: Value) -> u64 {
        self.last += 1;
        if self.revision == Revision::LATEST {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!(self.revision);
            meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        }
        let id = self.last;
        self.asked.insert(id, method.to_owned());
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        id
    }

    /// Calls a tool of the server.
    pub async fn call(&mut self, tool: &str, who: &str) -> u64 {
        self.ask("tools/call", call(tool, who)).await
    }

    /// Calls `tell`, which tells all that a call can tell.
    pub async fn tell(&mut self, who: &str) -> u64 {
        let mut params = call("tell", who);
        params["_meta"]["progressToken"] = json!("mine");
        self.ask("tools/call", params).await
    }

    /// The next message is a notification; its parameters.
    pub async fn told(&mut self, method: &str) -> Value {
        let message = self.hear().await;
        assert_eq!(message["method"], method, "{message}");
        message["params"].clone()
    }

    /// The next message, whatever it is; each is one of the client's revision.
    pub async fn hear(&mut self) -> Value {
        let line = timeout(PATIENCE, self.output.next_line()).await.expect("a line in time");
        let message: Value = serde_json::from_str(&line.unwrap().expect("a line")).unwrap();
        let id = message["id"].as_u64().filter(|_| message.get("method").is_none());
        let asked = id.and_then(|id| self.asked.get(&id)).map(String::as_str);
        to_client(self.revision, asked, &message);
        message
    }

    /// The next message is the answer to this.
    pub async fn answer(&mut self, id: u64) -> Value {
        let message = self.hear().await;
        assert_eq!(message["id"], id, "{message}");
        assert!(message.get("method").is_none(), "{message}");
        message
    }

    /// The next message is the answer to this, with a result.
    pub async fn result(&mut self, id: u64) -> Value {
        let answer = self.answer(id).await;
        answer.get("result").unwrap_or_else(|| panic!("{answer}")).clone()
    }

    /// The next message is the answer to this: what the tool learned.
    pub async fn learned(&mut self, id: u64) -> Value {
        let result = self.result(id).await;
        assert_ne!(result["isError"], true, "{result}");
        if self.revision == Revision::LATEST {
            assert_eq!(result["resultType"], "complete", "{result}");
        }
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"));
        serde_json::from_str(text).unwrap()
    }

    /// The next message is a request of the server.
    pub async fn asked(&mut self, method: &str) -> Value {
        let message = self.hear().await;
        assert_eq!(message["method"], method, "{message}");
        assert!(message.get("id").is_some(), "{message}");
        message
    }

    /// Answers a request of the server.
    pub async fn reply(&mut self, asked: &Value, result: Value) {
        self.say(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})).await;
    }

    /// The next message is a result that wants input.
    pub async fn wanted(&mut self, id: u64) -> Value {
        let result = self.result(id).await;
        assert_eq!(result["resultType"], "input_required", "{result}");
        result
    }

    /// Repeats a call with answers to what was wanted; each question gets the same one.
    pub async fn retry(&mut self, tool: &str, who: &str, wanted: &Value, answer: &Value) -> u64 {
        let mut params = call(tool, who);
        params["requestState"] = wanted["requestState"].clone();
        if let Some(requests) = wanted["inputRequests"].as_object() {
            params["inputResponses"] =
                requests.keys().map(|key| (key.clone(), answer.clone())).collect();
        }
        self.ask("tools/call", params).await
    }
}

/// The parameters of a call.
pub fn call(tool: &str, who: &str) -> Value {
    json!({"name": format!("{SERVER}_{tool}"), "arguments": {"who": who}})
}

/// A form that was filled in.
pub fn accepted(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}
