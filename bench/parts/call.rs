//! A whole call through the library: named, admitted, restated, written, answered, read.
//!
//! The server is the least that answers, at the other end of a byte stream in this process, or a
//! service of rmcp's: nearly everything that is counted is Switchboard's own.

use std::{
    hint::black_box,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Result, ensure};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use serde::Deserialize;
use serde_json::json;
use switchboard::{
    id::ServerName,
    runtime::{CallRequest, Runtime, RuntimeConfig, Scope, ServerConfig as Definition},
    upstream::{Protocol, TransportConfig, stream::ByteStream},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex, split},
    runtime::Builder,
    task::JoinSet,
};

use super::{Round, text};

/// Bytes in flight: more than any message here, so that none is torn.
const BUFFER: usize = 64 * 1024;

/// A call with so many bytes of arguments, all of which come back.
pub(crate) fn whole(size: usize) -> Result<Round> {
    of(size, async |store, name| {
        let config = Definition {
            protocol: Protocol::Modern,
            ..Definition::new(TransportConfig::InProcess)
        };
        let lives = Mutex::new(JoinSet::new());
        let open = move || {
            let (ours, theirs) = duplex(BUFFER);
            if let Ok(mut lives) = lives.lock() {
                lives.spawn(serve(theirs, text(size)));
            }
            std::future::ready(io::Result::Ok(ours))
        };
        Ok(store.add_connector(name, config, Arc::new(ByteStream::new(open))).await?)
    })
}

/// The same of a service in this process.
pub(crate) fn in_process(size: usize) -> Result<Round> {
    of(size, async |store, name| Ok(store.add_handler(name, move || Echo(text(size))).await?))
}

/// A call of the tool `echo` of the server `echo` that was added.
fn of(size: usize, add: impl AsyncFnOnce(&Scope, ServerName) -> Result<()>) -> Result<Round> {
    let tokio = Builder::new_current_thread().enable_all().build()?;
    let (request, runtime) = tokio.block_on(async {
        let runtime = Runtime::spawn(RuntimeConfig::default()).await?;
        let (store, name) = (runtime.store(), ServerName::new("echo")?);
        add(&store, name.clone()).await?;
        store.wait_ready(&name, Duration::from_secs(30)).await?;
        let request = CallRequest::new("echo_echo", &json!({ "text": text(size) }));
        let answer = store.call(request.clone()).await?;
        ensure!(answer.result.get().contains(&text(size)), "another answer: {}", answer.result);
        anyhow::Ok((request, runtime))
    })?;
    let store = runtime.store();
    Ok(Box::new(move || {
        // The runtime is dropped with the closure, not before.
        let _alive = &runtime;
        black_box(tokio.block_on(store.call(black_box(request.clone())))).ok();
    }))
}

/// Answers every call with a text.
struct Echo(String);

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = Tool::new("echo", "says it again", Arc::new(JsonObject::new()));
        Ok(ListToolsResult::with_all_items(vec![tool]))
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text(self.0.clone())]).into())
    }
}

/// What is looked at of a message.
#[derive(Deserialize)]
struct Asked<'a> {
    id: Option<u64>,
    method: &'a str,
}

/// Answers line by line until the stream ends; calls get the text.
async fn serve(stream: DuplexStream, text: String) -> io::Result<()> {
    let (source, mut sink) = split(stream);
    let mut lines = BufReader::with_capacity(BUFFER, source).lines();
    while let Some(line) = lines.next_line().await? {
        let Asked { id: Some(id), method } = serde_json::from_str(&line)? else { continue };
        let result = match method {
            "server/discover" => DISCOVERED.to_owned(),
            "tools/list" => TOOLS.to_owned(),
            _ => format!(r#""content":[{{"type":"text","text":"{text}"}}]"#),
        };
        let answer = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete",{result}}}}}"#
        );
        sink.write_all((answer + "\n").as_bytes()).await?;
    }
    Ok(())
}

const DISCOVERED: &str = r#""supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private""#;
const TOOLS: &str =
    r#""tools":[{"name":"echo","inputSchema":{"type":"object"}}],"ttlMs":0,"cacheScope":"private""#;
