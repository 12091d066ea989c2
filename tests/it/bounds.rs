//! Bounds that one server or caller must not be able to pass: bytes that wait, places to connect.

use std::time::Duration;

use bytesize::ByteSize;
use serde_json::json;
use switchboard::{
    error::{Classify as _, Kind},
    id::ServerName,
    restart::State,
    runtime::{CallRequest, LimitsConfig, Runtime, RuntimeConfig},
};
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    flaky::{Attempt, Flaky},
    script::Script,
    wait::until,
};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(start_paused = true)]
async fn calls_that_hold_too_many_bytes_are_refused_and_smaller_ones_are_not() {
    let limits = LimitsConfig { queue_bytes: ByteSize::kb(10), ..LimitsConfig::default() };
    let config = RuntimeConfig { limits, ..RuntimeConfig::default() };
    let (runtime, script) = (Runtime::spawn(config).await.unwrap(), Script::new().hang().echo());
    let server = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    let big = json!({ "text": "x".repeat(8000) });

    let caller = store.clone();
    let mut calls = JoinSet::new();
    let hang = CallRequest::new("a_hang", &big);
    calls.spawn(async move { caller.call(hang).await });
    until("it is under way", async || (script.calls() == ["hang"]).then_some(())).await;
    let refused = store.call(CallRequest::new("a_echo", &big)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Overloaded);
    assert!(refused.to_string().contains("the call was not sent"), "{refused}");
    store.call(CallRequest::new("a_echo", &json!({ "text": "small" }))).await.unwrap();

    calls.shutdown().await;
    store.call(CallRequest::new("a_echo", &big)).await.unwrap();
    assert_eq!(script.calls(), ["hang", "echo", "echo"]);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_slow_crash_loops_delay_a_good_server_by_less_than_a_second() {
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let store = runtime.store();
    let script = Script::new().echo().crash();
    let good = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "good").await;
    store.wait_ready(&good, MINUTE).await.unwrap();
    let looping = Flaky::new(&script, &[], Attempt::FailsAfter(Duration::from_secs(1)));
    let loops: Vec<ServerName> = futures::future::join_all((0..100).map(|at| {
        let (looping, runtime) = (&looping, &runtime);
        async move { looping.add(runtime, &format!("loop{at}")).await }
    }))
    .await;
    let failed =
        |times: u64| loops.iter().all(|server| store.server(server).unwrap().incarnation.0 > times);
    until("each has failed and waits to try again", async || failed(2).then_some(())).await;

    let began = Instant::now();
    store.call(CallRequest::new("good_crash", &json!({}))).await.unwrap_err();
    store.call(CallRequest::new("good_echo", &json!({}))).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "restarted in {:?}", began.elapsed());

    let began = Instant::now();
    let newcomer = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "newcomer").await;
    store.wait_ready(&newcomer, MINUTE).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "started in {:?}", began.elapsed());
    let open = |server: &ServerName| store.server(server).unwrap().state == State::Open;
    until("the loops went on", async || loops.iter().all(open).then_some(())).await;
}
