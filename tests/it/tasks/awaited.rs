//! Tasks that are awaited for a caller: what ends the wait, and what their server hears of it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use switchboard::{
    access::{CallError, CallRequest, Gate, Principal, Subject},
    error::{Classify as _, Kind},
    id::{Owner, ServerName},
    restart::State,
    runtime::{Runtime, RuntimeConfig, RuntimeHandle, ServerConfig},
    upstream::{TransportConfig, stream::ByteStream},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex, split},
    join,
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{dialogue::talk::SERVER, support::wait::until};

/// The members of an answer to a request, its `result` or its `error`.
type Act = fn(method: &str, asked: usize) -> Value;

/// One server of 2026-07-28 in this process whose only tool becomes a task.
struct Worker {
    runtime: RuntimeHandle,
    gate: Arc<Gate>,
    heard: Arc<Mutex<Vec<String>>>,
    /// Whether a call may become a task yet.
    makes: watch::Sender<bool>,
    _serving: Arc<Mutex<JoinSet<()>>>,
}

impl Worker {
    /// With what it answers about its task; `asked` counts the requests of a method before.
    async fn start(act: Act) -> Self {
        Self::with(RuntimeConfig::default(), act).await
    }

    async fn with(config: RuntimeConfig, act: Act) -> Self {
        let (heard, serving) = (Arc::<Mutex<Vec<String>>>::default(), Arc::default());
        let (hears, serves): (_, Arc<Mutex<JoinSet<()>>>) =
            (Arc::clone(&heard), Arc::clone(&serving));
        let makes = watch::Sender::new(true);
        let made = makes.clone();
        let connector = ByteStream::new(move || {
            let (ours, theirs) = duplex(64 * 1024);
            serves.lock().spawn(serve(theirs, act, Arc::clone(&hears), made.subscribe()));
            std::future::ready(Ok(ours))
        });
        let runtime = Runtime::spawn(config).await.unwrap();
        let (store, server) = (runtime.store(), ServerName::new(SERVER).unwrap());
        let config = ServerConfig::new(TransportConfig::InProcess);
        store.add_connector(server.clone(), config, Arc::new(connector)).await.unwrap();
        store.wait_ready(&server, Duration::from_mins(1)).await.unwrap();
        let gate = Gate::new(runtime.clone());
        Self { runtime, gate, heard, makes, _serving: serving }
    }

    fn call(&self) -> impl Future<Output = Result<Value, CallError>> + Send + use<> {
        let gate = Arc::clone(&self.gate);
        let request = CallRequest::new(format!("{SERVER}_work"), &json!({}));
        async move {
            let answer = gate.call(&Principal::local(), &Owner::Store, request).await?;
            Ok(serde_json::from_str(answer.result.get()).unwrap())
        }
    }

    /// Drains for so long once its task was asked for so often.
    async fn drain(&self, asked: usize, within: Duration) -> usize {
        self.hears("tasks/get", asked).await;
        self.runtime.drain(within).await
    }

    /// Removes its server once its task was asked for.
    async fn remove(&self) {
        self.hears("tasks/get", 1).await;
        self.runtime.store().remove(&name()).await.unwrap();
    }

    fn heard(&self, method: &str) -> usize {
        self.heard.lock().iter().filter(|it| *it == method).count()
    }

    async fn hears(&self, method: &str, count: usize) {
        let what = format!("{count} times {method}");
        until(&what, async || (self.heard(method) >= count).then_some(())).await;
    }
}

fn name() -> ServerName {
    ServerName::new(SERVER).unwrap()
}

fn task(status: &str) -> Value {
    json!({"result": {
        "resultType": "complete", "taskId": "t", "status": status, "ttlMs": 600_000,
        "pollIntervalMs": 100,
        "createdAt": "2026-07-28T00:00:00Z", "lastUpdatedAt": "2026-07-28T00:00:00Z",
    }})
}

async fn serve(
    stream: DuplexStream,
    act: Act,
    heard: Arc<Mutex<Vec<String>>>,
    mut makes: watch::Receiver<bool>,
) {
    let (reader, mut writer) = split(stream);
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).unwrap();
        let method = message["method"].as_str().unwrap();
        let asked = heard.lock().iter().filter(|it| *it == method).count();
        heard.lock().push(method.to_owned());
        let mut answer = match method {
            "server/discover" => json!({"result":
                {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}}),
            "tools/list" => {
                json!({"result": {"tools": [{"name": "work", "inputSchema": {"type": "object"}}]}})
            }
            "tools/call" => {
                let declared = &message["params"]["_meta"];
                let caps = &declared["io.modelcontextprotocol/clientCapabilities"]["extensions"];
                if caps["io.modelcontextprotocol/tasks"].is_object() {
                    makes.wait_for(|makes| *makes).await.unwrap();
                    let mut made = task("working");
                    made["result"]["resultType"] = json!("task");
                    made
                } else {
                    let needed = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
                    let data = json!({"requiredCapabilities": needed});
                    json!({"error": {"code": -32021, "message": "tasks only", "data": data}})
                }
            }
            "tasks/cancel" => json!({"result": {"resultType": "complete"}}),
            method => act(method, asked),
        };
        if message["id"].is_null() || answer.is_null() {
            continue;
        }
        answer["jsonrpc"] = json!("2.0");
        answer["id"] = message["id"].clone();
        writer.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    }
}

fn works(_: &str, _: usize) -> Value {
    task("working")
}

#[tokio::test]
async fn an_awaited_task_is_a_call_under_way_that_a_drain_waits_for() {
    let worker = Worker::start(|_, asked| {
        let mut told = task(if asked < 5 { "working" } else { "completed" });
        told["result"]["result"] = json!({"content": []});
        told
    })
    .await;
    let (outcome, abandoned) = join!(worker.call(), worker.drain(1, Duration::from_mins(1)));
    assert_eq!((outcome.unwrap(), abandoned), (json!({"content": []}), 0));
    assert_eq!(worker.heard("tasks/cancel"), 0);
}

#[tokio::test]
async fn a_task_that_outlives_the_drain_is_given_up_at_its_server() {
    let worker = Worker::start(works).await;
    let (outcome, abandoned) = join!(worker.call(), worker.drain(1, Duration::from_millis(300)));
    assert_eq!((abandoned, worker.heard("tasks/cancel")), (1, 1));
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), Kind::OutcomeUnknown, "{error}");
    worker.runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_removed_is_asked_for_its_awaited_task_until_that_has_ended() {
    let worker = Worker::start(|_, asked| {
        let mut told = task(if asked < 5 { "working" } else { "completed" });
        told["result"]["result"] = json!({"content": []});
        told
    })
    .await;
    let (outcome, ()) = join!(worker.call(), worker.remove());
    assert_eq!(outcome.unwrap(), json!({"content": []}));
    assert_eq!((worker.heard("tasks/get"), worker.heard("tasks/cancel")), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_outlives_its_server_is_given_up_there() {
    let mut config = RuntimeConfig::default();
    config.timeouts.drain = Duration::from_secs(3);
    let worker = Worker::with(config, works).await;
    let start = Instant::now();
    let (outcome, ()) = join!(worker.call(), worker.remove());
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), Kind::OutcomeUnknown, "{error}");
    assert!(error.to_string().contains("before it was removed"), "{error}");
    assert_eq!(worker.heard("tasks/cancel"), 1, "before its link was closed");
    assert!(start.elapsed() >= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn the_last_life_of_a_server_is_asked_for_tasks_that_one_before_it_made() {
    let mut config = RuntimeConfig::default();
    config.timeouts.drain = Duration::from_secs(3);
    let worker = Worker::with(config, works).await;
    let removal = async {
        worker.hears("tasks/get", 1).await;
        worker.runtime.store().restart(&name()).await.unwrap();
        worker.hears("server/discover", 2).await;
        let asked = worker.heard("tasks/get");
        worker.hears("tasks/get", asked + 1).await;
        let start = Instant::now();
        worker.remove().await;
        start.elapsed()
    };
    let (outcome, took) = join!(worker.call(), removal);
    assert_eq!(outcome.unwrap_err().kind(), Kind::OutcomeUnknown);
    assert!(took >= Duration::from_secs(3), "{took:?}");
    assert_eq!(worker.heard("tasks/cancel"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_becomes_a_task_while_its_server_is_removed_has_its_result() {
    let worker = Worker::start(|_, asked| {
        let mut told = task(if asked < 2 { "working" } else { "completed" });
        told["result"]["result"] = json!({"content": []});
        told
    })
    .await;
    worker.makes.send_replace(false);
    let removal = async {
        worker.hears("tools/call", 2).await;
        let store = worker.runtime.store();
        let removed = async { store.remove(&name()).await.unwrap() };
        let answered = async {
            until("the server leaves", async || {
                let status = store.server(&name());
                status.is_none_or(|it| it.state == State::Draining).then_some(())
            })
            .await;
            worker.makes.send_replace(true);
        };
        join!(removed, answered);
    };
    let (outcome, ()) = join!(worker.call(), removal);
    assert_eq!(outcome.unwrap(), json!({"content": []}));
}

#[tokio::test]
async fn no_other_program_is_asked_for_a_task() {
    let worker = Worker::start(works).await;
    let ask = async |program: Option<&str>| {
        let (method, id) = ("tasks/get", "t".to_owned());
        let subject = Subject::Task { method, id, program: program.map(Into::into) };
        let params = switchboard::wire::raw(&json!({"taskId": "t"}));
        let request = CallRequest::about(subject, params.into());
        worker.runtime.store().call(CallRequest { origin: Some(name()), ..request }).await
    };
    assert!(ask(None).await.is_ok());
    let refused = ask(Some("another")).await.unwrap_err();
    assert!(refused.to_string().contains("another one now"), "{refused}");
    assert_eq!(worker.heard("tasks/get"), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_during_the_drain_gives_its_task_up() {
    let worker = Worker::start(works).await;
    let mut calls = JoinSet::new();
    calls.spawn(worker.call());
    worker.hears("tasks/get", 1).await;
    let leaving = async {
        worker.hears("tasks/get", 3).await;
        calls.abort_all();
    };
    let (abandoned, ()) = join!(worker.drain(1, Duration::from_mins(1)), leaving);
    assert_eq!(abandoned, 0);
    worker.hears("tasks/cancel", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_says_nothing_of_use_leaves_an_unknown_outcome() {
    let unusable: [Act; 7] = [
        |_, _| json!({"result": {"taskId": "t"}}),
        |_, _| task("odd"),
        |_, _| json!({"result": {"taskId": "another", "status": "working"}}),
        |_, _| json!({"result": "garbage"}),
        |_, _| task("completed"),
        |_, _| task("failed"),
        |_, _| {
            let mut told = task("input_required");
            told["result"]["inputRequests"] = json!({"q": {"method": "weather/tell"}});
            told
        },
    ];
    for (number, act) in unusable.into_iter().enumerate() {
        let worker = Worker::start(act).await;
        let error = worker.call().await.unwrap_err();
        assert_eq!(error.kind(), Kind::OutcomeUnknown, "{number}: {error}");
        assert_eq!(worker.heard("tools/call"), 2, "one that was refused, and one");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_moment_of_its_server_is_waited_out_and_a_bad_server_is_not() {
    let worker = Worker::start(|_, asked| {
        if asked < 3 {
            return json!({"error": {"code": -32603, "message": "a moment"}});
        }
        let mut told = task("completed");
        told["result"]["result"] = json!({"content": []});
        told
    })
    .await;
    assert_eq!(worker.call().await.unwrap(), json!({"content": []}));
    for code in [-32603, -32601, -32602] {
        let act: Act = match code {
            -32603 => |_, _| json!({"error": {"code": -32603, "message": "m"}}),
            -32601 => |_, _| json!({"error": {"code": -32601, "message": "m"}}),
            _ => |_, _| json!({"error": {"code": -32602, "message": "m"}}),
        };
        let worker = Worker::start(act).await;
        let call = timeout(Duration::from_mins(2), worker.call()).await;
        let error = call.expect("an end in time").unwrap_err();
        assert_eq!(error.kind(), Kind::OutcomeUnknown, "{code}: {error}");
    }
}
