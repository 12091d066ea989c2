//! `demo-server`: a small MCP server over standard input and output, to try things with and to
//! break on purpose.
//!
//! A process of its own, started by whoever wants a server. It speaks every revision that rmcp
//! speaks, ends when its input ends, writes nothing to standard output but messages, and keeps
//! no state.

use anyhow::{Context as _, Result};
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt as _,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::{RequestContext, ServerInitializeError},
    transport::stdio_pipes,
};

use tool::DemoTool;

mod clock;
mod crash;
mod slow;
mod text;
mod tool;

/// How long a client may keep the list of tools, which never changes: an hour.
const LIST_TTL_MS: u64 = 3_600_000;

/// Arguments of `demo-server`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name that the server gives itself
    #[arg(long, value_name = "NAME", default_value = "demo")]
    name: String,
}

/// Serves until standard input ends.
pub(super) async fn run(Args { name }: Args) -> Result<()> {
    match (DemoServer { name }).serve(stdio_pipes()).await {
        Ok(service) => {
            service.waiting().await.context("the server broke")?;
            Ok(())
        }
        // A client that leaves before it has said hello is none of our errors.
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(error).context("the client and the server could not agree"),
    }
}

/// The server. It knows its name and nothing else.
#[derive(Debug)]
struct DemoServer {
    name: String,
}

impl ServerHandler for DemoServer {
    fn get_info(&self) -> ServerConfig {
        let info = Implementation::new(self.name.as_str(), env!("CARGO_PKG_VERSION"))
            .with_title("Switchboard's demonstration server")
            .with_description("A few harmless tools, and one that ends the server.");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(info)
            .with_instructions(
                "Tools to try a connection with: `echo`, `add` and `now` answer at once, `slow` \
                 takes its time and reports progress, `crash` ends this server on purpose.",
            )
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = DemoTool::ALL.iter().map(|tool| tool.definition()).collect();
        Ok(ListToolsResult::with_all_items(tools)
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = DemoTool::named(&request.name) else {
            let unknown = format!("unknown tool {:?}", request.name);
            return Err(ErrorData::invalid_params(unknown, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        Ok(tool.call(arguments, context).await.into())
    }
}
