//! Real child processes: Python servers written out in the tests.

use std::{future::Future, path::Path};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{interval, timeout};

use super::*;
use crate::{
    id::{Incarnation, ServerName},
    upstream::{Deadline, LinkEnd, ProcessExit, Request, RequestError, StderrRing},
    wire::{Era, RawValue},
};

const MINUTE: Duration = Duration::from_mins(1);

/// What every server below can use: a legacy server whose tool results come from `call(params)`.
const PRELUDE: &str = r#"
import json, os, signal, subprocess, sys, time
def say(message):
    sys.stdout.write(json.dumps(message) + "\n"); sys.stdout.flush()
def result(request, result):
    say({"jsonrpc": "2.0", "id": request["id"], "result": result})
def refuse(request):
    say({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no"}})
def initialise(request):
    result(request, {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                     "serverInfo": {"name": "script", "version": "1"}})
def serve(call, probe=refuse):
    for line in sys.stdin:
        request = json.loads(line)
        method = request.get("method")
        if method == "server/discover": probe(request)
        elif method == "initialize": initialise(request)
        elif method == "tools/call": call(request)
"#;

fn python(script: &str) -> StdioConfig {
    StdioConfig {
        args: vec!["-c".to_owned(), format!("{PRELUDE}\n{script}")],
        ..StdioConfig::new("python3")
    }
}

fn context(stderr: &Arc<StderrRing>, timeout: Duration) -> ConnectContext {
    ConnectContext {
        server: ServerName::new("script").unwrap(),
        incarnation: Incarnation(1),
        abilities: crate::wire::Abilities::NONE,
        roots: crate::upstream::Roots::default(),
        protocol: Protocol::Auto,
        timeout,
        message_limit: 64 << 20,
        stderr: Arc::clone(stderr),
        guard: crate::guard::Guard::none(),
    }
}

async fn connect(config: StdioConfig) -> Result<Link, ConnectError> {
    connect_within(config, MINUTE).await
}

async fn connect_within(config: StdioConfig, timeout: Duration) -> Result<Link, ConnectError> {
    let ring = Arc::new(StderrRing::default());
    Stdio::new(config).connect(context(&ring, timeout)).await
}

async fn call(link: &Link) -> Result<Box<RawValue>, RequestError> {
    link.request(Request {
        method: "tools/call".into(),
        params: None,
        name: None,
        progress: None,
        deadline: Deadline::new(MINUTE, MINUTE),
        trace: None,
        dialogue: None,
    })
    .await
}

/// Calls until the server has really got the call, which its `answer` to another call shows.
async fn json(link: &Link) -> serde_json::Value {
    serde_json::from_str(call(link).await.unwrap().get()).unwrap()
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let mut tick = interval(Duration::from_millis(5));
    let wait = async {
        while !condition() {
            tick.tick().await;
        }
    };
    timeout(MINUTE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn gone(pid: u32) {
    until("the process is gone", || !exists(pid)).await;
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(MINUTE, future).await.expect("hangs")
}

fn pid(link: &Link) -> u32 {
    link.facts().pid.unwrap()
}

#[tokio::test]
async fn a_legacy_server_is_found_called_and_closed() {
    let link = connect(python("serve(lambda r: result(r, {'content': []}))")).await.unwrap();
    assert_eq!(link.facts().era, Era::Legacy);
    assert_eq!(call(&link).await.unwrap().get(), r#"{"content": []}"#);
    let pid = pid(&link);
    assert!(exists(pid));
    let start = Instant::now();
    link.close(MINUTE).await;
    assert!(start.elapsed() < MINUTE / 2, "it ends with its input");
    assert_eq!(link.ended().await, LinkEnd::Stopped);
    // Not even a zombie is left.
    gone(pid).await;
}

#[tokio::test]
async fn a_server_that_dies_on_the_probe_is_started_again_without_one() {
    let script = "serve(lambda r: result(r, {}), probe=lambda r: sys.exit(1))";
    let link = connect(python(script)).await.unwrap();
    assert_eq!(link.facts().era, Era::Legacy);
    call(&link).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_start_says_how_it_ended_and_its_last_words() {
    let script = "for n in range(5): print('line', n, file=sys.stderr)\nsys.exit(3)";
    let error = connect(python(script)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the process exited with code 3 before the connection was ready; \
         its last error output: line 2 | line 3 | line 4"
    );
    assert!(matches!(error, ConnectError::Exited { .. }));
    let script = "os.kill(os.getpid(), signal.SIGKILL)";
    let error = connect(python(script)).await.unwrap_err().to_string();
    let expected = "the process was killed by SIGKILL before the connection was ready; it wrote nothing at all";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_banner_is_forgiven_and_quoted_where_nothing_follows() {
    let link = connect(python("print('Welcome!'); serve(lambda r: result(r, {}))")).await;
    call(&link.unwrap()).await.unwrap();
    let while_it_starts = Duration::from_secs(4);
    let silent = python("print('Welcome!', flush=True); time.sleep(1000)");
    let error = connect_within(silent, while_it_starts).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "no answer to initialize within 4s; its first line was not JSON: \"Welcome!\""
    );
}

#[tokio::test]
async fn a_connect_that_is_dropped_leaves_no_process() {
    let ring = Arc::new(StderrRing::default());
    let script = "print(os.getpid(), file=sys.stderr, flush=True); time.sleep(1000)";
    let mut connecting = Stdio::new(python(script)).connect(context(&ring, MINUTE));
    tokio::select! {
        _ = &mut connecting => panic!("connected"),
        () = until("the process runs", || !ring.last(1).is_empty()) => {}
    }
    let pid = ring.last(1)[0].parse().unwrap();
    assert!(exists(pid));
    drop(connecting);
    gone(pid).await;
}

#[tokio::test]
async fn a_killed_server_fails_its_calls_at_once() {
    let link = connect(python("serve(lambda r: print('called', file=sys.stderr, flush=True))"));
    let link = link.await.unwrap();
    let calls = futures::future::join_all((0..8).map(|_| call(&link)));
    let kill = async {
        until("all are written", || link.in_flight() == 8).await;
        let pid = Pid::from_raw(i32::try_from(pid(&link)).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    };
    let (answers, ()) = soon(futures::future::join(calls, kill)).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(matches!(error, RequestError::Lost { .. } | RequestError::NotSent(_)));
    }
    assert_eq!(link.ended().await, LinkEnd::Exited(ProcessExit::Signal("SIGKILL".to_owned())));
    assert!(matches!(call(&link).await, Err(RequestError::NotSent(LinkEnd::Exited(_)))));
}

#[tokio::test]
async fn the_exit_code_is_the_cause_of_the_end() {
    let link = connect(python("serve(lambda r: sys.exit(7))")).await.unwrap();
    assert!(matches!(soon(call(&link)).await, Err(RequestError::Lost { .. })));
    assert_eq!(link.ended().await.to_string(), "the process exited with code 7");
}

#[tokio::test]
async fn a_server_that_closes_its_output_but_lives_fails_its_calls_and_is_ended() {
    let script = "serve(lambda r: (sys.stdout.close(), os.close(1), time.sleep(1000)))";
    let link = connect(python(script)).await.unwrap();
    let pid = pid(&link);
    assert!(matches!(soon(call(&link)).await, Err(RequestError::Lost { .. })));
    assert_eq!(soon(link.ended()).await, LinkEnd::Closed);
    gone(pid).await;
}

#[tokio::test]
async fn a_server_that_ignores_everything_is_killed() {
    let script = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                  print('deaf', file=sys.stderr, flush=True)\n\
                  serve(lambda r: result(r, {}))\n\
                  while True: time.sleep(1000)";
    let link = connect(python(script)).await.unwrap();
    let pid = pid(&link);
    let start = Instant::now();
    soon(link.close(Duration::from_millis(50))).await;
    assert!(start.elapsed() >= Duration::from_secs(3), "it had its time");
    gone(pid).await;
    assert_eq!(link.ended().await, LinkEnd::Stopped);
}

/// A server with a helper that holds its pipes and would outlive it.
fn with_helper() -> StdioConfig {
    python(
        "helper = subprocess.Popen(['sleep', '1000'])\n\
         serve(lambda r: result(r, {'helper': helper.pid}))",
    )
}

async fn helper(link: &Link) -> u32 {
    u32::try_from(json(link).await["helper"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn helpers_end_with_their_server_however_it_ends() {
    let link = connect(with_helper()).await.unwrap();
    let helper_pid = helper(&link).await;
    assert!(exists(helper_pid));
    let leader = Pid::from_raw(i32::try_from(pid(&link)).unwrap()).unwrap();
    kill_process(leader, Signal::KILL).unwrap();
    // The helper holds the output open, and yet the link ends.
    assert!(matches!(soon(link.ended()).await, LinkEnd::Exited(_)));
    gone_or_zombie(helper_pid).await;

    let link = connect(with_helper()).await.unwrap();
    let helper_pid = helper(&link).await;
    let leader = pid(&link);
    drop(link);
    gone(leader).await;
    gone_or_zombie(helper_pid).await;

    let link = connect(with_helper()).await.unwrap();
    let helper_pid = helper(&link).await;
    soon(link.close(Duration::from_secs(2))).await;
    gone_or_zombie(helper_pid).await;
}

/// An orphan is reaped by the system's first process, which in a container may never happen.
async fn gone_or_zombie(pid: u32) {
    until("the helper is dead", || {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |stat| stat.contains(") Z "))
    })
    .await;
}

#[tokio::test]
async fn a_child_sees_only_what_it_should() {
    // Set by cargo for every test.
    let foreign = "CARGO_MANIFEST_DIR";
    assert!(std::env::var(foreign).is_ok());
    let mut config = python("serve(lambda r: result(r, dict(os.environ)))");
    config.env.insert("OWN".to_owned(), Secret::from("mine"));
    let link = connect(config.clone()).await.unwrap();
    let environment = json(&link).await;
    assert_eq!(environment["OWN"], "mine");
    let path = std::env::var("PATH").unwrap();
    // A version manager may have put more in front of it.
    assert!(environment["PATH"].as_str().unwrap().ends_with(&path));
    assert!(environment.get(foreign).is_none());

    config.inherit_env = InheritEnv::Names(vec![foreign.to_owned()]);
    let link = connect(config).await.unwrap();
    assert!(json(&link).await.get(foreign).is_some());
}

#[tokio::test]
async fn a_childs_secrets_are_masked_in_what_it_writes() {
    let mut config = python(
        "print('key is', os.environ['KEY'])\n\
         print('bad key', os.environ['KEY'], file=sys.stderr)\n\
         sys.exit(1)",
    );
    config.env.insert("KEY".to_owned(), Secret::from("hunter2"));
    let ring = Arc::new(StderrRing::default());
    let connecting = Stdio::new(config).connect(context(&ring, MINUTE));
    let error = connecting.await.unwrap_err().to_string();
    assert!(error.contains("key is ***") && error.contains("bad key ***"), "{error}");
    assert_eq!(ring.last(1), ["bad key ***"]);
}

#[tokio::test]
async fn a_large_result_and_many_calls_pass_through_real_pipes() {
    let script = "n = 20 << 20\nserve(lambda r: result(r, {'text': 'x' * n}))";
    let link = connect(python(script)).await.unwrap();
    assert!(soon(call(&link)).await.unwrap().get().len() > 20 << 20);
    let link = connect(python("serve(lambda r: result(r, {'id': r['id']}))")).await.unwrap();
    let answers = soon(futures::future::join_all((0..1000).map(|_| call(&link)))).await;
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_server_leads_a_group_of_its_own() {
    let link = connect(python("serve(lambda r: result(r, {}))")).await.unwrap();
    let leader = Pid::from_raw(i32::try_from(pid(&link)).unwrap()).unwrap();
    assert_eq!(rustix::process::getpgid(Some(leader)).unwrap(), leader);
}
