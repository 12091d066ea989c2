//! Resources that are watched through Switchboard, in every combination of eras and transports, with
//! real servers that keep a journal of what they are asked for.

mod faces;
pub mod watched;

use serde_json::{Value, json};

use crate::{
    dialogue::talk::{SERVER, Talk},
    support::process,
};
use watched::{FOLDER, NONE, ONE, SHY, TWO, Watched};

const SERVERS: [(&str, &str); 4] =
    [("legacy", "stdio"), ("modern", "stdio"), ("legacy", "http"), ("modern", "http")];

/// The next message but for changed lists is an update: which resource, and in which subscription.
async fn update(talk: &mut Talk) -> (String, Value) {
    let message = loop {
        let message = talk.hear().await;
        let method = message["method"].as_str().unwrap_or_default();
        if !method.ends_with("/list_changed") {
            break message;
        }
    };
    assert_eq!(message["method"], "notifications/resources/updated", "{message}");
    let params = &message["params"];
    let subscription = &params["_meta"]["io.modelcontextprotocol/subscriptionId"];
    (params["uri"].as_str().unwrap().to_owned(), subscription.clone())
}

/// The next so many updates, sorted.
async fn updates(talk: &mut Talk, count: usize) -> Vec<String> {
    let mut uris = Vec::new();
    for _ in 0..count {
        uris.push(update(talk).await.0);
    }
    uris.sort();
    uris
}

async fn request(talk: &mut Talk, method: &str, uri: &str) -> Value {
    let id = talk.ask(method, json!({ "uri": uri })).await;
    talk.answer(id).await
}

async fn subscribe(talk: &mut Talk, uri: &str) {
    let answer = request(talk, "resources/subscribe", uri).await;
    assert_eq!(answer["result"], json!({}), "{answer}");
}

async fn unsubscribe(talk: &mut Talk, uri: &str) {
    let answer = request(talk, "resources/unsubscribe", uri).await;
    assert_eq!(answer["result"], json!({}), "{answer}");
}

/// Opens a listen stream; gives its id and what it was acknowledged with.
async fn listen(talk: &mut Talk, uris: &[&str]) -> (u64, Value) {
    let filter = json!({ "resourceSubscriptions": uris });
    let id = talk.ask("subscriptions/listen", json!({ "notifications": filter })).await;
    let message = talk.hear().await;
    assert_eq!(message["method"], "notifications/subscriptions/acknowledged", "{message}");
    let params = &message["params"];
    assert_eq!(params["_meta"]["io.modelcontextprotocol/subscriptionId"], id);
    (id, params["notifications"]["resourceSubscriptions"].clone())
}

async fn cancel(talk: &mut Talk, id: u64) {
    let params = json!({ "requestId": id });
    talk.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
        .await;
}

#[tokio::test]
async fn many_single_subscriptions_open_few_streams_at_a_modern_server() {
    const COUNT: usize = 1000;
    let servers = Watched::start("modern", "stdio").await;
    let mut talk = servers.host.legacy(json!({})).await;
    for number in 0..COUNT {
        let uri = format!("switchboard+{SERVER}:res://n/{number}");
        talk.ask("resources/subscribe", json!({ "uri": uri })).await;
    }
    for _ in 0..COUNT {
        let answer = talk.hear().await;
        assert_eq!(answer["result"], json!({}), "{answer}");
    }
    let journal = servers.host.journal();
    let opened = journal.iter().filter(|line| line.starts_with("listen")).count();
    assert!((1..COUNT / 20).contains(&opened), "{opened} streams");
}

#[tokio::test]
async fn a_session_is_told_of_what_it_subscribed_to_by_servers_of_any_kind() {
    for (era, transport) in SERVERS {
        let servers = Watched::start(era, transport).await;
        let mut watcher = servers.host.legacy(json!({})).await;
        let mut other = servers.host.legacy(json!({})).await;
        for _ in 0..2 {
            subscribe(&mut watcher, ONE).await;
        }
        for uri in [TWO, ONE] {
            watched::touch(&mut other, uri).await;
        }
        assert_eq!(update(&mut watcher).await, (ONE.to_owned(), Value::Null), "{era} {transport}");
        subscribe(&mut watcher, TWO).await;
        unsubscribe(&mut watcher, ONE).await;
        unsubscribe(&mut watcher, ONE).await;
        watched::so_many_are_held(&mut other, 1).await;
        for uri in [ONE, TWO] {
            watched::touch(&mut other, uri).await;
        }
        assert_eq!(update(&mut watcher).await.0, TWO, "{era} {transport}");
        subscribe(&mut watcher, FOLDER).await;
        watched::so_many_are_held(&mut other, 2).await;
        let part = format!("{FOLDER}a/b");
        watched::touch(&mut other, &part).await;
        assert_eq!(update(&mut watcher).await.0, part, "{era} {transport}");

        let unknown = request(&mut watcher, "resources/subscribe", NONE).await;
        assert_eq!(unknown["error"]["code"], -32002, "{unknown}");
        assert_eq!(unknown["error"]["data"]["uri"], NONE);
        let refused = request(&mut watcher, "resources/subscribe", SHY).await;
        assert!(refused["error"]["code"].is_i64(), "{refused}");
        let nameless = watcher.ask("resources/subscribe", json!({})).await;
        assert_eq!(watcher.answer(nameless).await["error"]["code"], -32602);
        drop(watcher);
        watched::so_many_are_held(&mut other, 0).await;
    }
}

#[tokio::test]
async fn a_listener_is_told_in_its_own_subscription_by_servers_of_any_kind() {
    for (era, transport) in SERVERS {
        let servers = Watched::start(era, transport).await;
        let mut watcher = servers.host.modern(json!({}));
        let mut other = servers.host.modern(json!({}));
        let (first, agreed) = listen(&mut watcher, &[ONE, NONE, SHY, ONE]).await;
        assert_eq!(agreed, json!([ONE, SHY]), "nobody has the other: {era} {transport}");
        // Both were promised before the server was asked; one of them it does not take.
        assert_eq!(updates(&mut watcher, 2).await, [ONE, SHY], "{era} {transport}");
        let (second, agreed) = listen(&mut watcher, &[TWO]).await;
        assert_eq!(agreed, json!([TWO]));
        assert_eq!(update(&mut watcher).await, (TWO.to_owned(), json!(second)));
        watched::so_many_are_held(&mut other, 2).await;
        for (uri, subscription) in [(ONE, first), (TWO, second), (ONE, first)] {
            watched::touch(&mut other, uri).await;
            let told = update(&mut watcher).await;
            assert_eq!(told, (uri.to_owned(), json!(subscription)), "{era} {transport}");
        }
        cancel(&mut watcher, first).await;
        watched::so_many_are_held(&mut other, 1).await;
        for uri in [ONE, TWO] {
            watched::touch(&mut other, uri).await;
        }
        assert_eq!(update(&mut watcher).await, (TWO.to_owned(), json!(second)));
        cancel(&mut watcher, second).await;
        watched::so_many_are_held(&mut other, 0).await;
    }
}

#[tokio::test]
async fn a_server_has_one_subscription_for_all_who_watch() {
    let servers = Watched::start("legacy", "stdio").await;
    let mut first = servers.host.legacy(json!({})).await;
    let mut second = servers.host.legacy(json!({})).await;
    let mut third = servers.host.modern(json!({}));
    subscribe(&mut first, ONE).await;
    subscribe(&mut second, ONE).await;
    let (id, _) = listen(&mut third, &[ONE]).await;
    watched::touch_any(&servers, ONE).await;
    for talk in [&mut first, &mut second, &mut third] {
        assert_eq!(update(talk).await.0, ONE);
    }
    unsubscribe(&mut first, ONE).await;
    drop(second);
    watched::touch_any(&servers, ONE).await;
    assert_eq!(update(&mut third).await.0, ONE);
    assert_eq!(servers.host.journal(), [format!("+ {ONE}")]);
    cancel(&mut third, id).await;
    servers.journals(&[format!("+ {ONE}"), format!("- {ONE}")]).await;
}

#[tokio::test]
async fn after_the_server_died_everything_that_is_watched_is_told_and_watched_again() {
    for era in ["legacy", "modern"] {
        let servers = Watched::start(era, "stdio").await;
        let mut session = servers.host.legacy(json!({})).await;
        let mut listener = servers.host.modern(json!({}));
        let mut other = servers.host.legacy(json!({})).await;
        subscribe(&mut session, ONE).await;
        subscribe(&mut session, TWO).await;
        let (id, _) = listen(&mut listener, &[TWO]).await;
        process::kill(watched::pid(&mut other).await);
        assert_eq!(updates(&mut session, 2).await, [ONE, TWO], "{era}");
        assert_eq!(update(&mut listener).await, (TWO.to_owned(), json!(id)), "{era}");
        watched::touch(&mut other, TWO).await;
        assert_eq!(update(&mut session).await.0, TWO, "{era}");
        assert_eq!(update(&mut listener).await.0, TWO, "{era}");
        assert_eq!(watched::held(&mut other).await, 2, "{era}");
        if era == "legacy" {
            let lines = [ONE, TWO, ONE, TWO].map(|uri| format!("+ {uri}"));
            assert_eq!(servers.host.journal(), lines);
        }
    }
}

#[tokio::test]
async fn sessions_with_servers_of_their_own_are_told_by_those_alone() {
    let servers = Watched::isolated("legacy").await;
    let mut first = servers.host.legacy(json!({})).await;
    let mut second = servers.host.legacy(json!({})).await;
    subscribe(&mut first, ONE).await;
    subscribe(&mut second, TWO).await;
    subscribe(&mut second, ONE).await;
    for uri in [TWO, ONE] {
        let id = first.call("touch", uri).await;
        let heard = [first.hear().await, if uri == ONE { first.hear().await } else { json!(0) }];
        assert!(heard.iter().any(|message| message["id"] == id), "{heard:?}");
        let told = heard.iter().filter(|message| message["params"]["uri"] == ONE).count();
        assert_eq!(told, usize::from(uri == ONE), "{heard:?}");
    }
    let id = second.call("touch", TWO).await;
    let heard = [second.hear().await, second.hear().await];
    assert!(heard.iter().any(|message| message["id"] == id), "{heard:?}");
    assert!(heard.iter().any(|message| message["params"]["uri"] == TWO), "not {ONE}: {heard:?}");
}

#[tokio::test]
async fn a_server_that_cannot_tell_is_named_and_one_that_is_watched_stays() {
    let (servers, runtime) = Watched::lazy_pair().await;
    let mut talk = servers.host.legacy(json!({})).await;
    let refused = request(&mut talk, "resources/subscribe", watched::OF_MUTE).await;
    let text = refused["error"]["message"].as_str().unwrap();
    let named = text.starts_with("mute did not execute resources/subscribe: ");
    assert!(named && text.contains("does not tell of changes"), "{text}");
    subscribe(&mut talk, ONE).await;
    // The other one, whose last use is later, is stopped; this one is not.
    request(&mut talk, "resources/subscribe", watched::OF_MUTE).await;
    servers.is_idle("mute").await;
    assert_eq!(servers.state(crate::dialogue::talk::SERVER), "ready");
    unsubscribe(&mut talk, ONE).await;
    servers.is_idle(crate::dialogue::talk::SERVER).await;
    subscribe(&mut talk, ONE).await;
    servers.subscribed(2).await;
    // It finds its watchers also after it was removed and added again.
    servers.replace(&runtime).await;
    // Its lists go and come as well.
    let mut heard = talk.hear().await;
    while heard["method"].as_str().unwrap().ends_with("list_changed") {
        heard = talk.hear().await;
    }
    assert_eq!(heard["params"]["uri"], ONE, "{heard}");
    servers.subscribed(3).await;
}

#[tokio::test]
async fn what_one_client_watches_is_bounded_and_leaves_nothing_behind() {
    const MOST: usize = 1024;
    let servers = Watched::start("legacy", "stdio").await;
    let mut talk = servers.host.legacy(json!({})).await;
    let uri = |number: usize| format!("res://n/{number}");
    for number in 0..MOST {
        subscribe(&mut talk, &uri(number)).await;
    }
    let refused = request(&mut talk, "resources/subscribe", ONE).await;
    let text = refused["error"]["message"].as_str().unwrap();
    assert!(text.starts_with("1024 resources watched"), "{text}");
    for number in 0..MOST {
        unsubscribe(&mut talk, &uri(number)).await;
    }
    watched::so_many_are_held(&mut talk, 0).await;
    assert_eq!(servers.host.journal().len(), 2 * MOST);
    let mut listener = servers.host.modern(json!({}));
    let uris: Vec<String> = (0..=MOST).map(uri).collect();
    let filter = json!({ "resourceSubscriptions": uris });
    let id = listener.ask("subscriptions/listen", json!({ "notifications": filter })).await;
    assert!(listener.answer(id).await["error"]["message"].is_string());
    let long = format!("res://n/{}", "x".repeat(9000));
    let refused = request(&mut talk, "resources/subscribe", &long).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}
