//! The promises with real processes: killed, stopped, ending by themselves in the middle of a call,
//! closing their output. What a call did stands in a file that outlives the process that did it.
//!
//! The schedule is a seed's, the time is real, so a seed replays what happens but not when exactly.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use fastrand::Rng;
use rustix::process::Signal;
use serde_json::json;
use switchboard::{
    error::Kind,
    id::{AgentId, ServerName},
    runtime::{
        AgentConfig, CallRequest, Delivery, MonitoringConfig, Runtime, RuntimeConfig,
        RuntimeHandle, Scope, ServerConfig, TimeoutsConfig,
    },
    secret::Secret,
    upstream::{Protocol, TransportConfig, stdio::StdioConfig},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{run::Outcome, seeds};
use crate::support::{
    outgoing::heard_in,
    process::{self, MARK, marked},
    wait::{PATIENCE, until},
};

/// A server in the shell. It writes down what it hears, and each call's mark into a file before it answers; a call with
/// work has a grandchild of ours do it.
const SERVER: &str = r#"
while read -r line; do
  printf '%s %s\n' $$ "$line" >> "$RECORD.heard"
  case "$line" in *'"id":'*) ;; *) continue ;; esac
  id=${line#*'"id":'}; id=${id%%[,\}]*}
  case "$line" in
  *'"initialize"'*) result='{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
  *'"tools/list"'*) result='{"tools":[{"name":"act","inputSchema":{"type":"object"}}]}' ;;
  *'"tools/call"'*)
    mark=${line#*'"mark":"'}; mark=${mark%%'"'*}
    work=${line#*'"work":"'}; work=${work%%'"'*}
    case "$line" in *'"act":"end before"'*) exit 3 ;; esac
    echo "$mark" >> "$RECORD"
    sleep "$work"
    case "$line" in
    *'"act":"end after"'*) exit 4 ;;
    *'"act":"close"'*) exec 1>&- ; continue ;;
    esac
    result="{\"content\":[{\"type\":\"text\",\"text\":\"did $mark\"}]}" ;;
  *) result='{}' ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
done
"#;

/// The only server that nothing happens to.
const SOUND: &str = "good";
const SERVERS: [&str; 3] = [SOUND, "bad", "worse"];
/// Milliseconds within which calls come and blows fall.
const TIME: u64 = 4000;
const CALL: Duration = Duration::from_secs(5);
/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Call {
    at: Duration,
    server: &'static str,
    by_agent: bool,
    act: &'static str,
    work: f64,
}

#[derive(Clone, Debug)]
struct Blow {
    at: Duration,
    server: &'static str,
    on_agents: bool,
    /// Killed; else stopped, and let go on after this if it is not found out before.
    stopped: Option<Duration>,
}

fn calls(rng: &mut Rng) -> Vec<Call> {
    (0..120)
        .map(|_| {
            let server = SERVERS[rng.usize(0..3)];
            let act = match rng.u8(0..20) {
                _ if server == SOUND => "answer",
                0 => "end before",
                1 => "end after",
                2 => "close",
                _ => "answer",
            };
            Call {
                at: Duration::from_millis(rng.u64(0..TIME)),
                server,
                by_agent: rng.bool(),
                act,
                work: f64::from(rng.u32(0..40)) / 1000.0,
            }
        })
        .collect()
}

fn blows(rng: &mut Rng) -> Vec<Blow> {
    (0..8)
        .map(|_| Blow {
            at: Duration::from_millis(rng.u64(200..TIME)),
            server: SERVERS[rng.usize(1..3)],
            on_agents: rng.bool(),
            stopped: rng.bool().then(|| Duration::from_millis(rng.u64(100..3000))),
        })
        .collect()
}

/// Every server in the store, granted to one agent that has its own processes of them.
async fn spawn(record: &Path, mark: &str) -> RuntimeHandle {
    let name = |text: &&str| ServerName::new(*text).unwrap();
    let mut stdio = StdioConfig::new("sh");
    stdio.args = vec!["-c".to_owned(), SERVER.to_owned()];
    stdio.env = [("RECORD", record.to_str().unwrap()), (MARK, mark)]
        .map(|(name, value)| (name.to_owned(), Secret::from(value)))
        .into();
    let mut server = ServerConfig::new(TransportConfig::Stdio(stdio));
    server.protocol = Protocol::Legacy;
    let agent =
        AgentConfig { servers: SERVERS.iter().map(name).collect(), ..AgentConfig::default() };
    Runtime::spawn(RuntimeConfig {
        servers: SERVERS.iter().map(|text| (name(text), server.clone())).collect(),
        agents: [(AgentId::new("one").unwrap(), agent)].into(),
        monitoring: MonitoringConfig {
            health_check_seconds: 1,
            reconnection_seconds: 1,
            ..MonitoringConfig::default()
        },
        timeouts: TimeoutsConfig {
            call: CALL,
            health_check: Duration::from_millis(200),
            hang: Duration::from_secs(1),
            ..TimeoutsConfig::default()
        },
        ..RuntimeConfig::default()
    })
    .await
    .unwrap()
}

async fn strike(scope: Scope, blow: Blow) {
    let server = ServerName::new(blow.server).unwrap();
    let Some(pid) = scope.server(&server).and_then(|status| status.pid) else {
        return;
    };
    match blow.stopped {
        None => process::kill(pid),
        Some(time) => {
            process::signal(pid, Signal::STOP);
            tokio::time::timeout(time, std::future::pending::<()>()).await.ok();
            // The process may have been replaced; its number is not given again so soon.
            process::signal(pid, Signal::CONT);
        }
    }
}

/// What one call breaks, if anything.
fn broken(
    call: &Call,
    mark: &str,
    took: Duration,
    outcome: &Outcome,
    times: usize,
) -> Option<String> {
    let fits = match outcome {
        Outcome::Answered { result, .. } => {
            times == 1 && call.act == "answer" && result.contains(&format!("did {mark}\""))
        }
        Outcome::Failed { kind, phase, .. } => {
            let sent = *phase == Some(Delivery::Written);
            let known = match kind {
                Kind::OutcomeUnknown => sent,
                Kind::Unavailable | Kind::Overloaded => !sent,
                Kind::Timeout => took >= CALL,
                Kind::Invalid
                | Kind::NotFound
                | Kind::Unauthenticated
                | Kind::Denied
                | Kind::Limited
                | Kind::Cancelled
                | Kind::Upstream
                | Kind::Internal => false,
            };
            known && (sent || times == 0) && call.server != SOUND
        }
        Outcome::ServerError | Outcome::Left => false,
    };
    let holds = fits && times <= 1 && took <= CALL + SLACK;
    (!holds).then(|| format!("{mark} {call:?}: {outcome:?} after {took:?}, executed {times} times"))
}

async fn carry_out(seed: u64) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    let (calls, blows) = (calls(&mut rng), blows(&mut rng));
    let directory = tempfile::tempdir().unwrap();
    let record = directory.path().join("record");
    let mark = format!("{}-{seed}", std::process::id());
    let runtime = spawn(&record, &mark).await;
    let (store, one) = (runtime.store(), runtime.agent("one").unwrap());
    for server in SERVERS {
        store.wait_ready(&ServerName::new(server).unwrap(), PATIENCE).await.unwrap();
    }
    let sound = |scope: &Scope| scope.server(&ServerName::new(SOUND).unwrap()).unwrap().pid;
    let before = sound(&store);

    let start = Instant::now();
    let mut striking = JoinSet::new();
    for blow in blows.clone() {
        let scope = if blow.on_agents { one.clone() } else { store.clone() };
        striking.spawn(async move {
            sleep_until(start + blow.at).await;
            strike(scope, blow).await;
        });
    }
    let mut calling = JoinSet::new();
    for (number, call) in calls.iter().cloned().enumerate() {
        let scope = if call.by_agent { one.clone() } else { store.clone() };
        calling.spawn(async move {
            sleep_until(start + call.at).await;
            let arguments = json!({
                "mark": format!("m{number}"), "work": call.work.to_string(), "act": call.act,
            });
            let began = Instant::now();
            let request = CallRequest::new(format!("{}_act", call.server), &arguments);
            let outcome = Outcome::of(scope.call(request).await);
            (number, began.elapsed(), outcome)
        });
    }
    let outcomes = tokio::time::timeout(PATIENCE, calling.join_all()).await;
    let mut outcomes = outcomes.expect("every call is answered");
    outcomes.sort_by_key(|(number, ..)| *number);
    striking.join_all().await;
    let after = sound(&store);
    assert_eq!(runtime.drain(PATIENCE).await, 0);
    runtime.stop().await;
    heard_in(directory.path());

    let mut executed: BTreeMap<String, usize> = BTreeMap::new();
    for mark in fs::read_to_string(&record).unwrap().lines() {
        *executed.entry(mark.to_owned()).or_default() += 1;
    }
    let mut found: Vec<String> = outcomes
        .iter()
        .filter_map(|(number, took, outcome)| {
            let mark = format!("m{number}");
            let times = executed.get(&mark).copied().unwrap_or(0);
            broken(&calls[*number], &mark, *took, outcome, times)
        })
        .collect();
    let met = |fault: &dyn Fn(&Outcome) -> bool| outcomes.iter().any(|(.., one)| fault(one));
    let lost = met(&|one| matches!(one, Outcome::Failed { kind: Kind::OutcomeUnknown, .. }));
    let recovered =
        met(&|one| matches!(one, Outcome::Answered { incarnation, .. } if incarnation.0 > 1));
    assert!(lost && recovered, "a schedule that nobody notices shows nothing");
    if before != after {
        found.push("the sound server has another process than before".to_owned());
    }
    until("no process is left", async || marked(&mark).is_empty().then_some(())).await;
    if !found.is_empty() {
        found.push(format!("{blows:#?}"));
    }
    found
}

#[tokio::test]
async fn the_promises_hold_when_real_processes_are_killed_and_stopped() {
    for seed in seeds().step_by(32) {
        let found = carry_out(seed).await;
        assert!(found.is_empty(), "SWITCHBOARD_SEED={seed} replays it\n{}", found.join("\n"));
    }
}
