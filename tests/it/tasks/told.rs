//! What servers tell of tasks by themselves, and who hears it.

use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::{
    access::Principal,
    face::http::{HttpFace, HttpFaceConfig},
    id::{Owner, ServerName},
    wire::Revision,
};

use super::{host, journaled, legacy::begin, takes, until_not};
use crate::{
    dialogue::talk::{Host, SERVER, Talk, call},
    mcp_host::Events,
    support::{http::Client, wait::until},
};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// Calls a tool that is no task.
async fn run(client: &mut Talk, tool: &str) {
    let id = client.call(tool, "a").await;
    client.result(id).await;
}

/// Nothing was told before this.
async fn is_silent(client: &mut Talk, method: &str) {
    let id = client.ask(method, json!({})).await;
    client.result(id).await;
}

/// Opens a listen stream for tasks; gives its id and what was agreed to.
async fn listen(client: &mut Talk, tasks: &[&Value]) -> (u64, Value) {
    let filter = json!({"notifications": {"taskIds": tasks}});
    let id = client.ask("subscriptions/listen", filter).await;
    let told = client.told("notifications/subscriptions/acknowledged").await;
    assert_eq!(told["_meta"][SUBSCRIPTION], id);
    (id, told["notifications"].clone())
}

/// Begins a task that never ends by itself.
async fn made(client: &mut Talk) -> Value {
    let id = client.call("never", "a").await;
    let result = client.result(id).await;
    assert_eq!(result["resultType"], "task", "{result}");
    result["taskId"].clone()
}

#[tokio::test]
async fn a_session_is_told_of_its_own_tasks_until_they_have_ended() {
    let host = host("legacy").await;
    let mut owner = host.legacy(json!({})).await;
    let mut other = host.legacy(json!({})).await;
    let mut older = host.of_revision(Revision::V2025_06_18, json!({})).await;
    let task = begin(&mut owner, "never").await;
    run(&mut other, "finish").await;
    let told = owner.told("notifications/tasks/status").await;
    assert_eq!((&told["taskId"], &told["status"]), (&task, &json!("completed")), "{told}");
    assert!(!told.to_string().contains("own-"), "{told}");
    run(&mut other, "finish").await;
    for client in [&mut owner, &mut other, &mut older] {
        is_silent(client, "ping").await;
    }
    // Whoever asks for a task is told of it as well, and of one that has ended no longer.
    let task = begin(&mut owner, "never").await;
    let id = other.ask("tasks/get", json!({"taskId": task})).await;
    assert_eq!(other.result(id).await["taskId"], task);
    let id = owner.ask("tasks/cancel", json!({"taskId": task})).await;
    owner.result(id).await;
    run(&mut older, "finish").await;
    let told = other.told("notifications/tasks/status").await;
    assert_eq!((&told["taskId"], &told["status"]), (&task, &json!("cancelled")), "{told}");
    is_silent(&mut owner, "ping").await;
}

#[tokio::test]
async fn a_listener_is_told_of_the_tasks_that_it_names_and_owns() {
    let host = host("modern").await;
    let (mut client, mut other) = (host.modern(takes()), host.modern(takes()));
    let (task, unheard) = (made(&mut client).await, made(&mut client).await);
    let foreign = json!("own-1-0");
    let (listening, agreed) = listen(&mut client, &[&task, &foreign, &task]).await;
    assert_eq!(agreed, json!({"taskIds": [task]}));
    journaled(&host, "listen never").await;
    run(&mut other, "finish").await;
    let told = client.told("notifications/tasks").await;
    assert_eq!((&told["taskId"], &told["status"]), (&task, &json!("completed")), "{told}");
    assert_eq!(told["_meta"], json!({"own/key": 1, SUBSCRIPTION: listening}));
    assert_eq!(told["result"]["content"][0]["text"], "[]");
    assert!(!told.to_string().contains("own-"), "{told}");
    // It has ended, so its server has nothing to tell any more.
    journaled(&host, "unlisten").await;
    is_silent(&mut client, "tools/list").await;

    let again = made(&mut client).await;
    let (second, _) = listen(&mut client, &[&again]).await;
    let name = ServerName::new(SERVER).unwrap();
    let listens = async |count| {
        until("a listen", async || {
            let journal = host.journal();
            let listens = journal.iter().filter(|line| *line == "listen never").count();
            (listens == count).then_some(())
        })
        .await;
    };
    listens(2).await;
    host.gate.restart(&Principal::local(), &Owner::Store, &name, None).await.unwrap();
    listens(3).await;
    run(&mut other, "finish").await;
    let told = client.told("notifications/tasks").await;
    assert_eq!((&told["taskId"], &told["_meta"][SUBSCRIPTION]), (&again, &json!(second)));
    assert_eq!(until_not(&mut client, &unheard, "working").await["status"], "completed");
}

#[tokio::test]
async fn only_who_takes_tasks_listens_to_them_and_only_to_those_of_its_era() {
    let host = host("modern").await;
    let mut stranger = host.modern(json!({}));
    let filter = json!({"notifications": {"taskIds": []}});
    let id = stranger.ask("subscriptions/listen", filter).await;
    let error = &stranger.answer(id).await["error"];
    assert_eq!(error["code"], -32021, "{error}");
    let mut client = host.modern(takes());
    let many: Vec<Value> = (0..257).map(Value::from).map(|it| json!(it.to_string())).collect();
    let filter = json!({"notifications": {"taskIds": many}});
    let id = client.ask("subscriptions/listen", filter).await;
    assert!(client.answer(id).await["error"]["code"].is_i64());

    let legacy = super::host("legacy").await;
    let mut session = legacy.legacy(json!({})).await;
    let task = begin(&mut session, "never").await;
    let mut client = legacy.modern(takes());
    assert_eq!(listen(&mut client, &[&task]).await.1, json!({"taskIds": []}));
    // Nobody has to be told of a task that is awaited.
    let id = client.ask("tools/call", call("must", "a")).await;
    assert_eq!(client.learned(id).await, json!([]));
}

/// A client over HTTP; its face serves as long as the second part lives.
async fn over_http(host: &Host) -> (Client, impl Sized + use<>) {
    let config = HttpFaceConfig { port: 0, ..HttpFaceConfig::default() };
    let face = HttpFace::bind(&config).await.unwrap();
    let face = face.serve(64 * 1024, Arc::clone(&host.gate), None);
    (Client::new(format!("http://{}/mcp", face.local_addr())), face)
}

#[tokio::test]
async fn over_http_tasks_are_told_on_the_streams_of_their_owners() {
    let legacy = host("legacy").await;
    let (client, _face) = over_http(&legacy).await;
    let session = client.initialize(Revision::LATEST_LEGACY).await;
    let mut stream = Events::of(Revision::LATEST_LEGACY, session.stream().await);
    let mut params = call("never", "a");
    params["task"] = json!({});
    let made = session.request("tools/call", params).await.result()["task"]["taskId"].clone();
    run(&mut legacy.legacy(json!({})).await, "finish").await;
    let told = stream.message().await;
    assert_eq!(told["method"], "notifications/tasks/status", "{told}");
    let told = &told["params"];
    assert_eq!((&told["taskId"], &told["status"]), (&made, &json!("completed")));

    let modern = host("modern").await;
    let (client, _face) = over_http(&modern).await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": Revision::LATEST,
        "io.modelcontextprotocol/clientCapabilities": takes(),
    });
    let mut params = call("never", "a");
    params["_meta"] = meta.clone();
    let made = client.modern("tools/call", params).await.result()["taskId"].clone();
    let method = "subscriptions/listen";
    let params = json!({"notifications": {"taskIds": [made]}, "_meta": meta});
    let message = json!({"jsonrpc": "2.0", "id": "l", "method": method, "params": params});
    let post = client.post().header("mcp-protocol-version", Revision::LATEST.as_str());
    let opened = post.header("mcp-method", method).json(&message).send().await.unwrap();
    let mut stream = Events::of(Revision::LATEST, opened);
    let agreed = stream.message().await["params"]["notifications"].clone();
    assert_eq!(agreed, json!({"taskIds": [made]}));
    journaled(&modern, "listen never").await;
    run(&mut modern.modern(json!({})), "finish").await;
    let told = stream.message().await;
    assert_eq!(told["method"], "notifications/tasks", "{told}");
    let told = &told["params"];
    assert_eq!((&told["taskId"], &told["_meta"][SUBSCRIPTION]), (&made, &json!("l")));
    drop(stream);
}
