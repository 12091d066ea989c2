//! Legacy clients of modern servers: the client is asked, and the call is made again with its
//! answers.

use serde_json::json;

use super::talk::{Host, accepted};

#[tokio::test]
async fn a_legacy_client_is_asked_what_a_modern_server_wants() {
    let host = Host::start("modern").await;
    let mut client = host.legacy(json!({"elicitation": {"url": {}}, "sampling": {}})).await;
    let call = client.call("url", "a").await;
    let asked = client.asked("elicitation/create").await;
    assert_eq!(asked["params"]["message"], "[asker] Sign in");
    assert!(asked["params"]["elicitationId"].is_string(), "{asked}");
    client.reply(&asked, json!({"action": "accept"})).await;
    let learned = client.learned(call).await;
    assert_eq!(learned, json!([{"action": "accept"}, "secret 1"]));
    assert_eq!(host.journal(), ["url a"]);
}

#[tokio::test]
async fn a_modern_server_may_ask_ten_times_and_no_more() {
    let host = Host::start("modern").await;
    let mut client = host.legacy(json!({"elicitation": {}})).await;
    let call = client.call("twice", "a").await;
    for name in ["one", "two"] {
        let asked = client.asked("elicitation/create").await;
        client.reply(&asked, accepted(name)).await;
    }
    assert_eq!(client.learned(call).await, json!([accepted("two"), "secret 2"]));

    let call = client.call("endless", "a").await;
    for _ in 0..10 {
        let asked = client.asked("elicitation/create").await;
        client.reply(&asked, json!({"action": "decline"})).await;
    }
    let answer = client.answer(call).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("without end"), "{answer}");
    assert_eq!(host.journal(), ["twice a"]);
}

#[tokio::test]
async fn what_a_legacy_client_cannot_do_is_an_error_with_what_it_lacks() {
    let host = Host::start("modern").await;
    let mut client = host.legacy(json!({"elicitation": {}})).await;
    let call = client.call("sample", "a").await;
    let answer = client.answer(call).await;
    assert_eq!(
        answer["error"]["data"]["requiredCapabilities"],
        json!({"sampling": {}}),
        "{answer}"
    );
    assert!(host.journal().is_empty());
}

#[tokio::test]
async fn a_client_that_refuses_to_sample_fails_the_call() {
    let host = Host::start("modern").await;
    let mut client = host.legacy(json!({"elicitation": {}, "sampling": {}})).await;
    let call = client.call("both", "a").await;
    let form = client.asked("elicitation/create").await;
    let sample = client.asked("sampling/createMessage").await;
    client.reply(&form, accepted("Ada")).await;
    let error = json!({"code": -1, "message": "User rejected sampling request"});
    client.say(&json!({"jsonrpc": "2.0", "id": sample["id"], "error": error})).await;
    assert_eq!(client.answer(call).await["error"]["code"], -1);
    assert!(host.journal().is_empty());
}
