//! Tasks outlive what they began with: the call, the server's process, and Switchboard.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use switchboard::{
    access::Principal,
    id::{Owner, ServerName},
    restart::State,
    runtime::{CallRequest, Runtime, RuntimeConfig, ServerConfig},
    upstream::{TransportConfig, stream::ByteStream},
    wire::{Abilities, Ability, task::Status},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex, split},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{command, host, journaled, learned, takes, until_not};
use crate::{
    dialogue::talk::{Host, SERVER},
    support::{binary::Switchboard, outgoing::Leg, wait::until},
};

#[tokio::test]
async fn a_name_for_a_task_opens_after_a_restart_with_the_same_state() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("journal"), "").unwrap();
    let (program, args) = command("modern", folder.path());
    let config = json!({"mcpServers": {SERVER: {"command": program, "args": args}}});
    let mut switchboard = Switchboard::serve(&config).await;
    let meta = json!({"io.modelcontextprotocol/clientCapabilities": takes()});
    let params = json!({"name": format!("{SERVER}_may"), "_meta": meta});
    let reply = switchboard.client().modern("tools/call", params).await;
    let task = reply.result()["taskId"].clone();
    switchboard = switchboard.restart().await;
    let ended = until("the end", async || {
        let params = json!({"taskId": task, "_meta": meta});
        let told = switchboard.client().modern("tasks/get", params).await.result().clone();
        (told["status"] != "working").then_some(told)
    })
    .await;
    assert_eq!(ended["taskId"], task);
    assert_eq!(learned(&ended["result"]), json!([]));
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_task_is_of_the_program_that_made_it() {
    let host = host("modern").await;
    let mut client = host.modern(takes());
    let id = client.call("never", "a").await;
    let task = client.result(id).await["taskId"].clone();
    let mut waiting = host.modern(json!({}));
    let id = waiting.call("never", "b").await;
    until("both tasks", async || (host.journal() == ["never", "never"]).then_some(())).await;
    // It finds the tasks of the one before, under the names that they had there.
    let mut changed = host.config.clone().unwrap();
    let TransportConfig::Stdio(stdio) = &mut changed.transport else { unreachable!() };
    stdio.args.push("another".to_owned());
    host.runtime.store().update(ServerName::new(SERVER).unwrap(), changed).await.unwrap();
    let refused = until("the other program", async || {
        let id = client.ask("tasks/get", json!({"taskId": task})).await;
        let answer = client.answer(id).await;
        answer.get("error").cloned()
    })
    .await;
    assert!(refused["message"].as_str().unwrap().contains("another one now"), "{refused}");
    // The one that made it hears the rest, from who waits for it.
    let params = json!({ "requestId": id });
    let method = "notifications/cancelled";
    waiting.say(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    journaled(&host, "cancel never").await;
    let heard = std::fs::read_to_string(host.folder.path().join("journal.heard")).unwrap();
    let by = |method: &str| {
        let line = heard.lines().find(|line| line.contains(&format!(r#""{method}""#)));
        line.and_then(|line| line.split_once(' ')).map(|(pid, _)| pid.to_owned())
    };
    assert_eq!(by("tasks/cancel"), by("tools/call"), "the process that made it");
}

#[tokio::test]
async fn the_next_life_of_a_server_decides_what_became_of_a_task() {
    let host = host("modern").await;
    let mut client = host.modern(takes());
    let id = client.call("may", "a").await;
    let task = client.result(id).await["taskId"].clone();
    let (who, server) = (Principal::local(), ServerName::new(SERVER).unwrap());
    host.gate.restart(&who, &Owner::Store, &server, None).await.unwrap();
    assert_eq!(until_not(&mut client, &task, "working").await["status"], "completed");
    let id = client.call("forget", "a").await;
    client.result(id).await;
    let id = client.ask("tasks/get", json!({"taskId": task})).await;
    assert_eq!(client.answer(id).await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_call_whose_task_is_forgotten_has_an_unknown_outcome() {
    let host = host("modern").await;
    let (mut caller, mut other) = (host.modern(json!({})), host.modern(json!({})));
    let id = caller.call("never", "a").await;
    journaled(&host, "never").await;
    let forget = other.call("forget", "b").await;
    other.result(forget).await;
    let result = caller.result(id).await;
    assert_eq!(result["isError"], true, "{result}");
    let kind = &result["_meta"]["io.switchboard/failure"]["kind"];
    assert_eq!(kind, "outcome_unknown", "{result}");
}

/// How the task stands, always.
fn task(result_type: &str) -> Value {
    json!({
        "resultType": result_type, "taskId": "t", "status": "working", "ttlMs": 600_000,
        "createdAt": "2026-07-28T00:00:00Z", "lastUpdatedAt": "2026-07-28T00:00:00Z",
        "pollIntervalMs": 30_000,
    })
}

/// Serves one tool, whose task never ends by itself.
async fn serve(stream: DuplexStream) {
    let (reader, mut writer) = split(stream);
    let mut lines = BufReader::new(reader).lines();
    let mut leg = Leg::default();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).unwrap();
        leg.hear(&message);
        let result = match message["method"].as_str().unwrap() {
            "server/discover" => {
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
            }
            "tools/list" => json!({"tools": [{"name": "work", "inputSchema": {}}]}),
            "tools/call" => task("task"),
            "tasks/get" => task("complete"),
            _ => json!({}),
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        writer.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_is_not_idle_until_its_task_has_outlived_its_time() {
    let serving = Arc::<Mutex<JoinSet<()>>>::default();
    let connector = ByteStream::new(move || {
        let (ours, theirs) = duplex(64 * 1024);
        serving.lock().unwrap().spawn(serve(theirs));
        std::future::ready(Ok(ours))
    });
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let (store, server) = (runtime.store(), ServerName::new(SERVER).unwrap());
    let idle_stop = Duration::from_secs(10);
    let config = ServerConfig { idle_stop, ..ServerConfig::new(TransportConfig::InProcess) };
    store.add_connector(server.clone(), config, Arc::new(connector)).await.unwrap();
    store.wait_ready(&server, Duration::from_mins(1)).await.unwrap();
    let mut request = CallRequest::new(format!("{SERVER}_work"), &json!({}));
    request.dialogue.abilities = Abilities::NONE.and(Ability::Tasks);
    let answer = store.call(request).await.unwrap();
    assert_eq!(answer.task.unwrap().status, Status::Working);
    let after = async |minutes| {
        let time = Duration::from_mins(minutes);
        timeout(time, std::future::pending::<()>()).await.unwrap_err();
        store.server(&server).unwrap().state
    };
    assert_eq!(after(9).await, State::Ready);
    assert_eq!(after(2).await, State::Idle);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_task_hears_that_its_server_was_removed_while_it_was_down() {
    let serving = Arc::<Mutex<JoinSet<()>>>::default();
    let (lives, is_made) = (Arc::clone(&serving), AtomicBool::new(false));
    let connector = ByteStream::new(move || {
        let is_first = !is_made.swap(true, Ordering::Relaxed);
        let (ours, theirs) = duplex(64 * 1024);
        lives.lock().unwrap().spawn(serve(theirs));
        std::future::ready(if is_first { Ok(ours) } else { Err(io::Error::other("gone")) })
    });
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let (store, server) = (runtime.store(), ServerName::new(SERVER).unwrap());
    let config = ServerConfig::new(TransportConfig::InProcess);
    store.add_connector(server.clone(), config, Arc::new(connector)).await.unwrap();
    store.wait_ready(&server, Duration::from_mins(1)).await.unwrap();
    let host = Host::of(runtime.clone(), tempfile::tempdir().unwrap());
    let mut caller = host.modern(json!({}));
    let id = caller.call("work", "a").await;
    until("the task", async || {
        let status = store.server(&server)?;
        (status.calls > 0 && status.in_flight == 0).then_some(())
    })
    .await;
    serving.lock().unwrap().abort_all();
    until("backoff", async || (store.server(&server)?.state == State::Backoff).then_some(())).await;
    let start = Instant::now();
    store.remove(&server).await.unwrap();
    let result = caller.result(id).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let kind = &result["_meta"]["io.switchboard/failure"]["kind"];
    assert_eq!(kind, "outcome_unknown", "{result}");
}
