//! Roots of the configuration, and roots of a session's client that change.

use serde_json::json;
use switchboard::{id::ServerName, runtime::Isolation, upstream::Root};

use super::host::Servers;
use crate::{dialogue::talk::SERVER, support::wait::PATIENCE};

fn place(uri: &str) -> Root {
    Root { uri: uri.to_owned(), name: Some("work".to_owned()) }
}

#[tokio::test]
async fn configured_roots_are_told_outside_calls_and_change_in_place() {
    let servers = Servers::with("legacy", &json!({}), |config| {
        config.isolation = Isolation::Shared;
        config.roots = vec![place("file:///one")];
    })
    .await;
    let first = servers.taken(SERVER, "roots", 1).await;
    assert_eq!(first, json!({"roots": [{"uri": "file:///one", "name": "work"}]}));
    let stated = &servers.took(SERVER, "initialize")[0]["capabilities"];
    assert_eq!(*stated, json!({"roots": {"listChanged": true}}));

    let mut changed = servers.definition(SERVER, "legacy", &json!({}));
    changed.isolation = Isolation::Shared;
    changed.roots = vec![place("file:///two")];
    let (store, name) = (servers.host.runtime.store(), ServerName::new(SERVER).unwrap());
    store.update(name.clone(), changed.clone()).await.unwrap();
    let second = servers.taken(SERVER, "roots", 2).await;
    assert_eq!(second["roots"][0]["uri"], "file:///two");
    assert_eq!(store.server(&name).unwrap().incarnation.0, 1, "it serves on");

    // Without any the server was told something else when it was connected.
    changed.roots.clear();
    store.update(name.clone(), changed).await.unwrap();
    servers.taken(SERVER, "initialize", 2).await;
    store.wait_ready(&name, PATIENCE).await.unwrap();
    assert_eq!(servers.took(SERVER, "initialize")[1]["capabilities"], json!({}));
}

#[tokio::test]
async fn a_modern_server_gets_configured_roots_without_its_client_being_asked() {
    let servers = Servers::with("modern", &json!({}), |config| {
        config.roots = vec![place("file:///one")];
    })
    .await;
    let expected = json!([[{"uri": "file:///one", "name": "work"}], "s"]);
    let mut modern = servers.host.modern(json!({}));
    let call = modern.call("where", "").await;
    assert_eq!(modern.learned(call).await, expected);
    let mut legacy = servers.host.legacy(json!({})).await;
    let call = legacy.call("where", "").await;
    assert_eq!(legacy.learned(call).await, expected);
}

#[tokio::test]
async fn a_session_tells_its_own_connection_that_its_roots_changed() {
    let servers = Servers::with("legacy", &json!({}), |config| {
        config.isolation = Isolation::Session;
    })
    .await;
    let mut client = servers.host.legacy(json!({"roots": {"listChanged": true}})).await;
    let call = client.call("echo", "").await;
    loop {
        // The server asks when it is connected; whether that is during the call is chance.
        let message = client.hear().await;
        match message["method"].as_str() {
            Some("roots/list") => client.reply(&message, json!({"roots": []})).await,
            Some(_) => {}
            None => break assert_eq!(message["id"], call, "{message}"),
        }
    }
    let changed = "notifications/roots/list_changed";
    client.say(&json!({"jsonrpc": "2.0", "method": changed})).await;
    servers.taken(SERVER, changed, 1).await;
    let mut other = servers.host.legacy(json!({})).await;
    let call = other.call("echo", "").await;
    other.learned(call).await;
    assert_eq!(servers.took(SERVER, changed).len(), 1);
}
