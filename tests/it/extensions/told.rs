//! Notifications of extensions, from servers to clients.

use serde_json::{Value, json};
use switchboard::access::Principal;

use super::host::{Servers, skills};
use crate::{
    dialogue::talk::{SERVER, Talk},
    support::wait::until,
};

const CHANGED: &str = "notifications/skills/changed";

/// Has the server notify, and waits for the answer.
async fn notify(client: &mut Talk) {
    let id = client.ask("skills/notify", json!({})).await;
    client.result(id).await;
}

/// Has the server notify whoever hears it; gives the notification.
async fn notified(client: &mut Talk) -> Value {
    let id = client.ask("skills/notify", json!({})).await;
    let [one, other] = [client.hear().await, client.hear().await];
    let (answer, told) = if one["id"] == id { (one, other) } else { (other, one) };
    assert!(answer.get("result").is_some(), "{answer}");
    assert_eq!(told["method"], CHANGED, "{told}");
    told["params"].clone()
}

/// Waits until so many notifications of a server reached nobody.
async fn unheard(servers: &Servers, count: u64) {
    until("it is counted", async || {
        let status = serde_json::to_value(servers.host.gate.status(&Principal::local())).unwrap();
        let all = status["servers"].as_array().unwrap();
        let sum: u64 = all.iter().map(|it| it["unheard"].as_u64().unwrap()).sum();
        assert!(sum <= count, "{status}");
        (sum == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sessions_that_declare_an_extension_hear_its_notifications_at_any_time() {
    for era in ["legacy", "modern"] {
        let servers = Servers::start(era, &skills()).await;
        let mut deaf = servers.host.legacy(json!({"extensions": {"acme/other": {}}})).await;
        notify(&mut deaf).await;
        unheard(&servers, 1).await;
        let mut one = servers.host.legacy(skills()).await;
        let mut two = servers.host.legacy(skills()).await;
        let params = json!({"uri": "skill://a", "n": [1]});
        assert_eq!(notified(&mut one).await, params, "{era}");
        assert_eq!(two.told(CHANGED).await, params, "{era}");
        drop((one, two));
        let id = deaf.ask("ping", json!({})).await;
        deaf.result(id).await;
    }
}

#[tokio::test]
async fn a_modern_client_hears_them_while_its_call_runs() {
    for era in ["legacy", "modern"] {
        let servers = Servers::start(era, &skills()).await;
        let mut client = servers.host.modern(skills());
        let id = client.ask("skills/notify", json!({})).await;
        assert_eq!(client.told(CHANGED).await, json!({"uri": "skill://a", "n": [1]}), "{era}");
        client.result(id).await;
        let mut deaf = servers.host.modern(json!({}));
        notify(&mut deaf).await;
        unheard(&servers, 1).await;
    }
}

#[tokio::test]
async fn what_two_servers_may_tell_nobody_hears() {
    let servers = Servers::start("modern", &skills()).await;
    servers.add("second", "legacy", &skills()).await;
    let (mut session, mut client) =
        (servers.host.legacy(skills()).await, servers.host.modern(skills()));
    for (count, client) in (1..).zip([&mut session, &mut client]) {
        let params = json!({"uri": "switchboard+second:skill://a"});
        let id = client.ask("skills/notify", params).await;
        client.result(id).await;
        unheard(&servers, count).await;
    }
}

#[tokio::test]
async fn of_a_server_that_declares_too_much_the_rest_is_shown_and_its_timeline_says_so() {
    let many: serde_json::Map<String, Value> =
        (0..70).map(|number| (format!("com.example/e{number}"), json!({}))).collect();
    let servers = Servers::start("modern", &json!({"extensions": many})).await;
    let shown = servers.host.initialized(json!({})).await;
    assert_eq!(shown["capabilities"]["extensions"].as_object().unwrap().len(), 64);
    let server = switchboard::id::ServerName::new(SERVER).unwrap();
    let told = servers.host.runtime.store().why(&server).unwrap().events;
    let left_out = told.iter().filter(|event| event.cause.contains("more extensions than 64"));
    assert_eq!(left_out.count(), 1);
}
