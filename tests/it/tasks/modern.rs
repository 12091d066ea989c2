//! Modern callers that take tasks, of modern servers.

use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use serde_json::json;
use switchboard::{
    runtime::ServerConfig,
    upstream::{TransportConfig, http::HttpConfig},
    wire::Revision,
};

use super::{host, journaled, learned, takes, until_not};
use crate::{
    dialogue::talk::{Host, accepted, call},
    support::{
        schema::assert_valid,
        upstream::{Upstream, faulty},
    },
};

const LACKING: i64 = -32021;
const INVALID: i64 = -32602;

#[tokio::test]
async fn a_task_is_handed_out_asked_for_and_ends_with_its_result() {
    let host = host("modern").await;
    let mut client = host.modern(takes());
    let id = client.call("may", "a").await;
    let task = client.result(id).await;
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")));
    assert_eq!((&task["ttlMs"], &task["pollIntervalMs"]), (&json!(60000), &json!(100)));
    assert!(!task["taskId"].as_str().unwrap().contains("own-"), "{task}");
    let ended = until_not(&mut client, &task["taskId"], "working").await;
    assert_eq!((&ended["status"], &ended["resultType"]), (&json!("completed"), &json!("complete")));
    assert_eq!(learned(&ended["result"]), json!([]));
    assert_eq!(host.journal(), ["may"]);
}

#[tokio::test]
async fn a_task_that_wants_to_know_something_is_told_by_an_update() {
    let host = host("modern").await;
    let mut client = host.modern(takes());
    let id = client.call("asks", "a").await;
    let task = client.result(id).await["taskId"].clone();
    let wants = until_not(&mut client, &task, "working").await;
    assert_eq!(wants["status"], "input_required");
    let asked = &wants["inputRequests"]["who"];
    assert_eq!(asked["params"]["message"], "[asker] Who are you?", "users see who asks");
    let answer = json!({"taskId": task, "inputResponses": {"who": accepted("Ada")}});
    let id = client.ask("tasks/update", answer).await;
    assert_eq!(client.result(id).await["resultType"], "complete");
    let ended = until_not(&mut client, &task, "working").await;
    assert_eq!(learned(&ended["result"]), json!([accepted("Ada")]));
}

#[tokio::test]
async fn a_task_that_is_given_up_or_fails_says_so() {
    let host = host("modern").await;
    let mut client = host.modern(takes());
    let id = client.call("never", "a").await;
    let task = client.result(id).await["taskId"].clone();
    let id = client.ask("tasks/cancel", json!({"taskId": task})).await;
    client.result(id).await;
    assert_eq!(until_not(&mut client, &task, "working").await["status"], "cancelled");
    assert_eq!(host.journal(), ["never", "cancel never"]);
    let id = client.call("fails", "a").await;
    let task = client.result(id).await["taskId"].clone();
    let failed = until_not(&mut client, &task, "working").await;
    assert_eq!(failed["error"], json!({"code": -7, "message": "it broke"}));
}

#[tokio::test]
async fn a_task_is_its_callers_alone_and_nobody_elses_word_for_it_is_taken() {
    let host = host("modern").await;
    let mut client = host.modern(takes());
    let id = client.call("never", "a").await;
    let task = client.result(id).await["taskId"].as_str().unwrap().to_owned();
    let mut changed = task.clone().into_bytes();
    changed[60] = if changed[60] == b'A' { b'B' } else { b'A' };
    let other = super::host("modern").await;
    let mut stranger = other.modern(takes());
    let mut legacy = host.legacy(json!({})).await;
    let changed = String::from_utf8(changed).unwrap();
    for bad in [changed.as_str(), &task[..30], "own-1-0", ""] {
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let id = client.ask(method, json!({"taskId": bad, "inputResponses": {}})).await;
            assert_eq!(client.answer(id).await["error"]["code"], INVALID, "{method} {bad}");
        }
    }
    let id = stranger.ask("tasks/get", json!({"taskId": task})).await;
    assert_eq!(stranger.answer(id).await["error"]["code"], INVALID, "another key");
    let id = legacy.ask("tasks/cancel", json!({"taskId": task})).await;
    assert_eq!(legacy.answer(id).await["error"]["code"], INVALID, "other rules");
    assert_eq!(host.journal(), ["never"]);
    let id = client.ask("tasks/get", json!({"taskId": task})).await;
    assert_eq!(client.result(id).await["status"], "working");
}

#[tokio::test]
async fn tasks_are_for_those_who_declare_them() {
    let host = host("modern").await;
    let mut client = host.modern(takes());
    let id = client.ask("server/discover", json!({})).await;
    let offered = client.result(id).await;
    assert_valid(Revision::LATEST, "DiscoverResult", &offered);
    assert_eq!(offered["capabilities"]["extensions"], json!({"io.modelcontextprotocol/tasks": {}}));
    let id = client.call("never", "a").await;
    let task = client.result(id).await["taskId"].clone();
    let mut other = host.modern(json!({}));
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let id = other.ask(method, json!({"taskId": task})).await;
        let error = &other.answer(id).await["error"];
        assert_eq!(error["code"], LACKING, "{method}");
        let needed = &error["data"]["requiredCapabilities"]["extensions"];
        assert_eq!(*needed, json!({"io.modelcontextprotocol/tasks": {}}));
    }
    // A server that can do without makes none for who takes none.
    let id = other.call("may", "b").await;
    assert_eq!(other.learned(id).await, "at once");
    for method in ["tasks/list", "tasks/result"] {
        let id = client.ask(method, json!({"taskId": task})).await;
        assert_eq!(client.answer(id).await["error"]["code"], -32601, "{method}");
    }
    journaled(&host, "may").await;
}

#[tokio::test]
async fn a_key_is_one_execution_that_has_the_tasks_result() {
    let host = host("modern").await;
    let mut client = host.modern(takes());
    for _ in 0..2 {
        let mut params = call("must", "a");
        params["_meta"] = json!({"io.switchboard/idempotencyKey": "k"});
        let id = client.ask("tools/call", params).await;
        assert_eq!(client.learned(id).await, json!([]));
    }
    assert_eq!(host.journal(), ["must"]);
}

#[tokio::test]
async fn over_http_requests_about_a_task_name_it_as_its_server_does() {
    let named = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&named);
    let upstream = Upstream::serve(faulty(true, move |asked| {
        let task = |kind: &str, status: &str| {
            asked.result(&json!({
                "resultType": kind, "taskId": "größe", "status": status, "ttlMs": null,
                "createdAt": "2026-07-28T00:00:00Z", "lastUpdatedAt": "2026-07-28T00:00:01Z",
                "result": {"content": []},
            }))
        };
        let answer = match asked.method() {
            "tools/call" => task("task", "working"),
            "tasks/get" => {
                assert_eq!(asked.message["params"]["taskId"], "größe");
                let name = asked.headers["mcp-name"].to_str().unwrap().to_owned();
                seen.lock().unwrap().push(name);
                task("complete", "completed")
            }
            _ => return None,
        };
        Some(std::future::ready(answer).boxed())
    }))
    .await;
    let http = HttpConfig { url: upstream.url(), headers: std::collections::BTreeMap::new() };
    let config = ServerConfig::new(TransportConfig::Http(http));
    let host = Host::over(config, tempfile::tempdir().unwrap()).await;
    let mut client = host.modern(takes());
    let id = client.call("work", "a").await;
    let task = client.result(id).await["taskId"].clone();
    let id = client.ask("tasks/get", json!({"taskId": task})).await;
    assert_eq!(client.result(id).await["status"], "completed");
    assert_eq!(*named.lock().unwrap(), ["=?base64?Z3LDtsOfZQ==?="]);
}
