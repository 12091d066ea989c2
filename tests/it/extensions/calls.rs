//! Methods and notifications that the protocol does not know.

use serde_json::json;
use switchboard::id::ServerName;

use super::host::{Servers, skills};
use crate::{
    dialogue::talk::{SERVER, Talk},
    support::wait::PATIENCE,
};

/// Clients of both eras that declare an extension.
async fn clients(servers: &Servers) -> [Talk; 2] {
    let declared = json!({"extensions": {"com.example/mine": {"n": 1}}});
    [servers.host.legacy(declared.clone()).await, servers.host.modern(declared)]
}

#[tokio::test]
async fn a_method_of_an_extension_reaches_its_server_and_comes_back_whole() {
    for era in ["legacy", "modern"] {
        let servers = Servers::start(era, &skills()).await;
        for mut client in clients(&servers).await {
            let odd = json!({"uri": "skill://a", "n": 1.50, "_meta": {"x.y/z": 1}});
            let call = client.ask("skills/get", odd).await;
            let result = client.result(call).await;
            assert_eq!(result["method"], "skills/get", "{result}");
            let params = &result["params"];
            assert_eq!((&params["uri"], &params["n"]), (&json!("skill://a"), &json!(1.5)));
            assert_eq!(params["_meta"]["x.y/z"], 1);
            let caps = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
            if era == "modern" {
                assert_eq!(caps["extensions"], json!({"com.example/mine": {"n": 1}}));
            } else {
                assert!(caps.is_null(), "{caps}");
            }
            // The extension told of it, and no list does.
            let call = client.ask("resources/read", json!({"uri": "skill://a"})).await;
            assert_eq!(client.result(call).await["contents"][0]["text"], "a skill");
            let call = client.ask("skills/list", json!({"_meta": {"progressToken": "t"}})).await;
            let progress = client.hear().await;
            assert_eq!(progress["params"]["progressToken"], "t", "{progress}");
            assert_eq!(client.result(call).await["method"], "skills/list");
        }
    }
}

#[tokio::test]
async fn only_the_extension_knows_which_types_of_results_there_are() {
    let servers = Servers::start("modern", &skills()).await;
    let [mut legacy, mut modern] = clients(&servers).await;
    let call = modern.ask("skills/typed", json!({})).await;
    let result = modern.result(call).await;
    assert_eq!((&result["resultType"], &result["n"]), (&json!("special"), &json!(1)));
    let call = legacy.ask("skills/typed", json!({})).await;
    assert_eq!(legacy.result(call).await, json!({"n": 1}));
}

#[tokio::test]
async fn clients_are_told_of_extensions_and_instructions_in_both_eras() {
    let mut declared = skills();
    declared["experimental"] = json!({"acme": {}});
    declared["extensions"]["io.modelcontextprotocol/tasks"] = json!({});
    let servers = Servers::start("legacy", &declared).await;
    servers
        .add("another", "modern", &json!({"extensions": {"io.modelcontextprotocol/ui": {}}}))
        .await;
    let mut modern = servers.host.modern(json!({}));
    let call = modern.ask("server/discover", json!({})).await;
    let discovered = modern.result(call).await;
    let initialized = servers.host.initialized(json!({})).await;
    let mut expected = json!({
        "io.modelcontextprotocol/skills": {"directories": true},
        "io.modelcontextprotocol/ui": {},
    });
    assert_eq!(initialized["capabilities"]["extensions"], expected);
    // Our own, whoever else declares it.
    expected["io.modelcontextprotocol/tasks"] = json!({});
    assert_eq!(discovered["capabilities"]["extensions"], expected);
    for result in [discovered, initialized] {
        let capabilities = &result["capabilities"];
        assert_eq!(capabilities["experimental"], json!({"acme": {}}));
        let instructions = "## another\n\nBe kind.\n\n## asker\n\nBe kind.";
        assert_eq!(result["instructions"], instructions);
    }
}

#[tokio::test]
async fn a_method_that_several_servers_may_have_is_refused_unless_it_names_one() {
    let servers = Servers::start("modern", &skills()).await;
    servers.add("second", "legacy", &skills()).await;
    for mut client in clients(&servers).await {
        let call = client.ask("skills/list", json!({})).await;
        let error = client.answer(call).await["error"].clone();
        assert_eq!(error["code"], -32601);
        let text = error["message"].as_str().unwrap();
        let both = "asker: io.modelcontextprotocol/skills; second: io.modelcontextprotocol/skills";
        assert!(text.contains(both), "{text}");
        for server in [SERVER, "second"] {
            let params = json!({"uri": format!("switchboard+{server}:skill://a")});
            let call = client.ask("skills/get", params).await;
            assert_eq!(client.result(call).await["params"]["uri"], "skill://a");
            assert!(!servers.took(server, "skills/get").is_empty());
        }
        let call = client.ask("logging/nothing", json!({"uri": "switchboard+nobody:x:y"})).await;
        assert_eq!(client.answer(call).await["error"]["code"], -32601);
    }
    assert!(servers.took(SERVER, "skills/list").is_empty());
}

#[tokio::test]
async fn a_method_of_the_protocol_is_never_taken_for_an_extensions() {
    let servers = Servers::start("modern", &skills()).await;
    let mut modern = servers.host.modern(json!({}));
    for method in ["ping", "logging/setLevel", "initialize", "roots/list"] {
        let call = modern.ask(method, json!({})).await;
        assert_eq!(modern.answer(call).await["error"]["code"], -32601, "{method}");
        assert!(servers.took(SERVER, method).is_empty(), "{method}");
    }
}

#[tokio::test]
async fn a_call_of_an_extension_that_may_have_run_is_never_sent_again() {
    let servers = Servers::with("modern", &skills(), |config| {
        config.trust_annotations = true;
        config.retry = switchboard::runtime::Retry::Safe;
    })
    .await;
    let mut client = servers.host.modern(json!({}));
    let call = client.ask("skills/die", json!({})).await;
    let error = client.answer(call).await["error"].clone();
    assert_eq!(error["code"], -31005, "{error}");
    assert_eq!(error["data"]["kind"], "outcome_unknown");
    let name = ServerName::new(SERVER).unwrap();
    servers.host.runtime.store().wait_ready(&name, PATIENCE).await.unwrap();
    assert_eq!(servers.took(SERVER, "skills/die").len(), 1);
}

#[tokio::test]
async fn a_call_of_an_extension_is_cancelled_by_its_client() {
    let servers = Servers::start("legacy", &skills()).await;
    let mut client = servers.host.legacy(json!({})).await;
    let call = client.ask("skills/wait", json!({})).await;
    servers.taken(SERVER, "skills/wait", 1).await;
    let params = json!({"requestId": call});
    client
        .say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
        .await;
    servers.taken(SERVER, "notifications/cancelled", 1).await;
}

#[tokio::test]
async fn a_notification_of_an_extension_reaches_its_server_and_no_other() {
    let servers = Servers::start("legacy", &skills()).await;
    let other = json!({"extensions": {"com.example/other": {}}});
    servers.add("second", "modern", &other).await;
    for (count, mut client) in (1..).zip(clients(&servers).await) {
        let params = json!({"n": count});
        let method = "notifications/skills/used";
        client.say(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
        assert_eq!(servers.taken(SERVER, method, count).await, json!({"n": count}));
        // Nobody's: dropped without an answer.
        client.say(&json!({"jsonrpc": "2.0", "method": "notifications/what/ever"})).await;
        let call = client.ask("com.example/other/x", json!({})).await;
        assert!(client.answer(call).await.get("result").is_some());
    }
    for server in [SERVER, "second"] {
        assert!(servers.took(server, "notifications/what/ever").is_empty());
    }
    assert!(servers.took("second", "notifications/skills/used").is_empty());
}
