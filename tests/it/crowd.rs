//! A thousand calls at the same time over twenty servers, one of which hangs: the real program,
//! real processes, HTTP.

use std::time::Duration;

use futures::future::join_all;
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::support::{
    binary::{PROGRAM, Switchboard},
    http::Client,
    process,
    wait::{PATIENCE, until},
};

const SERVERS: usize = 20;
const CALLS_EACH: usize = 50;
/// Connections that the calls share, so that a thousand calls are not a thousand sockets.
const CONNECTIONS: usize = 20;
/// The deadline of every call: long enough for the others on a slow machine.
const DEADLINE: Duration = Duration::from_secs(20);

fn server(number: usize) -> String {
    format!("s{number:02}")
}

/// One call: what came back, and when.
async fn call(client: &Client, number: usize, serial: usize) -> (Value, Duration) {
    let text = format!("{number}/{serial}");
    let began = Instant::now();
    let reply = client.call(&format!("{}_echo", server(number)), json!({ "text": text })).await;
    (reply.result().clone(), began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_disturbs_no_call_but_its_own() {
    let demo = json!({ "command": PROGRAM, "args": ["demo-server"] });
    let servers: Map<String, Value> =
        (0..SERVERS).map(|number| (server(number), demo.clone())).collect();
    let config = json!({
        "mcpServers": servers,
        "timeouts": { "call": format!("{}s", DEADLINE.as_secs()) },
    });
    let switchboard = Switchboard::serve(&config).await;
    let pids = until("all servers ready", async || {
        let status = switchboard.status().await;
        let servers = status["servers"].as_array().unwrap();
        let pid = |server: &Value| u32::try_from(server["pid"].as_u64().unwrap()).unwrap();
        let ready = servers.iter().filter(|server| server["state"] == "ready").map(pid);
        let ready: Vec<u32> = ready.collect();
        (ready.len() == SERVERS).then_some(ready)
    })
    .await;
    let hung = SERVERS / 2;
    process::signal(pids[hung], Signal::STOP);

    let clients: Vec<Client> =
        (0..CONNECTIONS).map(|_| Client::multiplexed(switchboard.url())).collect();
    let calls = (0..SERVERS * CALLS_EACH)
        .map(|serial| call(&clients[serial % CONNECTIONS], serial / CALLS_EACH, serial));
    let answers = join_all(calls).await;

    assert_eq!(answers.len(), SERVERS * CALLS_EACH);
    let mut sent = 0;
    for (serial, (result, took)) in answers.iter().enumerate() {
        let number = serial / CALLS_EACH;
        if number != hung {
            assert_ne!(result["isError"], true, "{result}");
            assert_eq!(result["content"][0]["text"], format!("{number}/{serial}"));
            continue;
        }
        let failure = &result["_meta"]["io.switchboard/failure"];
        assert_eq!(
            (&failure["kind"], &failure["server"]),
            (&json!("timeout"), &json!(server(hung)))
        );
        assert!((DEADLINE..DEADLINE + PATIENCE).contains(took), "{took:?}");
        sent += usize::from(failure["sent"] == true);
    }
    // As many as may be in flight, and those that got a place when the first ones gave up.
    assert!((16..=CALLS_EACH).contains(&sent), "{sent} were sent");

    process::signal(pids[hung], Signal::CONT);
    let (result, _) = call(&clients[0], hung, 0).await;
    assert_eq!(result["content"][0]["text"], format!("{hung}/0"));
    assert!(switchboard.stop().await.success());
}
