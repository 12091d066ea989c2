//! rmcp's client as a row of the table: its three lifecycles, in this process.

#![allow(deprecated, reason = "rmcp marks sampling, which clients still have")]

use std::collections::BTreeMap;

use rmcp::{
    ClientHandler, ErrorData,
    model::{
        CallToolRequestParams, ClientCapabilities, ClientConfig, CreateMessageRequestParams,
        CreateMessageResult, ElicitRequestParams, ElicitResult, ElicitationAction, ProtocolVersion,
        Role, SamplingMessage,
    },
    service::{
        ClientLifecycleMode, ClientServiceExt as _, RequestContext, RoleClient, RunningService,
    },
    transport::StreamableHttpClientTransport,
};
use serde_json::json;

use super::program::Report;

/// A client that asks for the last revision that has sessions when it opens one. It fills in forms
/// with its text, and its model repeats what it is told.
struct Client {
    text: String,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let mut config = ClientConfig::default();
        config.capabilities =
            ClientCapabilities::builder().enable_elicitation().enable_sampling().build();
        config.with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn create_elicitation(
        &self,
        _request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let form = json!({ "name": self.text });
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(form))
    }

    async fn create_message(
        &self,
        request: CreateMessageRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let told = request.messages[0].content.first().unwrap().clone();
        let message = SamplingMessage::new(Role::Assistant, told);
        Ok(CreateMessageResult::new(message, "it".to_owned()))
    }
}

/// The lifecycle of a name.
fn lifecycle(mode: &str) -> ClientLifecycleMode {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    match mode {
        "Initialize" => ClientLifecycleMode::Initialize,
        "Discover" => ClientLifecycleMode::Discover { preferred_versions },
        "Auto" => ClientLifecycleMode::Auto { preferred_versions, legacy_version: None },
        other => panic!("rmcp has no lifecycle {other}"),
    }
}

/// The version that this program is built with.
fn version() -> String {
    let lock = include_str!("../../../Cargo.lock");
    let (_, rest) = lock.split_once("name = \"rmcp\"\nversion = \"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// A client in one of its lifecycles.
struct Session(RunningService<RoleClient, Client>);

impl Session {
    async fn open(mode: &str, url: &str, text: &str) -> Self {
        let transport = StreamableHttpClientTransport::from_uri(url);
        let client = Client { text: text.to_owned() };
        Self(client.serve_with_lifecycle(transport, lifecycle(mode)).await.unwrap())
    }

    /// Calls a tool with one argument: the client's text.
    async fn call(&self, tool: &str, argument: &str) -> Result<String, String> {
        let text = self.0.service().text.as_str();
        let arguments = [(argument.to_owned(), text.into())].into_iter().collect();
        let call = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let result = self.0.call_tool(call).await.map_err(|error| error.to_string())?;
        Ok(result.content[0].as_text().unwrap().text.clone())
    }

    async fn report(self) -> Report {
        let tools = self.0.list_all_tools().await.unwrap();
        let report = Report {
            client: "rmcp".to_owned(),
            version: version(),
            protocol: self.0.peer_info().unwrap().protocol_version.to_string(),
            tools: tools.iter().map(|tool| tool.name.to_string()).collect(),
            ..Report::default()
        };
        self.0.cancel().await.unwrap();
        report
    }
}

/// Uses the endpoint as the client programs do.
pub async fn run(mode: &str, url: &str, text: &str) -> Report {
    let session = Session::open(mode, url, text).await;
    let echo_legacy = session.call("everything_echo", "message").await.unwrap();
    let echo_modern = session.call("demo_echo", "text").await.unwrap();
    Report { echo_legacy, echo_modern, ..session.report().await }
}

/// Calls tools that ask, as the client programs do.
pub async fn answers(mode: &str, url: &str, text: &str, tools: &[&str]) -> Report {
    let session = Session::open(mode, url, text).await;
    let mut answers = BTreeMap::new();
    for tool in tools {
        let said = session.call(tool, "who").await.unwrap_or_else(|error| error);
        answers.insert((*tool).to_owned(), said);
    }
    Report { answers, ..session.report().await }
}
