//! The server that is called: rmcp's, in a process of its own, over streamable HTTP in the forms
//! that it has, or over standard streams.
//!
//! The bench starts itself again for it.

use std::{net::SocketAddr, process::Stdio, sync::Arc};

use anyhow::{Context as _, Result, bail};
use axum::Router;
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt as _,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock,
        ListResourceTemplatesResult, ListToolsResult, PaginatedRequestParams,
        ProgressNotificationParam, ResourceTemplate, ServerCapabilities, ServerConfig,
        SubscribeRequestParams, Tool,
    },
    service::RequestContext,
    transport::{
        stdio_pipes,
        streamable_http_server::{
            StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
        },
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

/// The argument that makes the bench a server.
pub const ROLE: &str = "serve-as";

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// HTTP, without sessions, JSON.
    Json,
    /// HTTP, without sessions, a stream of events for each answer.
    Sse,
    /// HTTP, with legacy sessions.
    Sessions,
    /// Standard streams.
    Stdio,
}

impl Form {
    const ALL: [Self; 4] = [Self::Json, Self::Sse, Self::Sessions, Self::Stdio];

    fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Sse => "sse",
            Self::Sessions => "sessions",
            Self::Stdio => "stdio",
        }
    }
}

/// A running server behind HTTP; dropped, it is killed.
pub struct Server {
    address: SocketAddr,
    form: Form,
    _child: Child,
}

impl Server {
    /// Starts it with so many tools and waits until it listens.
    pub async fn start(form: Form, tools: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([ROLE, form.word(), &tools.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let address = lines.next_line().await?.context("it ended before it listened")?.parse()?;
        Ok(Self { address, form, _child: child })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its entry in a configuration, with room for every caller: what is measured is the way, not
    /// the waiting.
    pub fn entry(&self) -> Value {
        let url = format!("http://{}/mcp", self.address);
        let protocol = if self.form == Form::Sessions { "legacy" } else { "auto" };
        json!({ "url": url, "max_in_flight": 256, "max_queue": 1024, "protocol": protocol })
    }
}

/// The entry of one over standard streams, a legacy one: rmcp's answer to a modern client's
/// subscriptions is a stream of its own.
pub fn stdio_entry() -> Result<Value> {
    let program = std::env::current_exe()?;
    Ok(json!({ "command": program, "args": [ROLE, Form::Stdio.word(), "1"], "protocol": "legacy" }))
}

/// Serves until it is killed, or until its input ends.
pub async fn serve(form: &str, tools: &str) -> Result<()> {
    let offer = Offer { tools: tools.parse()? };
    match Form::ALL.into_iter().find(|known| known.word() == form) {
        None => bail!("no form {form}"),
        Some(Form::Stdio) => {
            offer.serve(stdio_pipes()).await?.waiting().await?;
        }
        Some(form) => {
            let service = StreamableHttpService::new(
                move || Ok(offer),
                Arc::<LocalSessionManager>::default(),
                StreamableHttpServerConfig::default()
                    .with_legacy_session_mode(form == Form::Sessions)
                    .with_json_response(form == Form::Json),
            );
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("{}", listener.local_addr()?);
            axum::serve(listener, Router::new().nest_service("/mcp", service)).await?;
        }
    }
    Ok(())
}

/// Echoes, answers with much, reports progress often.
#[derive(Clone, Copy)]
pub struct Offer {
    /// How many tools it lists.
    pub tools: usize,
}

impl ServerHandler for Offer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources();
        ServerConfig::new(capabilities.enable_resources_subscribe().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = |name: String| {
            let schema = rmcp::object!({
                "type": "object",
                "properties": { "text": { "type": "string", "description": "What comes back." } },
            });
            Tool::new(
                name,
                "Echoes what it is given, as a tool of ordinary size would say.",
                schema,
            )
        };
        let more = (3..self.tools).map(|number| format!("tool_{number}"));
        let names = ["echo", "big", "progress"].map(ToOwned::to_owned).into_iter().chain(more);
        Ok(ListToolsResult::with_all_items(names.map(tool).collect()))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = ResourceTemplate::new("bench://{number}", "bench");
        Ok(ListResourceTemplatesResult::with_all_items(vec![template]))
    }

    #[allow(deprecated, reason = "what legacy clients subscribe with")]
    async fn subscribe(
        &self,
        _request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let mut arguments = request.arguments.unwrap_or_default();
        let count = arguments.get("count").and_then(Value::as_u64).unwrap_or_default();
        let text = match &*request.name {
            "big" => "x".repeat(usize::try_from(count).unwrap_or_default()),
            "progress" => {
                for number in 1..=u32::try_from(count).unwrap_or_default() {
                    let Some(token) = context.meta.get_progress_token() else { break };
                    let progress = ProgressNotificationParam::new(token, f64::from(number));
                    // A client that is gone is noticed by the connection itself.
                    context.peer.notify_progress(progress).await.ok();
                }
                count.to_string()
            }
            _ => match arguments.remove("text") {
                Some(Value::String(text)) => text,
                _ => String::new(),
            },
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}
