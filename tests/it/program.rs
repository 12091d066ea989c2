//! The released program as a user meets it: `switchboard serve` with its demonstration servers,
//! called over HTTP by clients of every revision.

use serde_json::{Value, json};
use switchboard::wire::Revision;

use crate::{
    mcp_host::{Events, modern_post},
    mcp_legacy::of_session,
    support::{
        binary::{PROGRAM, Switchboard},
        http::single,
        process,
        wait::until,
    },
};

/// What the default configuration has, written out.
async fn with_demo_servers() -> Switchboard {
    let config = json!({ "mcpServers": {
        "demo": { "command": PROGRAM, "args": ["demo-server"] },
        "clock": { "command": PROGRAM, "args": ["demo-server", "--name", "clock"] },
    }});
    let switchboard = Switchboard::serve(&config).await;
    let client = switchboard.client();
    until("the tools of both servers", async || (client.tools().await.len() == 10).then_some(()))
        .await;
    switchboard
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

const EXPOSED: [&str; 10] = [
    "clock_echo",
    "clock_add",
    "clock_now",
    "clock_slow",
    "clock_crash",
    "demo_echo",
    "demo_add",
    "demo_now",
    "demo_slow",
    "demo_crash",
];

#[tokio::test]
async fn a_modern_client_lists_and_calls_without_a_session() {
    let switchboard = with_demo_servers().await;
    let ready = switchboard.ready_line();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        ready.starts_with(&format!("switchboard {version} listening on http://127.0.0.1:")),
        "{ready}"
    );
    assert!(switchboard.url().ends_with("/mcp"), "{ready}");

    let client = switchboard.client();
    let facts = client.modern("server/discover", json!({})).await;
    assert_eq!(facts.result()["supportedVersions"], json!([Revision::LATEST]));
    assert!(facts.headers.get("mcp-session-id").is_none());

    assert_eq!(names(&client.tools().await), EXPOSED);
    let sum = client.call("demo_add", json!({"a": 9_007_199_254_740_993_u64, "b": 1})).await;
    assert_eq!(sum.result()["structuredContent"]["sum"], 9_007_199_254_740_994_u64);

    let unknown = client.call("demo_missing", json!({})).await;
    assert_eq!(unknown.error()["code"], -32602);
    let method = client.modern("no/such/method", json!({})).await;
    assert_eq!((method.status, &method.error()["code"]), (404, &json!(-32601)));
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn clients_of_every_earlier_revision_have_sessions_at_the_same_address() {
    let switchboard = with_demo_servers().await;
    let client = switchboard.client();
    for revision in Revision::ALL {
        if revision == Revision::LATEST {
            continue;
        }
        let session = client.initialize(revision).await;
        assert_eq!(session.server["protocolVersion"], json!(revision));
        assert_eq!(session.request("ping", json!({})).await.result(), &json!({}));
        let listed = session.request("tools/list", json!({})).await;
        assert_eq!(names(listed.result()["tools"].as_array().unwrap()), EXPOSED);
        let echo = session.call("clock_echo", json!({"text": "größe \u{1F4DE}"})).await;
        assert_eq!(echo.text(), "größe \u{1F4DE}");
        assert!(echo.result().get("resultType").is_none(), "{revision} has no result types");
        assert_eq!(session.end().await, 204);
    }
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn progress_arrives_in_order_and_before_the_answer() {
    let switchboard = with_demo_servers().await;
    let params = json!({
        "name": "demo_slow",
        "arguments": {"seconds": 0.2, "steps": 4},
        "_meta": {"progressToken": "mine"},
    });
    let reply = switchboard.client().modern("tools/call", params).await;
    let steps: Vec<f64> = reply
        .notifications("notifications/progress")
        .iter()
        .map(|notification| {
            assert_eq!(notification["params"]["progressToken"], "mine");
            notification["params"]["progress"].as_f64().unwrap()
        })
        .collect();
    assert_eq!(steps.len(), 4, "{reply:?}");
    assert!(steps.is_sorted(), "{steps:?}");
    assert_ne!(reply.result()["isError"], true);
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_crash_in_a_call_is_an_unknown_outcome_and_the_server_comes_back() {
    let switchboard = with_demo_servers().await;
    let client = switchboard.client();
    let crashed = client.call("demo_crash", json!({})).await;
    let result = crashed.result();
    assert_eq!(result["isError"], true, "{result:#}");
    let failure = &result["_meta"]["io.switchboard/failure"];
    assert_eq!(failure["kind"], "outcome_unknown", "{failure}");
    assert_eq!(failure["server"], "demo");
    assert_eq!(failure["sent"], true);
    assert_eq!(failure["incarnation"], 1);

    let echo = client.call("demo_echo", json!({"text": "back"})).await;
    assert_eq!(echo.text(), "back");
    let status = switchboard.status().await;
    let servers = status["servers"].as_array().unwrap();
    let life = |name: &str| {
        servers.iter().find(|server| server["server"] == name).unwrap()["incarnation"].clone()
    };
    assert_eq!((life("demo"), life("clock")), (json!(2), json!(1)));
    assert_eq!(names(&client.tools().await), EXPOSED, "the list stays as it was");

    let pids: Vec<u64> = servers.iter().filter_map(|server| server["pid"].as_u64()).collect();
    assert_eq!(pids.len(), 2);
    assert!(switchboard.stop().await.success());
    for pid in pids {
        assert!(!process::is_alive(u32::try_from(pid).unwrap()), "process {pid} was left behind");
    }
}

#[tokio::test]
async fn a_program_that_is_told_to_end_finishes_calls_refuses_others_and_ends_streams_in_order() {
    let mut switchboard = with_demo_servers().await;
    let client = switchboard.client();
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let listen = modern_post(&client, &json!("l"), "subscriptions/listen", filter);
    let mut listening = Events::of(Revision::LATEST, listen.send().await.unwrap());
    listening.message().await;
    let session = client.initialize(Revision::V2025_06_18).await;
    let stream = of_session(&session, reqwest::Method::GET, switchboard.url());
    let mut standing = Events::of(session.revision(), stream.send().await.unwrap());
    let slow = json!({
        "name": "demo_slow",
        "arguments": {"seconds": 4, "steps": 4},
        "_meta": {"progressToken": 1},
    });
    let slow = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": slow});
    let mut working =
        Events::of(session.revision(), session.post().json(&slow).send().await.unwrap());
    working.message().await;

    process::signal(switchboard.pid(), rustix::process::Signal::TERM);
    let call = json!({"name": "demo_echo", "arguments": {}});
    let refused = until("a new call is refused", async || {
        let call = modern_post(&client, &json!(2), "tools/call", call.clone());
        let response = call.send().await.expect("the door is open while a call is under way");
        (response.status() == 503).then_some(response)
    })
    .await;
    assert!(refused.headers().contains_key("retry-after"));
    let refused = single(Revision::LATEST, refused).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("try again"), "{refused}");

    let answer = loop {
        let message = working.message().await;
        if message["id"] == 7 {
            break message;
        }
    };
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("4 steps"));
    assert!(working.next().await.is_none());
    assert_eq!(listening.message().await["result"]["resultType"], "complete");
    assert!(listening.next().await.is_none());
    assert!(standing.next().await.is_none());
    assert!(switchboard.ended().await.success());
}
