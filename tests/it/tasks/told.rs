//! What servers tell of tasks by themselves, and who hears it.

use serde_json::{Value, json};
use switchboard::{access::Principal, id::Owner};

use super::{host, journaled, legacy::begin, takes, until_not};
use crate::dialogue::talk::{SERVER, Talk, call};

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
    let mut older = host.of_revision(switchboard::wire::Revision::V2025_06_18, json!({})).await;
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
    let name = switchboard::id::ServerName::new(SERVER).unwrap();
    host.gate.restart(&Principal::local(), &Owner::Store, &name, None).await.unwrap();
    let listens = || host.journal().iter().filter(|line| *line == "listen never").count();
    crate::support::wait::until("a listen of the next life", async || {
        (listens() == 3).then_some(())
    })
    .await;
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
