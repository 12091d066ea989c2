//! What a caller that asked for progress hears while its call waits: seldom, in increasing values,
//! and without a longer deadline.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use serde_json::{Value, json};
use switchboard::{
    access::Gate,
    error::{Classify as _, Kind},
    face::http::{HttpFace, HttpFaceConfig},
    runtime::{
        CallError, CallRequest, Progress, ProgressSink, Runtime, RuntimeConfig, RuntimeHandle,
        Subject,
    },
    wire::{RawValue, Revision},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use crate::{
    mcp_host::{BODY_BYTES, Events, modern_post},
    mcp_legacy::gated,
    mcp_modern::step,
    support::{
        flaky::{Attempt, Flaky},
        http::Client,
        script::Script,
        wait::{PATIENCE, until},
    },
};

const MINUTE: Duration = Duration::from_mins(1);

async fn runtime() -> RuntimeHandle {
    Runtime::spawn(RuntimeConfig::default()).await.unwrap()
}

/// A call that asks for progress, for so long at most.
fn asking(tool: &str, timeout: Duration) -> (CallRequest, mpsc::Receiver<Progress>) {
    let (sink, progress) = ProgressSink::new(64);
    let mut request = CallRequest::new(tool, &json!({}));
    request.progress = Some(sink);
    request.timeout = Some(timeout);
    (request, progress)
}

/// What was heard so far: after how many seconds, the value, the words.
async fn heard(
    mut progress: mpsc::Receiver<Progress>,
    began: Instant,
) -> Vec<(u64, f64, Option<String>)> {
    let mut heard = Vec::new();
    while let Some(Progress { params, .. }) = progress.recv().await {
        let params: Value = serde_json::from_str(params.get()).unwrap();
        let words = params["message"].as_str().map(ToOwned::to_owned);
        heard.push((began.elapsed().as_secs(), params["progress"].as_f64().unwrap(), words));
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_restart_hears_of_it_and_then_of_its_servers_progress() {
    let (script, runtime) = (Script::new().tool("step", step), runtime().await);
    let slow = Attempt::FailsAfter(Duration::from_secs(7));
    let flaky = Flaky::new(&script, &[Attempt::Works, slow, slow], Attempt::Works);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    store.restart(&server).await.unwrap();

    let began = Instant::now();
    let (request, progress) = asking("a_step", MINUTE);
    let (outcome, heard) = tokio::join!(store.call(request), heard(progress, began));
    outcome.unwrap();

    assert!(heard.is_sorted_by(|a, b| a.1 < b.1), "values increase: {heard:?}");
    let (words, steps): (Vec<_>, Vec<_>) = heard.iter().partition(|(_, _, words)| words.is_some());
    let seconds: Vec<u64> = words.iter().map(|(second, ..)| *second).collect();
    assert_eq!(seconds, [1, 6, 11], "{heard:?}");
    assert!(words.iter().all(|(_, value, words)| {
        *value < 0.01 && words.as_ref().unwrap().starts_with("a is restarting")
    }));
    assert_eq!(steps.iter().map(|(_, value, _)| *value).collect::<Vec<_>>(), [1.0, 2.0]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_before_the_next_try_is_told_with_its_length() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[Attempt::Works], Attempt::Busy(MINUTE));
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    store.restart(&server).await.unwrap();
    until("the pause", async || store.server(&server)?.next_try).await;

    let (request, progress) = asking("a_echo", Duration::from_secs(3));
    let (outcome, heard) = tokio::join!(store.call(request), heard(progress, Instant::now()));
    outcome.unwrap_err();
    let words = heard[0].2.as_ref().unwrap();
    assert!(words.starts_with("a is restarting, next try in 5"), "{words}");
    assert!(words.ends_with(" s; the call waits"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn words_extend_no_deadline() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[Attempt::Works], Attempt::Hangs);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    store.restart(&server).await.unwrap();

    let began = Instant::now();
    let (request, progress) = asking("a_echo", Duration::from_secs(12));
    let (outcome, heard) = tokio::join!(store.call(request), heard(progress, began));
    let Err(CallError::Failed(failure)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((failure.kind, began.elapsed().as_secs()), (Kind::Timeout, 12));
    assert_eq!(heard.len(), 3, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_for_a_name_that_may_still_come_hears_of_that() {
    let (script, runtime) = (Script::new().tool("step", step), runtime().await);
    let slow = Attempt::FailsAfter(Duration::from_secs(2));
    Flaky::new(&script, &[slow], Attempt::Works).add(&runtime, "a").await;
    let store = runtime.store();
    let (request, progress) = asking("a_step", MINUTE);
    let (outcome, heard) = tokio::join!(store.call(request), heard(progress, Instant::now()));
    outcome.unwrap();
    let words = heard[0].2.as_ref().unwrap();
    assert!(words.contains("a_step is not known yet"), "{heard:?}");
    assert!(heard.last().unwrap().1 > 1.5, "{heard:?}");
}

#[tokio::test]
async fn clients_of_both_eras_hear_why_their_calls_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let (script, runtime) = (gated(&gate), runtime().await);
    let flaky = Flaky::new(&script, &[], Attempt::Works);
    let one = |config: &mut switchboard::runtime::ServerConfig| {
        config.max_in_flight = NonZeroU32::new(1);
    };
    let server = flaky.add_with(&runtime, "demo", one).await;
    let store = runtime.store();
    store.wait_ready(&server, PATIENCE).await.unwrap();
    let config = HttpFaceConfig { port: 0, ..HttpFaceConfig::default() };
    let face = HttpFace::bind(&config).await.unwrap();
    let face = face.serve(BODY_BYTES, Gate::new(runtime.clone()), None);
    let client = Client::new(format!("http://{}/mcp", face.local_addr()));

    let call = json!({"name": "demo_gated", "_meta": {"progressToken": "mine"}});
    let mut first = {
        let post = modern_post(&client, &json!(1), "tools/call", call.clone());
        Events::of(Revision::LATEST, post.send().await.unwrap())
    };
    assert_eq!(first.message().await["params"]["progress"], 1.0, "it is with its server");
    let session = client.initialize(Revision::V2025_06_18).await;
    let legacy = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call});
    let waiting = [
        (session.revision(), session.post().json(&legacy)),
        (Revision::LATEST, modern_post(&client, &json!(2), "tools/call", call)),
    ];
    let mut told = Vec::new();
    for (revision, post) in waiting {
        let mut events = Events::of(revision, post.send().await.unwrap());
        let words = &events.message().await["params"];
        assert_eq!(words["message"], "demo is busy with other calls; the call waits its turn");
        assert_eq!((&words["progressToken"], &words["progress"]), (&json!("mine"), &json!(0.0001)));
        told.push(events);
    }
    gate.add_permits(3);
    for mut events in told {
        assert_eq!(events.message().await["params"]["progress"], 1.0, "the server's own");
        assert_eq!(events.message().await["result"]["content"][0]["text"], "through");
    }
    assert_eq!(first.message().await["result"]["content"][0]["text"], "through");
    session.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_uri_that_nobody_has_is_not_waited_for_as_long_as_a_server_takes() {
    let runtime = runtime().await;
    Flaky::new(&Script::new(), &[], Attempt::Hangs).add(&runtime, "slow").await;
    let subject = Subject::Resource("notes://nowhere".to_owned());
    let params = RawValue::from_string(r#"{"uri":"notes://nowhere"}"#.to_owned()).unwrap();
    let began = Instant::now();
    let refused = runtime.store().call(CallRequest::about(subject, params.into())).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(began.elapsed().as_secs(), 5);
}
