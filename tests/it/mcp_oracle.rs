//! rmcp's own client as the oracle: each of its lifecycles, over HTTP and over streams.

use std::sync::Arc;

use rmcp::{
    ClientHandler,
    model::{CallToolRequestParams, ClientConfig, ProtocolVersion, SubscriptionFilter},
    service::{
        ClientLifecycleMode, ClientServiceExt as _, NotificationContext, RoleClient, RunningService,
    },
    transport::StreamableHttpClientTransport,
};
use switchboard::{
    face::stdio::{StdioOptions, serve},
    id::Owner,
};
use tokio::{
    io::{duplex, split},
    sync::Notify,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    mcp_host::{Host, grow, runtime},
    support::{script::Script, wait::PATIENCE},
};

/// A client that notices when the list of tools changed.
#[derive(Clone, Default)]
struct Watcher(Arc<Notify>);

impl ClientHandler for Watcher {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::default().with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.notify_one();
    }
}

fn lifecycles() -> [ClientLifecycleMode; 3] {
    let preferred_versions = || vec![ProtocolVersion::V_2026_07_28];
    [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover { preferred_versions: preferred_versions() },
        ClientLifecycleMode::Auto {
            preferred_versions: preferred_versions(),
            legacy_version: None,
        },
    ]
}

/// Lists and calls, and says whether the client is modern.
async fn uses(client: &RunningService<RoleClient, Watcher>) -> bool {
    let tools = client.list_all_tools().await.unwrap();
    assert!(tools.iter().any(|tool| tool.name == "demo_echo"));
    let call = CallToolRequestParams::new("demo_echo").with_arguments(rmcp::object!({"a": 1}));
    let result = client.call_tool(call).await.unwrap();
    assert_eq!(result.content[0].as_text().unwrap().text, r#"{"a":1}"#);
    let unknown = client.call_tool(CallToolRequestParams::new("nothing")).await;
    assert!(unknown.is_err());
    client.listen(SubscriptionFilter::builder().tools_list_changed().build()).await.is_ok()
}

/// Waits until the client is told, in its era's way, while something changes.
async fn is_told(client: &RunningService<RoleClient, Watcher>, change: impl Future<Output = ()>) {
    let filter = SubscriptionFilter::builder().tools_list_changed().build();
    let told = async {
        if let Ok(mut changes) = client.listen(filter).await {
            change.await;
            changes.next().await.unwrap().expect("a notification");
        } else {
            change.await;
            client.service().0.notified().await;
        }
    };
    timeout(PATIENCE, told).await.expect("told in time");
}

#[tokio::test]
async fn rmcps_client_is_served_over_http_in_each_of_its_lifecycles() {
    for lifecycle in lifecycles() {
        let legacy = lifecycle == ClientLifecycleMode::Initialize;
        let host = Host::start(Script::new().echo()).await;
        let transport = StreamableHttpClientTransport::from_uri(host.url("/mcp"));
        let client = Watcher::default().serve_with_lifecycle(transport, lifecycle).await.unwrap();
        assert_eq!(uses(&client).await, !legacy);
        is_told(&client, host.grow("more")).await;
        client.cancel().await.unwrap();
        host.stop().await;
    }
}

#[tokio::test]
async fn rmcps_client_is_served_over_streams_in_each_of_its_lifecycles() {
    for lifecycle in lifecycles() {
        let legacy = lifecycle == ClientLifecycleMode::Initialize;
        let script = Script::new().echo();
        let (runtime, gate) = runtime(&script, 1000).await;
        let (ours, theirs) = duplex(64 * 1024);
        let (reader, writer) = split(theirs);
        let options = StdioOptions { owner: Owner::Store, line_bytes: 1 << 20, grace: PATIENCE };
        let mut serving = JoinSet::new();
        serving.spawn(serve(reader, writer, gate, options, CancellationToken::new()));
        let client = Watcher::default().serve_with_lifecycle(ours, lifecycle).await.unwrap();
        assert_eq!(uses(&client).await, !legacy);
        is_told(&client, grow(&runtime, &script, "more")).await;
        client.cancel().await.unwrap();
        let served = timeout(PATIENCE, serving.join_next()).await.unwrap();
        served.unwrap().unwrap().unwrap();
    }
}
