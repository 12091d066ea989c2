//! The runtime inside a program, with scripted servers in the same process.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{
    error::Kind,
    id::ServerName,
    runtime::{Answer, CallError, CallRequest, Runtime, RuntimeConfig, RuntimeHandle},
    wire::Revision,
};
use tokio::time::timeout;

use crate::{
    subscriptions::watched::{FOLDER, NONE, ONE, SHY, Watched, touch_any},
    support::{
        schema::assert_valid,
        script::{Call, Script, text},
        wait::{PATIENCE, until},
    },
};

fn name(name: &str) -> ServerName {
    ServerName::new(name).unwrap()
}

/// A runtime with one ready server, `local`, that follows the script.
async fn with(script: &Script) -> RuntimeHandle {
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let server = script.clone();
    let store = runtime.store();
    store.add_handler(name("local"), move || server.server()).await.unwrap();
    store.wait_ready(&name("local"), PATIENCE).await.unwrap();
    runtime
}

async fn call(runtime: &RuntimeHandle, tool: &str, arguments: Value) -> Result<Answer, CallError> {
    let request = CallRequest { timeout: Some(PATIENCE), ..CallRequest::new(tool, &arguments) };
    runtime.store().call(request).await
}

fn result(answer: &Answer) -> Value {
    serde_json::from_str(answer.result.get()).unwrap()
}

#[tokio::test]
async fn a_scripted_server_answers_by_its_exposed_name() {
    let script = Script::new().echo();
    let runtime = with(&script).await;

    let answer = call(&runtime, "local_echo", json!({"a": [1, 2.5, null]})).await.unwrap();
    let result = result(&answer);
    assert_eq!(result["content"][0]["text"], r#"{"a":[1,2.5,null]}"#);
    assert_valid(Revision::V2026_07_28, "CallToolResult", &result);
    assert_eq!((answer.server, answer.incarnation.0), (name("local"), 1));
    assert_eq!(script.calls(), ["echo"]);

    let unknown = call(&runtime, "local_missing", json!({})).await.unwrap_err();
    assert!(matches!(unknown, CallError::UnknownTool { .. }), "{unknown}");
    runtime.stop().await;
}

#[tokio::test]
async fn a_crash_takes_its_own_calls_and_the_next_one_finds_the_next_life() {
    let script = Script::new().echo().crash();
    let runtime = with(&script).await;

    let error = call(&runtime, "local_crash", json!({})).await.unwrap_err();
    let CallError::Failed(failure) = error else { panic!("{error}") };
    assert_eq!(failure.kind, Kind::OutcomeUnknown, "{}", failure.text);
    assert_eq!(failure.incarnation.0, 1);

    let answer = call(&runtime, "local_echo", json!({})).await.unwrap();
    assert_eq!(answer.incarnation.0, 2);
    assert_eq!(script.lives(), 2);
    assert_eq!(script.calls(), ["crash", "echo"], "nothing was sent twice");
    runtime.stop().await;
}

#[tokio::test]
async fn an_announced_change_of_tools_reaches_the_view() {
    let script = Script::new().legacy().echo().hang();
    let runtime = with(&script).await;
    let mut changes = runtime.store().changes().unwrap();
    changes.mark_unchanged();

    script.remove("hang");
    script.announce().await;
    tokio::time::timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
    let view = runtime.store().tools().unwrap();
    let names: Vec<&str> = view.tools().iter().map(|tool| &*tool.exposed).collect();
    assert_eq!(names, ["local_echo"]);
    runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lists_that_change_together_are_one_change_of_the_view() {
    let script = Script::new().legacy().echo().hang();
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let store = runtime.store();
    for number in 0..30 {
        let (script, server) = (script.clone(), name(&format!("s{number}")));
        store.add_handler(server.clone(), move || script.server()).await.unwrap();
        store.wait_ready(&server, PATIENCE).await.unwrap();
    }
    let changes = store.changes().unwrap();
    let before = changes.borrow().tools;

    script.remove("hang");
    script.announce().await;
    let all_new = async || (store.tools().unwrap().tools().len() == 30).then_some(());
    until("every server's new list", all_new).await;
    assert_eq!(changes.borrow().tools, before + 1);
    runtime.stop().await;
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_its_call_at_the_server() {
    let (left, mut told) = tokio::sync::mpsc::channel(1);
    let script = Script::new().tool("watched", move |Call { context, .. }| {
        let left = left.clone();
        async move {
            context.ct.cancelled().await;
            left.send(()).await.ok();
            Ok(text("never read"))
        }
    });
    let runtime = with(&script).await;
    {
        let calling = call(&runtime, "local_watched", json!({}));
        tokio::pin!(calling);
        let started = until("the call to arrive", async || script.calls().first().cloned());
        tokio::select! {
            answer = &mut calling => panic!("answered: {answer:?}"),
            _ = started => {}
        }
    }
    tokio::time::timeout(Duration::from_secs(10), told.recv()).await.unwrap().unwrap();
    runtime.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_ready_is_listed() {
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let store = runtime.store();
    let script = Script::new().echo();
    for number in 0..50 {
        let server = script.clone();
        let name = name(&format!("s{number}"));
        store.add_handler(name.clone(), move || server.server()).await.unwrap();
        store.wait_ready(&name, PATIENCE).await.unwrap();
        let view = store.tools().unwrap();
        assert!(view.resolve(&format!("{name}_echo")).is_some(), "{name} is ready and not listed");
    }
    runtime.stop().await;
}

#[tokio::test]
async fn a_program_hears_of_the_resources_that_it_watches() {
    for era in ["legacy", "modern"] {
        let servers = Watched::start(era, "stdio").await;
        let store = servers.host.runtime.store();
        let mut one = store.subscribe(ONE).await.unwrap();
        let mut folder = store.subscribe(FOLDER).await.unwrap();
        touch_any(&servers, ONE).await;
        assert_eq!(timeout(PATIENCE, one.updated()).await.unwrap(), ONE);
        let part = format!("{FOLDER}part");
        touch_any(&servers, &part).await;
        assert_eq!(timeout(PATIENCE, folder.updated()).await.unwrap(), part);
        drop(folder);
        until("it is watched no longer", async || {
            let journal = servers.host.journal();
            // The stream before is ended once the new one is there.
            let last = journal.iter().rfind(|line| *line != "end").unwrap();
            (*last == format!("- {FOLDER}") || *last == format!("listen {ONE}")).then_some(())
        })
        .await;
        for (nobodys, expected) in [(NONE, "unknown resource"), (SHY, "asker")] {
            let error = store.subscribe(nobodys).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
