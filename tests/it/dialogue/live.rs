//! Legacy clients are asked while their call runs, on the call's own stream.

use serde_json::{Value, json};
use switchboard::{id::ServerName, runtime::Isolation, wire::Revision};

use super::talk::{Host, SERVER, Talk, accepted};
use crate::support::wait::PATIENCE;

#[tokio::test]
async fn a_legacy_client_is_asked_and_its_answer_reaches_the_legacy_server() {
    let host = Host::start("legacy").await;
    let mut client = host.legacy(json!({"elicitation": {}, "sampling": {}})).await;
    let call = client.call("form", "a").await;
    let asked = client.asked("elicitation/create").await;
    let name = ServerName::new(SERVER).unwrap();
    let asking = || host.runtime.store().server(&name).unwrap().asking;
    assert_eq!(asking(), 1, "an operator sees that somebody is waited for");
    assert_eq!(asked["params"]["message"], "[asker] Who are you?");
    assert_eq!(asked["params"]["_meta"]["io.switchboard/origin"], "asker");
    assert_eq!(asked["params"]["requestedSchema"]["type"], "object");
    client.reply(&asked, accepted("Ada")).await;
    assert_eq!(client.learned(call).await, json!([accepted("Ada")]));
    assert_eq!(asking(), 0);

    let call = client.call("both", "a").await;
    let form = client.asked("elicitation/create").await;
    let sample = client.asked("sampling/createMessage").await;
    assert_eq!(sample["params"]["maxTokens"], 10);
    let said = json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "P"}});
    client.reply(&sample, said.clone()).await;
    client.reply(&form, json!({"action": "decline"})).await;
    assert_eq!(client.learned(call).await, json!([{"action": "decline"}, said]));
    assert_eq!(host.journal(), ["form a", "both a"]);
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_loses_only_the_question() {
    let host = Host::start("legacy").await;
    let mut client = host.legacy(json!({"elicitation": {}})).await;
    for tool in ["sample", "url"] {
        let call = client.call(tool, "a").await;
        assert_eq!(client.learned(call).await, json!([{"error": -32601}]), "{tool}");
    }
    let mut modern = host.modern(json!({}));
    let call = modern.call("form", "b").await;
    assert_eq!(modern.learned(call).await, json!([{"error": -32601}]));
}

#[tokio::test]
async fn nobody_is_waited_for_while_the_runtime_drains() {
    for era in ["legacy", "modern"] {
        let host = Host::start(era).await;
        let mut client = host.legacy(json!({"elicitation": {}})).await;
        let call = client.call("form", "a").await;
        let asked = client.asked("elicitation/create").await;
        let answered = async {
            let withdrawn = client.told("notifications/cancelled").await;
            assert_eq!(withdrawn["requestId"], asked["id"]);
            client.learned(call).await
        };
        let (abandoned, learned) = tokio::join!(host.runtime.drain(PATIENCE), answered);
        assert_eq!((abandoned, learned), (0, json!([{"action": "cancel"}])), "{era}");
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_more_is_asked_nothing_more() {
    let host = Host::start("legacy").await;
    let mut client = host.legacy(json!({"elicitation": {}})).await;
    let call = client.call("twice", "a").await;
    client.asked("elicitation/create").await;
    client.end().await;
    assert_eq!(client.learned(call).await, json!([{"action": "cancel"}, {"action": "cancel"}]));
}

#[tokio::test]
async fn a_clients_error_is_the_servers() {
    let host = Host::start("legacy").await;
    let mut client = host.legacy(json!({"sampling": {}})).await;
    let call = client.call("sample", "a").await;
    let asked = client.asked("sampling/createMessage").await;
    let error = json!({"code": -1, "message": "User rejected sampling request"});
    client.say(&json!({"jsonrpc": "2.0", "id": asked["id"], "error": error})).await;
    assert_eq!(client.learned(call).await, json!([{"error": -1}]));
}

#[tokio::test]
async fn a_server_hears_how_far_its_answer_is_and_only_then() {
    let host = Host::start("legacy").await;
    let mut client = host.legacy(json!({"sampling": {}})).await;
    let call = client.call("watch", "theirs").await;
    let asked = client.asked("sampling/createMessage").await;
    let token = &asked["params"]["_meta"]["progressToken"];
    let tell = |token: &Value, progress: u8| {
        let params = json!({"progressToken": token, "progress": progress, "message": "thinking"});
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
    };
    for (token, progress) in [(token, 1), (&json!("theirs"), 9), (token, 1), (token, 2)] {
        client.say(&tell(token, progress)).await;
    }
    let said = json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "P"}});
    client.reply(&asked, said.clone()).await;
    let heard =
        |progress| json!({"progressToken": "theirs", "progress": progress, "message": "thinking"});
    assert_eq!(client.learned(call).await, json!([heard(1), heard(2), said]));

    client.say(&tell(token, 3)).await;
    let call = client.call("watch", "again").await;
    let asked = client.asked("sampling/createMessage").await;
    client.reply(&asked, said.clone()).await;
    assert_eq!(client.learned(call).await, json!([heard(1), heard(2), said]), "the same two");
}

#[tokio::test]
async fn what_the_server_takes_back_is_taken_back_from_the_client() {
    let host = Host::start("legacy").await;
    let mut client = host.legacy(json!({"elicitation": {}})).await;
    let call = client.call("take_back", "a").await;
    let asked = client.asked("elicitation/create").await;
    let cancelled = client.hear().await;
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], asked["id"]);
    let go = client.call("go", "a").await;
    client.answer(go).await;
    assert_eq!(client.learned(call).await, json!(["taken back"]));

    let call = client.call("later", "a").await;
    let asked = client.asked("elicitation/create").await;
    let cancelled = client.hear().await;
    assert_eq!(cancelled["params"]["requestId"], asked["id"], "{cancelled}");
    assert_eq!(client.learned(call).await, json!(["early"]));
}

#[tokio::test]
async fn two_sessions_in_flight_never_see_each_others_requests() {
    let host = Host::start("legacy").await;
    let mut one = host.legacy(json!({"elicitation": {}})).await;
    let mut two = host.legacy(json!({"elicitation": {}})).await;
    let waiting = one.call("wait", "one").await;
    crate::support::wait::until("the call is carried out", async || {
        (host.journal() == ["wait one"]).then_some(())
    })
    .await;
    // The question could be about either call, so it is nobody's.
    let call = two.call("form", "two").await;
    assert_eq!(two.learned(call).await, json!([{"action": "cancel"}]));
    let go = one.call("go", "one").await;
    for _ in 0..2 {
        let answer = one.hear().await;
        assert!(answer["id"] == go || answer["id"] == waiting, "{answer}");
    }
    assert_eq!(host.journal(), ["wait one", "form two"]);
}

#[tokio::test]
async fn sessions_with_connections_of_their_own_are_asked_at_the_same_time() {
    let host = Host::with("legacy", Isolation::Session).await;
    let mut one = host.legacy(json!({"elicitation": {}})).await;
    let mut two = host.legacy(json!({"elicitation": {}})).await;
    let (first, second) = (one.call("form", "one").await, two.call("form", "two").await);
    let asked_one = one.asked("elicitation/create").await;
    let asked_two = two.asked("elicitation/create").await;
    two.reply(&asked_two, accepted("two")).await;
    one.reply(&asked_one, accepted("one")).await;
    assert_eq!(one.learned(first).await, json!([accepted("one")]));
    assert_eq!(two.learned(second).await, json!([accepted("two")]));
}

/// A client that wants every log message, and whose connection is ready.
async fn wants_log(host: &Host) -> Talk {
    let mut talk = host.legacy(json!({"elicitation": {}})).await;
    let set = talk.ask("logging/setLevel", json!({"level": "debug"})).await;
    talk.result(set).await;
    let call = talk.call("declared", "nobody").await;
    talk.learned(call).await;
    talk
}

/// The next messages are progress and log of this call of one's own, and nothing else.
async fn hears(talk: &mut Talk, who: &str) {
    let progress = talk.told("notifications/progress").await;
    assert_eq!(progress, json!({"progressToken": "mine", "progress": 1, "message": who}));
    let log = talk.told("notifications/message").await;
    assert_eq!(log, json!({"level": "error", "data": who}));
}

#[tokio::test]
async fn two_parties_in_flight_are_told_only_of_their_own_calls() {
    let host = Host::with("legacy", Isolation::Session).await;
    let (mut one, mut two) = (wants_log(&host).await, wants_log(&host).await);
    let calls = (one.tell("one").await, two.tell("two").await);
    hears(&mut one, "one").await;
    hears(&mut two, "two").await;
    let asked = (one.asked("elicitation/create").await, two.asked("elicitation/create").await);
    assert_eq!(asked.0["params"]["message"], "[asker] one");
    assert_eq!(asked.1["params"]["message"], "[asker] two");
    two.reply(&asked.1, accepted("2")).await;
    one.reply(&asked.0, accepted("1")).await;
    assert_eq!(one.learned(calls.0).await, json!(["one", accepted("1")]));
    assert_eq!(two.learned(calls.1).await, json!(["two", accepted("2")]));
}

#[tokio::test]
async fn what_two_parties_on_one_connection_could_both_be_meant_by_is_told_to_neither() {
    let host = Host::start("legacy").await;
    let (mut one, mut two) = (wants_log(&host).await, wants_log(&host).await);
    let first = one.tell("one").await;
    hears(&mut one, "one").await;
    let asked = one.asked("elicitation/create").await;
    // Progress names its call; a log message and a question do not.
    let second = two.tell("two").await;
    assert_eq!(two.told("notifications/progress").await["message"], "two");
    assert_eq!(two.learned(second).await, json!(["two", {"action": "cancel"}]));
    one.reply(&asked, accepted("1")).await;
    assert_eq!(one.learned(first).await, json!(["one", accepted("1")]));
    assert_eq!(host.journal(), ["tell one", "tell two"]);
}

#[tokio::test]
async fn a_server_is_told_that_it_may_ask_unless_agents_share_it() {
    let expected = json!({
        "elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}, "context": {}},
    });
    for (isolation, declared) in [(Isolation::Agent, expected), (Isolation::Shared, json!({}))] {
        let host = Host::with("legacy", isolation).await;
        let mut client = host.legacy(json!({})).await;
        let call = client.call("declared", "a").await;
        assert_eq!(client.learned(call).await, json!([declared]));
    }
}

#[tokio::test]
async fn messages_of_a_call_go_to_its_client_from_the_level_that_it_wants() {
    let host = Host::start("legacy").await;
    let mut client = host.of_revision(Revision::V2025_06_18, json!({})).await;
    let call = client.call("log", "a").await;
    assert_eq!(client.learned(call).await, json!([null, []]));
    let set = client.ask("logging/setLevel", json!({"level": "warning"})).await;
    client.result(set).await;
    let call = client.call("log", "a").await;
    let message = client.hear().await;
    assert_eq!(message["method"], "notifications/message");
    assert_eq!(message["params"], json!({"level": "error", "data": "error"}));
    assert_eq!(client.learned(call).await, json!([null, ["warning"]]));
    let set = client.ask("logging/setLevel", json!({"level": "loud"})).await;
    assert_eq!(client.answer(set).await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_session_names_its_places_to_a_server_of_its_own() {
    let places = json!({"roots": [{"uri": "file:///home/ada/work", "name": "work"}]});
    let host = Host::with("legacy", Isolation::Session).await;
    let mut client = host.legacy(json!({"roots": {"listChanged": true}})).await;
    let call = client.call("roots", "a").await;
    let asked = client.asked("roots/list").await;
    client.reply(&asked, places.clone()).await;
    assert_eq!(client.learned(call).await, json!([places]));
}

#[tokio::test]
async fn the_session_that_was_sent_to_an_address_hears_that_the_visit_is_over() {
    let host = Host::start("legacy").await;
    let able = || json!({"elicitation": {"form": {}, "url": {}}});
    let (mut one, mut two) = (host.legacy(able()).await, host.legacy(able()).await);
    let call = one.call("url", "one").await;
    let asked = one.asked("elicitation/create").await;
    let id = asked["params"]["elicitationId"].as_str().unwrap();
    one.reply(&asked, json!({"action": "accept"})).await;
    assert_eq!(one.learned(call).await, json!([{"action": "accept"}]));

    // Told in another session's call, and heard by the one whose visit it is.
    let call = two.call("visited", id).await;
    assert_eq!(two.learned(call).await, json!(["told"]));
    let over = one.told("notifications/elicitation/complete").await;
    assert_eq!(over, json!({ "elicitationId": id }));

    // Nobody knows an id that was never asked with, and two sessions may have it.
    let call = two.call("visited", "e99").await;
    assert_eq!(two.learned(call).await, json!(["told"]));
    let unheard =
        || host.runtime.store().server(&ServerName::new(SERVER).unwrap()).unwrap().unheard;
    crate::support::wait::until("it is counted", async || (unheard() == 1).then_some(())).await;
}
