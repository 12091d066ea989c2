//! What supervisors do, shown with paused time: an hour of failures passes in milliseconds.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use switchboard::{
    error::{Classify as _, Kind},
    id::{AgentId, Owner, ServerName},
    restart::{Restart, State, Strategy},
    runtime::{
        AgentConfig, CallError, CallRequest, Delivery, Failure, GroupConfig, MonitoringConfig,
        Runtime, RuntimeConfig, RuntimeHandle, Scope,
    },
};
use tokio::time::Instant;

use crate::support::{
    flaky::{Attempt, Flaky},
    script::{Script, text},
    wait::until,
};

const MINUTE: Duration = Duration::from_mins(1);

fn name(text: &str) -> ServerName {
    ServerName::new(text).unwrap()
}

async fn runtime() -> RuntimeHandle {
    Runtime::spawn(RuntimeConfig::default()).await.unwrap()
}

fn request(tool: &str) -> CallRequest {
    CallRequest::new(tool, &json!({}))
}

/// Lets paused time pass: every timer on the way fires in its turn.
async fn pass(time: Duration) {
    tokio::time::timeout(time, std::future::pending::<()>()).await.unwrap_err();
}

async fn failure(scope: &Scope, tool: &str) -> Failure {
    match scope.call(request(tool)).await {
        Err(CallError::Failed(failure)) => failure,
        other => panic!("{tool}: {other:?}"),
    }
}

async fn in_state(scope: &Scope, server: &ServerName, state: State) {
    until(&format!("{server} is {state}"), async || {
        (scope.server(server)?.state == state).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_comes_back_and_the_next_call_only_waits() {
    let (script, runtime) = (Script::new().echo().crash(), runtime().await);
    let server = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();

    let lost = failure(&store, "a_crash").await;
    assert_eq!((lost.kind, lost.phase), (Kind::OutcomeUnknown, Delivery::Written));
    assert!(lost.text.contains("may have run"), "{}", lost.text);

    let answer = store.call(request("a_echo")).await.unwrap();
    assert_eq!((answer.incarnation.0, script.lives()), (2, 2));
    let status = store.server(&server).unwrap();
    assert_eq!(status.state, State::Ready);
    assert!(status.cause.unwrap().contains("panicked"), "the cause is shown after the recovery");
    assert_eq!(script.calls(), ["crash", "echo"], "nothing is sent twice");
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_stays_within_intensity_and_its_circuit_says_when_it_probes() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[], Attempt::Fails);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    in_state(&store, &server, State::Open).await;
    let attempts = flaky.attempts();
    assert_eq!(attempts.len(), 6, "the first and five retries");

    let began = Instant::now();
    pass(Duration::from_mins(30)).await;
    let probes = flaky.attempts().iter().filter(|at| **at > began).count();
    assert!((25..60).contains(&probes), "{probes} probes in half an hour");

    flaky.then(Attempt::Works);
    store.restart(&server).await.unwrap();
    store.wait_ready(&server, MINUTE).await.unwrap();
    store.call(request("a_echo")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_at_once_and_a_probe_closes_it() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[Attempt::Works], Attempt::Fails);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    store.restart(&server).await.unwrap();
    in_state(&store, &server, State::Open).await;

    let began = Instant::now();
    let refused = failure(&store, "a_echo").await;
    assert_eq!((refused.kind, refused.phase), (Kind::Unavailable, Delivery::Queued));
    assert!(refused.retry_after.unwrap() <= Duration::from_secs(6));
    assert!(refused.text.contains("next try in"), "{}", refused.text);
    assert_eq!(began.elapsed(), Duration::ZERO);

    flaky.then(Attempt::Works);
    in_state(&store, &server, State::Ready).await;
    store.call(request("a_echo")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_tried_again_only_when_someone_asks() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[], Attempt::Fatal);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    in_state(&store, &server, State::Failed).await;
    pass(Duration::from_hours(24)).await;
    assert_eq!(flaky.attempts().len(), 1);
    let error = store.wait_ready(&server, MINUTE).await.unwrap_err();
    assert_eq!(error.to_string(), "a is failed: protocol violation: as planned");

    flaky.then(Attempt::Works);
    store.restart(&server).await.unwrap();
    in_state(&store, &server, State::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn without_reconnection_a_lost_server_is_stopped_until_someone_starts_it() {
    let monitoring = MonitoringConfig { enable_reconnection: false, ..MonitoringConfig::default() };
    let config = RuntimeConfig { monitoring, ..RuntimeConfig::default() };
    let runtime = Runtime::spawn(config).await.unwrap();
    let script = Script::new().echo().crash();
    let flaky = Flaky::new(&script, &[], Attempt::Works);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    failure(&store, "a_crash").await;
    in_state(&store, &server, State::Stopped).await;
    assert_eq!(failure(&store, "a_echo").await.text, "a is stopped; the call was not sent");
    store.restart(&server).await.unwrap();
    store.wait_ready(&server, MINUTE).await.unwrap();
    assert_eq!(flaky.attempts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_server_is_never_started_again() {
    let (script, runtime) = (Script::new().crash(), runtime().await);
    let flaky = Flaky::new(&script, &[], Attempt::Works);
    let temporary = |config: &mut switchboard::runtime::ServerConfig| {
        config.restart = Restart::Temporary;
    };
    let server = flaky.add_with(&runtime, "a", temporary).await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    failure(&store, "a_crash").await;
    in_state(&store, &server, State::Stopped).await;
    assert_eq!(flaky.attempts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_restarted_once_for_each_loss_after_the_lost_one_is_back() {
    for (strategy, lives) in [
        (Strategy::OneForOne, [1, 2, 1]),
        (Strategy::OneForAll, [2, 2, 2]),
        (Strategy::RestForOne, [1, 2, 2]),
    ] {
        let group = GroupConfig {
            servers: ["a", "b", "c"].map(name).to_vec(),
            strategy,
            intensity: 5,
            period: MINUTE,
        };
        let runtime = grouped(group).await;
        let store = runtime.store();
        let scripts = ["a", "b", "c"].map(|_| Script::new().echo().crash());
        // The lost one fails twice before it is back: its siblings must not notice.
        let plans: [&[Attempt]; 3] = [&[], &[Attempt::Works, Attempt::Fails, Attempt::Fails], &[]];
        for ((text, script), plan) in ["a", "b", "c"].into_iter().zip(&scripts).zip(plans) {
            let flaky = Flaky::new(script, plan, Attempt::Works);
            let config = switchboard::runtime::ServerConfig::new(
                switchboard::upstream::TransportConfig::InProcess,
            );
            store.remove(&name(text)).await.unwrap();
            store.add_connector(name(text), config, Arc::new(flaky)).await.unwrap();
            store.wait_ready(&name(text), MINUTE).await.unwrap();
        }
        failure(&store, "b_crash").await;
        store.call(request("b_echo")).await.unwrap();
        let expected = lives;
        until(&format!("{strategy:?} restarts"), async || {
            let now = [0, 1, 2].map(|at: usize| scripts[at].lives());
            (now == expected).then_some(())
        })
        .await;
        for text in ["a_echo", "b_echo", "c_echo"] {
            store.call(request(text)).await.unwrap();
        }
        pass(Duration::from_mins(5)).await;
        assert_eq!([0, 1, 2].map(|at: usize| scripts[at].lives()), lives, "{strategy:?}");
        runtime.stop().await;
    }
}

/// A runtime whose configuration names the group's members; they never start by themselves.
async fn grouped(group: GroupConfig) -> RuntimeHandle {
    use switchboard::{
        runtime::ServerConfig,
        upstream::{TransportConfig, http::HttpConfig},
    };
    let url = "http://127.0.0.1:1/mcp".to_owned();
    let http = HttpConfig { url, headers: std::collections::BTreeMap::new() };
    let config = ServerConfig::new(TransportConfig::Http(http));
    let servers = group.servers.iter().map(|server| (server.clone(), config.clone())).collect();
    let groups = [("group".to_owned(), group)].into();
    Runtime::spawn(RuntimeConfig { servers, groups, ..RuntimeConfig::default() }).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_is_stopped_and_started_by_its_next_call() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[], Attempt::Works);
    let server =
        flaky.add_with(&runtime, "a", |config| config.idle_stop = Duration::from_secs(10)).await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    in_state(&store, &server, State::Idle).await;
    pass(Duration::from_hours(1)).await;
    assert_eq!(store.tools().unwrap().tools().len(), 1, "its tools stay listed");
    let answer = store.call(request("a_echo")).await.unwrap();
    assert_eq!((answer.incarnation.0, script.lives()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn tools_are_refreshed_by_notice_and_on_the_interval_and_told_only_when_they_differ() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[], Attempt::Works);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    let mut changes = store.changes().unwrap();
    let listed = || {
        let view = store.tools().unwrap();
        view.tools().iter().map(|tool| tool.exposed.to_string()).collect::<Vec<_>>()
    };

    let script = script.tool("new", async |_| Ok(text("new")));
    changes.changed().await.unwrap();
    assert_eq!(listed(), ["a_echo", "a_new"], "found by the interval of two hours");
    assert!(changes.borrow_and_update().tools > 0);

    pass(Duration::from_hours(12)).await;
    tokio::task::yield_now().await;
    assert!(!changes.has_changed().unwrap(), "listing the same again is no change");

    script.remove("new");
    store.restart(&server).await.unwrap();
    changes.changed().await.unwrap();
    assert_eq!(listed(), ["a_echo"], "found on reconnection");
}

#[tokio::test(start_paused = true)]
async fn the_tools_of_a_server_that_stays_away_are_withdrawn_once() {
    let (script, runtime) = (Script::new().echo().crash(), runtime().await);
    let flaky = Flaky::new(&script, &[Attempt::Works], Attempt::Fails);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    let mut changes = store.changes().unwrap();
    let began = Instant::now();
    failure(&store, "a_crash").await;
    changes.changed().await.unwrap();
    assert!(began.elapsed() >= Duration::from_mins(10), "{:?}", began.elapsed());
    assert!(store.tools().unwrap().tools().is_empty());
    flaky.then(Attempt::Works);
    changes.changed().await.unwrap();
    assert_eq!(store.tools().unwrap().tools().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn servers_that_hang_while_they_start_delay_nobody() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let hanging = Flaky::new(&script, &[], Attempt::Hangs);
    for text in ["x", "y", "z"] {
        hanging.add(&runtime, text).await;
    }
    until("three hang", async || (hanging.under_way() == 3).then_some(())).await;
    let began = Instant::now();
    let works = Flaky::new(&script, &[], Attempt::Works);
    for at in 0..20 {
        works.add(&runtime, &format!("s{at}")).await;
    }
    let store = runtime.store();
    for at in 0..20 {
        store.wait_ready(&name(&format!("s{at}")), MINUTE).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(hanging.under_way(), 3);
    runtime.stop().await;
    assert_eq!(hanging.under_way(), 0, "stopping ends attempts");
}

#[tokio::test(start_paused = true)]
async fn a_call_before_the_first_listing_waits_for_it_and_an_unknown_name_does_not() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let flaky = Flaky::new(&script, &[Attempt::Fails, Attempt::Fails], Attempt::Works);
    flaky.add(&runtime, "a").await;
    let store = runtime.store();
    let unknown = store.call(request("b_echo")).await.unwrap_err();
    assert_eq!(unknown.to_string(), "unknown tool \"b_echo\"");
    assert_eq!(store.call(request("a_echo")).await.unwrap().server, name("a"));
    let unknown = store.call(request("a_missing")).await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn bugs_of_one_owner_leave_the_others_alone() {
    let agent = AgentId::new("other").unwrap();
    let agents = [(agent, AgentConfig::default())].into();
    let config = RuntimeConfig { agents, ..RuntimeConfig::default() };
    let runtime = Runtime::spawn(config).await.unwrap();
    let other = runtime.agent("other").unwrap();
    let script = Script::new().echo();
    let served = script.clone();
    other.add_handler(name("quiet"), move || served.server()).await.unwrap();
    other.wait_ready(&name("quiet"), MINUTE).await.unwrap();

    let flaky = Flaky::new(&script, &[], Attempt::Panics);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    until("the store's supervisor is in quarantine", async || {
        let status = store.server(&server)?;
        let cause = status.cause.unwrap_or_default();
        (status.state == State::Failed && cause.contains("quarantine")).then_some(())
    })
    .await;
    other.call(request("quiet_echo")).await.unwrap();
    assert_eq!(other.server(&name("quiet")).unwrap().incarnation.0, 1);

    flaky.then(Attempt::Works);
    store.restart(&server).await.unwrap();
    in_state(&store, &server, State::Ready).await;
    store.call(request("a_echo")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_agent_has_its_own_connection_and_reaches_nothing_that_it_was_not_given() {
    let agent = |text: &str| AgentId::new(text).unwrap();
    let granted = AgentConfig { servers: Vec::new(), ..AgentConfig::default() };
    let agents = [(agent("one"), granted.clone()), (agent("two"), granted)].into();
    let config = RuntimeConfig { agents, ..RuntimeConfig::default() };
    let runtime = Runtime::spawn(config).await.unwrap();
    let script = Script::new().echo();
    Flaky::new(&script, &[], Attempt::Works).add(&runtime, "shared").await;
    let (one, two) = (runtime.agent("one").unwrap(), runtime.agent("two").unwrap());
    let served = script.clone();
    one.add_handler(name("private"), move || served.server()).await.unwrap();
    one.wait_ready(&name("private"), MINUTE).await.unwrap();
    runtime.store().wait_ready(&name("shared"), MINUTE).await.unwrap();

    one.call(request("private_echo")).await.unwrap();
    let texts: Vec<String> = {
        let mut texts = Vec::new();
        for (scope, tool) in [
            (&two, "private_echo"),
            (&two, "shared_echo"),
            (&one, "shared_echo"),
            (&runtime.store(), "private_echo"),
            (&two, "nothing_echo"),
        ] {
            let error = scope.call(request(tool)).await.unwrap_err();
            texts.push(error.to_string().replace(tool, "TOOL"));
        }
        texts
    };
    assert!(texts.iter().all(|text| text == "unknown tool \"TOOL\""), "{texts:?}");
    assert!(two.tools().unwrap().tools().is_empty() && two.servers().is_empty());
    assert!(
        two.restart(&name("private")).await.is_err() && two.check(&name("private")).await.is_err()
    );
    assert!(runtime.scope(&Owner::Agent(agent("three"))).is_none());
}

#[tokio::test(start_paused = true)]
async fn two_runtimes_in_one_process_do_not_meet() {
    let (first, second) = (runtime().await, runtime().await);
    let script = Script::new().echo();
    let server = Flaky::new(&script, &[], Attempt::Works).add(&first, "a").await;
    first.store().wait_ready(&server, MINUTE).await.unwrap();
    assert!(second.store().servers().is_empty());
    assert!(second.store().call(request("a_echo")).await.is_err());
    second.stop().await;
    assert_eq!(&*second.closed().await, "shutdown");
    first.store().call(request("a_echo")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_is_under_way_and_refuses_what_is_new() {
    let runtime = runtime().await;
    let (go, gone) = tokio::sync::watch::channel(false);
    let script = Script::new().echo().tool("wait", move |_| {
        let mut gone = gone.clone();
        async move {
            gone.wait_for(|go| *go).await.ok();
            Ok(text("done"))
        }
    });
    let server = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    let caller = store.clone();
    tasks.spawn(async move { caller.call(request("a_wait")).await });
    until("the call is under way", async || (script.calls().len() == 1).then_some(())).await;
    let drained = runtime.clone();
    let mut draining = tokio::task::JoinSet::new();
    draining.spawn(async move { drained.drain(MINUTE).await });
    until("new calls are refused", async || {
        matches!(store.call(request("a_echo")).await, Err(CallError::Draining)).then_some(())
    })
    .await;
    go.send(true).unwrap();
    assert_eq!(draining.join_next().await.unwrap().unwrap(), 0);
    tasks.join_next().await.unwrap().unwrap().unwrap();
    runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_refuses_what_waits_for_a_connection_and_a_stop_answers_what_was_sent() {
    let (script, runtime) = (Script::new().hang(), runtime().await);
    let works = Flaky::new(&script, &[Attempt::Works], Attempt::Hangs);
    let server = works.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, MINUTE).await.unwrap();
    let mut sent = tokio::task::JoinSet::new();
    let caller = store.clone();
    sent.spawn(async move { caller.call(request("a_hang")).await });
    until("the call is under way", async || (script.calls().len() == 1).then_some(())).await;
    assert_eq!(runtime.drain(Duration::from_secs(1)).await, 1);
    runtime.stop().await;
    let Err(CallError::Failed(failure)) = sent.join_next().await.unwrap().unwrap() else {
        panic!("answered as if nothing had happened")
    };
    assert_eq!(failure.kind, Kind::OutcomeUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_name_of_a_server_that_never_came_up_is_unavailable_not_unknown() {
    let (script, runtime) = (Script::new().echo(), runtime().await);
    let server = Flaky::new(&script, &[], Attempt::Fatal).add(&runtime, "a").await;
    let store = runtime.store();
    in_state(&store, &server, State::Failed).await;
    let refused = failure(&store, "a_echo").await;
    assert_eq!((refused.kind, refused.phase), (Kind::Unavailable, Delivery::Queued));
    let unknown = store.call(request("b_echo")).await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
}
