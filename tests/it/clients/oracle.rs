//! rmcp's client as a row of the table: its three lifecycles, in this process.

use rmcp::{
    ClientHandler,
    model::{CallToolRequestParams, ClientConfig, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt as _},
    transport::StreamableHttpClientTransport,
};

use super::program::Report;

/// A client that asks for the last revision that has sessions when it opens one.
struct Client;

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::default().with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
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

/// Uses the endpoint as the client programs do.
pub async fn run(mode: &str, url: &str, text: &str) -> Report {
    let transport = StreamableHttpClientTransport::from_uri(url);
    let client = Client.serve_with_lifecycle(transport, lifecycle(mode)).await.unwrap();
    let tools = client.list_all_tools().await.unwrap();
    let call = async |tool: &'static str, argument: &str| {
        let arguments = [(argument.to_owned(), text.into())].into_iter().collect();
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = client.call_tool(call).await.unwrap();
        result.content[0].as_text().unwrap().text.clone()
    };
    let report = Report {
        client: "rmcp".to_owned(),
        version: version(),
        protocol: client.peer_info().unwrap().protocol_version.to_string(),
        tools: tools.iter().map(|tool| tool.name.to_string()).collect(),
        echo_legacy: call("everything_echo", "message").await,
        echo_modern: call("demo_echo", "text").await,
    };
    client.cancel().await.unwrap();
    report
}
