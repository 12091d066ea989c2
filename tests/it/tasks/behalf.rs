//! Callers that take no tasks: the task is asked for until it has ended, in every combination of
//! eras.

use serde_json::json;
use switchboard::wire::Revision;

use super::{host, journaled, takes};
use crate::dialogue::talk::{accepted, call};

const ERAS: [&str; 2] = ["legacy", "modern"];

#[tokio::test]
async fn a_call_that_becomes_a_task_has_its_result_in_every_combination_of_eras() {
    for era in ERAS {
        let host = host(era).await;
        let mut modern = host.modern(json!({}));
        let id = modern.call("must", "a").await;
        assert_eq!(modern.learned(id).await, json!([]), "{era}");
        for revision in [Revision::V2025_11_25, Revision::V2025_06_18] {
            let mut legacy = host.of_revision(revision, json!({})).await;
            let id = legacy.call("must", "a").await;
            assert_eq!(legacy.learned(id).await, json!([]), "{era} {revision}");
        }
        assert_eq!(host.journal(), ["must"; 3], "{era}");
    }
    // A modern caller takes tasks by its own rules alone.
    let host = host("legacy").await;
    let mut client = host.modern(takes());
    let mut params = call("must", "a");
    params["task"] = json!({});
    let id = client.ask("tools/call", params).await;
    assert_eq!(client.learned(id).await, json!([]));
}

#[tokio::test]
async fn what_a_task_wants_to_know_goes_the_way_of_every_question() {
    for era in ERAS {
        let host = host(era).await;
        let able = json!({"elicitation": {}});
        let mut legacy = host.legacy(able.clone()).await;
        let id = legacy.call("asks", "a").await;
        let asked = legacy.asked("elicitation/create").await;
        assert_eq!(asked["params"]["message"], "[asker] Who are you?", "{era}");
        legacy.reply(&asked, accepted("Ada")).await;
        assert_eq!(legacy.learned(id).await, json!([accepted("Ada")]), "{era}");

        let mut modern = host.modern(able);
        let id = modern.call("asks", "a").await;
        let wanted = modern.wanted(id).await;
        let id = modern.retry("asks", "a", &wanted, &accepted("Bob")).await;
        assert_eq!(modern.learned(id).await, json!([accepted("Bob")]), "{era}");
    }
}

#[tokio::test]
async fn a_task_that_asks_tells_on_meanwhile_and_keeps_its_servers_name_of_it_to_itself() {
    const RELATED: &str = "io.modelcontextprotocol/related-task";
    let host = host("legacy").await;
    let mut client = host.legacy(json!({"elicitation": {}})).await;
    let mut params = call("asks", "a");
    params["_meta"] = json!({"progressToken": "p"});
    let id = client.ask("tools/call", params).await;
    assert_eq!(client.told("notifications/progress").await["message"], "is working");
    let asked = client.asked("elicitation/create").await;
    assert!(asked["params"]["_meta"].get(RELATED).is_none(), "{asked}");
    assert_eq!(client.told("notifications/progress").await["message"], "is input_required");
    client.reply(&asked, accepted("Ada")).await;
    let result = client.result(id).await;
    assert_eq!(super::learned(&result), json!([accepted("Ada")]));
    assert!(!result.to_string().contains(RELATED), "{result}");
}

#[tokio::test]
async fn a_task_that_asks_whom_nobody_can_ask_is_given_up() {
    let host = host("modern").await;
    let mut client = host.modern(json!({}));
    let id = client.call("asks", "a").await;
    let error = &client.answer(id).await["error"];
    assert_eq!(error["code"], -32021, "{error}");
    assert!(error.to_string().contains("elicitation"), "{error}");
    journaled(&host, "cancel asks").await;
}

#[tokio::test]
async fn a_task_that_fails_fails_its_call() {
    for era in ERAS {
        let host = host(era).await;
        let mut client = host.modern(json!({}));
        let id = client.call("fails", "a").await;
        let answer = client.answer(id).await;
        assert_eq!(answer["error"], json!({"code": -7, "message": "it broke"}), "{era}");
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_gives_its_task_up() {
    for era in ERAS {
        let host = host(era).await;
        let mut client = host.modern(json!({}));
        let mut params = call("never", "a");
        params["_meta"] = json!({"progressToken": "p"});
        let id = client.ask("tools/call", params).await;
        // Only a task that has a name can be given up by it.
        assert_eq!(client.hear().await["params"]["message"], "is working", "{era}");
        let cancelled = json!({"requestId": id});
        client
            .say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled}))
            .await;
        journaled(&host, "cancel never").await;
    }
}

#[tokio::test]
async fn what_a_server_says_of_its_task_is_told_as_progress() {
    let host = host("modern").await;
    let mut client = host.legacy(json!({})).await;
    let mut params = call("must", "a");
    params["_meta"] = json!({"progressToken": "p"});
    let id = client.ask("tools/call", params).await;
    let told = client.hear().await;
    assert_eq!(told["method"], "notifications/progress", "{told}");
    assert_eq!(told["params"]["message"], "is working");
    assert_eq!(client.learned(id).await, json!([]));
}
