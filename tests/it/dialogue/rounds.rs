//! Modern clients: a call ends with what its server wants to know, and goes on with the answers.

use serde_json::{Value, json};
use switchboard::{id::ServerName, upstream::TransportConfig};

use super::talk::{Host, SERVER, Talk, accepted, call};
use crate::support::wait::until;

const ERAS: [&str; 2] = ["legacy", "modern"];

fn able() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}})
}

async fn refused(client: &mut Talk, id: u64) -> Value {
    let answer = client.answer(id).await;
    let error = answer.get("error").unwrap_or_else(|| panic!("{answer}")).clone();
    assert_eq!(error["code"], -32602, "{error}");
    error
}

#[tokio::test]
async fn a_call_goes_on_with_the_answers_whatever_era_its_server_is_of() {
    for era in ERAS {
        let host = Host::start(era).await;
        let mut client = host.modern(able());
        let first = client.call("form", "a").await;
        let wanted = client.wanted(first).await;
        let requests = wanted["inputRequests"].as_object().unwrap();
        assert_eq!(requests.len(), 1);
        let asked = requests.values().next().unwrap();
        assert_eq!(asked["method"], "elicitation/create");
        assert_eq!(asked["params"]["message"], "[asker] Who are you?");
        assert_eq!(asked["params"]["_meta"]["io.switchboard/origin"], "asker");
        assert!(!wanted.to_string().contains("secret"), "{wanted}");
        let retry = client.retry("form", "a", &wanted, &accepted("Ada")).await;
        assert_eq!(client.learned(retry).await, json!([accepted("Ada")]), "{era}");
        assert_eq!(host.journal(), ["form a"], "{era}");
    }
}

#[tokio::test]
async fn a_server_may_ask_several_things_several_times() {
    for era in ERAS {
        let host = Host::start(era).await;
        let mut client = host.modern(able());
        let first = client.call("both", "a").await;
        let wanted = client.wanted(first).await;
        let methods = wanted["inputRequests"].as_object().unwrap().values();
        let methods: Vec<&Value> = methods.map(|asked| &asked["method"]).collect();
        assert_eq!(methods, ["elicitation/create", "sampling/createMessage"], "{era}");
        let said =
            json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "P"}});
        let retry = client.retry("both", "a", &wanted, &said).await;
        let learned = client.learned(retry).await;
        assert_eq!((&learned[0], &learned[1]), (&said, &said), "{era}");

        let first = client.call("twice", "b").await;
        let wanted = client.wanted(first).await;
        let second = client.retry("twice", "b", &wanted, &accepted("one")).await;
        let wanted = client.wanted(second).await;
        let third = client.retry("twice", "b", &wanted, &accepted("two")).await;
        let learned = client.learned(third).await;
        let last = usize::from(era == "legacy");
        assert_eq!(learned[last], accepted("two"), "{era}: {learned}");
        assert_eq!(host.journal(), ["both a", "twice b"], "{era}");
    }
}

#[tokio::test]
async fn a_repeated_answer_gets_what_the_first_one_got() {
    let host = Host::start("legacy").await;
    let mut client = host.modern(able());
    let first = client.call("form", "a").await;
    let wanted = client.wanted(first).await;
    for name in ["Ada", "somebody else"] {
        let retry = client.retry("form", "a", &wanted, &accepted(name)).await;
        assert_eq!(client.learned(retry).await, json!([accepted("Ada")]));
    }
    let mut other = host.modern(able());
    let retry = other.retry("form", "a", &wanted, &accepted("x")).await;
    assert_eq!(other.learned(retry).await, json!([accepted("Ada")]), "the same principal");
    assert_eq!(host.journal(), ["form a"]);
}

#[tokio::test]
async fn a_state_is_of_its_own_request_and_of_nothing_else() {
    for era in ERAS {
        let host = Host::start(era).await;
        let mut client = host.modern(able());
        let first = client.call("form", "a").await;
        let mut wanted = client.wanted(first).await;
        for (tool, who) in [("form", "b"), ("both", "a"), ("go", "a")] {
            let other = client.retry(tool, who, &wanted, &accepted("x")).await;
            refused(&mut client, other).await;
        }
        let state = wanted["requestState"].as_str().unwrap().to_owned();
        let mut changed = state.clone().into_bytes();
        changed[40] = if changed[40] == b'A' { b'B' } else { b'A' };
        for bad in [String::from_utf8(changed).unwrap(), state[..20].to_owned(), "secret 1".into()]
        {
            wanted["requestState"] = json!(bad);
            let tampered = client.retry("form", "a", &wanted, &accepted("x")).await;
            let error = refused(&mut client, tampered).await;
            assert!(error["message"].as_str().unwrap().contains("make the call anew"), "{error}");
        }
        // Another instance has another key.
        let elsewhere = Host::start(era).await;
        wanted["requestState"] = json!(state);
        let mut stranger = elsewhere.modern(able());
        let foreign = stranger.retry("form", "a", &wanted, &accepted("x")).await;
        refused(&mut stranger, foreign).await;
        let retry = client.retry("form", "a", &wanted, &accepted("Ada")).await;
        assert_eq!(client.learned(retry).await, json!([accepted("Ada")]), "{era}");
    }
}

#[tokio::test]
async fn a_parked_call_goes_on_with_an_answer_to_each_question_alone() {
    let host = Host::start("legacy").await;
    let mut client = host.modern(able());
    let first = client.call("both", "a").await;
    let wanted = client.wanted(first).await;
    let mut params = call("both", "a");
    params["requestState"] = wanted["requestState"].clone();
    for responses in [json!(null), json!({"q0": accepted("x")}), json!({"k": accepted("x")})] {
        if !responses.is_null() {
            params["inputResponses"] = responses;
        }
        let retry = client.ask("tools/call", params.clone()).await;
        let error = refused(&mut client, retry).await;
        assert!(error["message"].as_str().unwrap().contains("no answer to `q"), "{error}");
    }
    let retry = client.retry("both", "a", &wanted, &accepted("x")).await;
    assert_eq!(client.learned(retry).await, json!([accepted("x"), accepted("x")]));
}

#[tokio::test]
async fn a_parked_call_whose_connection_dies_has_an_unknown_outcome() {
    let host = Host::start("legacy").await;
    let mut client = host.modern(able());
    let first = client.call("die", "a").await;
    let wanted = client.wanted(first).await;
    let retry = client.retry("die", "a", &wanted, &accepted("x")).await;
    let result = client.result(retry).await;
    assert_eq!(result["isError"], true);
    assert_eq!(result["_meta"]["io.switchboard/failure"]["kind"], "outcome_unknown");
    assert_eq!(host.journal(), ["die a"]);
}

#[tokio::test]
async fn a_result_that_came_early_waits_for_the_client() {
    let host = Host::start("legacy").await;
    let mut client = host.modern(able());
    let first = client.call("later", "a").await;
    let answer = client.result(first).await;
    // Whichever was first, the call was carried out once and its result is not lost.
    if answer["resultType"] == "input_required" {
        let retry = client.retry("later", "a", &answer, &accepted("x")).await;
        assert_eq!(client.learned(retry).await, json!(["early"]));
    } else {
        assert_eq!(answer["content"][0]["text"], r#"["early"]"#);
    }
    assert_eq!(host.journal(), ["later a"]);
}

#[tokio::test]
async fn a_modern_server_learns_what_the_caller_can_do_and_keeps_its_own_state_to_itself() {
    let host = Host::start("modern").await;
    let mut client = host.modern(json!({"elicitation": {"url": {}}, "x": {}, "roots": {}}));
    let declared = client.call("declared", "a").await;
    let expected = json!([{"elicitation": {"url": {}}, "roots": {}}]);
    assert_eq!(client.learned(declared).await, expected);
    // The server asks all the same for what was not declared.
    let lacking = client.call("form", "a").await;
    let answer = client.answer(lacking).await;
    assert_eq!(answer["error"]["code"], -32021, "{answer}");
    let required = &answer["error"]["data"]["requiredCapabilities"];
    assert_eq!(*required, json!({"elicitation": {"form": {}}}));
}

#[tokio::test]
async fn an_address_that_has_to_be_visited_is_asked_for_and_the_call_made_anew() {
    let host = Host::start("legacy").await;
    let mut client = host.modern(able());
    let first = client.call("sign", "a").await;
    let wanted = client.wanted(first).await;
    let asked = &wanted["inputRequests"]["url0"]["params"];
    assert_eq!(asked["url"], "https://example.org/sign");
    assert!(asked.get("elicitationId").is_none(), "{asked}");
    let retry = client.retry("sign", "a", &wanted, &json!({"action": "accept"})).await;
    assert_eq!(client.learned(retry).await, json!(["signed"]));
    assert_eq!(host.journal(), ["sign a", "sign a"], "the error said that nothing was done");

    let host = Host::start("legacy").await;
    let mut client = host.modern(json!({}));
    let first = client.call("sign", "a").await;
    let result = client.result(first).await;
    assert_eq!(result["isError"], true);
    assert!(result["content"][0]["text"].as_str().unwrap().contains("Sign in first"), "{result}");
}

#[tokio::test]
async fn two_calls_that_wait_never_get_each_others_answers() {
    let host = Host::with("legacy", switchboard::runtime::Isolation::Session).await;
    let mut session = host.legacy(json!({"elicitation": {}})).await;
    let mut modern = host.modern(able());
    let (asking, parking) = (session.call("form", "s").await, modern.call("form", "m").await);
    let asked = session.asked("elicitation/create").await;
    let wanted = modern.wanted(parking).await;
    let retry = modern.retry("form", "m", &wanted, &accepted("m")).await;
    assert_eq!(modern.learned(retry).await, json!([accepted("m")]));
    session.reply(&asked, accepted("s")).await;
    assert_eq!(session.learned(asking).await, json!([accepted("s")]));
    let journal = until("both are carried out", async || {
        let mut journal = host.journal();
        journal.sort();
        (journal.len() == 2).then_some(journal)
    });
    assert_eq!(journal.await, ["form m", "form s"]);
}

#[tokio::test]
async fn messages_go_to_a_modern_call_that_wants_them() {
    for (era, expected) in [("legacy", json!([null, ["error"]])), ("modern", json!(["error", []]))]
    {
        let host = Host::start(era).await;
        let mut client = host.modern(json!({}));
        let mut params = call("log", "a");
        params["_meta"]["io.modelcontextprotocol/logLevel"] = json!("error");
        let id = client.ask("tools/call", params).await;
        let message = client.hear().await;
        assert_eq!(message["method"], "notifications/message", "{message}");
        assert_eq!(message["params"]["level"], "error");
        assert_eq!(client.learned(id).await, expected, "{era}");
    }
}

#[tokio::test]
async fn a_call_under_a_key_asks_nothing_and_is_carried_out_once() {
    let host = Host::start("legacy").await;
    let mut client = host.modern(able());
    let mut params = call("form", "a");
    params["_meta"]["io.switchboard/idempotencyKey"] = json!("k");
    for _ in 0..2 {
        let id = client.ask("tools/call", params.clone()).await;
        assert_eq!(client.learned(id).await, json!([{"error": -32601}]));
    }
    assert_eq!(host.journal(), ["form a"]);
}

#[tokio::test]
async fn a_key_is_named_where_it_keeps_a_server_from_asking() {
    let host = Host::start("modern").await;
    let mut client = host.modern(able());
    let mut params = call("form", "a");
    params["_meta"]["io.switchboard/idempotencyKey"] = json!("k");
    let id = client.ask("tools/call", params).await;
    let error = refused(&mut client, id).await;
    assert!(error["message"].as_str().unwrap().contains("without the key"), "{error}");
}

#[tokio::test]
async fn a_state_does_not_go_to_another_program() {
    let host = Host::start("modern").await;
    let mut client = host.modern(able());
    let first = client.call("form", "a").await;
    let wanted = client.wanted(first).await;
    let (store, name) = (host.runtime.store(), ServerName::new(SERVER).unwrap());
    let mut changed = host.config.clone().unwrap();
    let TransportConfig::Stdio(stdio) = &mut changed.transport else { unreachable!() };
    stdio.args.push("another".to_owned());
    store.update(name, changed).await.unwrap();
    until("the other program serves", async || {
        let again = client.retry("form", "a", &wanted, &accepted("Ada")).await;
        let answer = client.answer(again).await;
        let refused = answer["error"]["message"].as_str()?;
        assert!(refused.contains("its server is another one now"), "{answer}");
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_belongs_to_the_request_that_opens_a_call() {
    let host = Host::start("modern").await;
    let mut client = host.modern(able());
    let first = client.call("form", "a").await;
    let wanted = client.wanted(first).await;
    let mut params = call("form", "a");
    params["requestState"] = wanted["requestState"].clone();
    params["_meta"] = json!({"io.switchboard/idempotencyKey": "k"});
    let again = client.ask("tools/call", params).await;
    let error = refused(&mut client, again).await;
    assert!(error["message"].as_str().unwrap().contains("first request"), "{error}");
    assert!(host.journal().is_empty());
}
