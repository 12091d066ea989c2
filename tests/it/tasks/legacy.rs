//! Tasks by the rules of 2025-11-25, on both sides.

use serde_json::{Value, json};
use switchboard::wire::Revision;

use super::{host, learned, until_not};
use crate::{
    dialogue::talk::{Host, Talk, accepted, call},
    support::schema::assert_valid,
};

const REVISION: Revision = Revision::V2025_11_25;
const RELATED: &str = "io.modelcontextprotocol/related-task";

/// Calls a tool as a task and gives the task's name.
pub async fn begin(client: &mut Talk, tool: &str) -> Value {
    let mut params = call(tool, "a");
    params["task"] = json!({"ttl": 60000});
    let id = client.ask("tools/call", params).await;
    let result = client.result(id).await;
    assert_valid(REVISION, "CreateTaskResult", &result);
    assert!(!result["task"]["taskId"].as_str().unwrap().contains("own-"), "{result}");
    result["task"]["taskId"].clone()
}

async fn listed(client: &mut Talk) -> Vec<Value> {
    let id = client.ask("tasks/list", json!({})).await;
    let list = client.result(id).await;
    assert_valid(REVISION, "ListTasksResult", &list);
    list["tasks"].as_array().unwrap().iter().map(|task| task["taskId"].clone()).collect()
}

async fn able(host: &Host) -> Talk {
    host.legacy(json!({"elicitation": {}})).await
}

#[tokio::test]
async fn a_call_that_asks_for_a_task_gets_one_and_its_result_when_it_has_ended() {
    let host = host("legacy").await;
    let mut client = able(&host).await;
    let task = begin(&mut client, "may").await;
    let ended = until_not(&mut client, &task, "working").await;
    assert_valid(REVISION, "GetTaskResult", &ended);
    assert_eq!(ended["status"], "completed");
    let id = client.ask("tasks/result", json!({"taskId": task})).await;
    let result = client.result(id).await;
    assert_eq!(learned(&result), json!([]));
    assert_eq!(result["_meta"][RELATED]["taskId"], task);
    assert_eq!(host.journal(), ["may"]);
}

#[tokio::test]
async fn a_task_asks_on_the_way_to_its_result() {
    let host = host("legacy").await;
    let mut client = able(&host).await;
    let task = begin(&mut client, "asks").await;
    let wants = until_not(&mut client, &task, "working").await;
    assert_eq!(wants["status"], "input_required");
    let id = client.ask("tasks/result", json!({"taskId": task})).await;
    let asked = client.asked("elicitation/create").await;
    assert_eq!(asked["params"]["_meta"][RELATED]["taskId"], task, "by the caller's own name");
    client.reply(&asked, accepted("Ada")).await;
    assert_eq!(learned(&client.result(id).await), json!([accepted("Ada")]));
}

#[tokio::test]
async fn a_caller_lists_and_cancels_its_own_tasks() {
    let host = host("legacy").await;
    let mut client = able(&host).await;
    assert_eq!(listed(&mut client).await, [] as [Value; 0]);
    let first = begin(&mut client, "never").await;
    let second = begin(&mut client, "may").await;
    let both = [first.clone(), second.clone()];
    assert_eq!(listed(&mut client).await, both, "by the names that were given");
    let id = client.ask("tasks/cancel", json!({"taskId": first})).await;
    let cancelled = client.result(id).await;
    assert_valid(REVISION, "CancelTaskResult", &cancelled);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(host.journal(), ["never", "may", "cancel never"]);
    // What a task of a modern caller is called does not concern a legacy one.
    let mut modern = host.modern(json!({}));
    let id = modern.call("must", "b").await;
    modern.learned(id).await;
    let mut other = able(&host).await;
    assert_eq!(listed(&mut other).await, [] as [Value; 0], "another session's");
    assert_eq!(listed(&mut client).await, both);
    let id = client.call("forget", "a").await;
    client.result(id).await;
    assert_eq!(listed(&mut client).await, [] as [Value; 0], "its server decides");
}

#[tokio::test]
async fn only_a_session_of_2025_11_25_has_tasks() {
    let host = host("legacy").await;
    let tasks = async |revision: Revision| {
        let mut client = host.of_revision(revision, json!({})).await;
        let id = client.ask("tasks/list", json!({})).await;
        (client.answer(id).await["error"]["code"].clone(), client)
    };
    let (error, mut older) = tasks(Revision::V2025_06_18).await;
    assert_eq!(error, -32601);
    assert_eq!(tasks(REVISION).await.0, Value::Null);
    // What it calls a task means nothing there, and the tool is called all the same.
    let mut params = call("may", "a");
    params["task"] = json!({});
    let id = older.ask("tools/call", params).await;
    assert_eq!(older.learned(id).await, "at once");
}
