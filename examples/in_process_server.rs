//! A server that lives in the agent program itself: any rmcp `ServerHandler`, supervised like any
//! other server and started anew if it panics.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{sync::Arc, time::Duration};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use switchboard::{
    id::ServerName,
    runtime::{CallRequest, Runtime, RuntimeConfig},
};

/// Counts letters.
struct Letters;

impl ServerHandler for Letters {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = serde_json::json!({
            "type": "object",
            "properties": { "text": { "type": "string" } },
            "required": ["text"],
        });
        let schema = schema.as_object().cloned().unwrap_or_default();
        let tool = Tool::new("count", "Counts the letters of a text.", Arc::new(schema));
        Ok(ListToolsResult::with_all_items(vec![tool]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let text = arguments.get("text").and_then(|text| text.as_str()).unwrap_or_default();
        let letters = text.chars().filter(|letter| letter.is_alphabetic()).count();
        let text = ContentBlock::text(letters.to_string());
        Ok(CallToolResponse::Complete(CallToolResult::success(vec![text])))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let runtime = Runtime::spawn(RuntimeConfig::default()).await?;
    let store = runtime.store();
    let server = ServerName::new("letters")?;
    store.add_handler(server.clone(), || Letters).await?;
    store.wait_ready(&server, Duration::from_secs(5)).await?;

    let arguments = serde_json::json!({ "text": "switchboard" });
    let answer = store.call(CallRequest::new("letters_count", &arguments)).await?;
    println!("{}", answer.result);

    runtime.stop().await;
    Ok(())
}
