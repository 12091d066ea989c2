//! Carries a plan out, in this process and in virtual time, and takes down what callers saw.
//! It judges nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt as _;
use serde_json::json;
use switchboard::{
    error::{Classify as _, Kind},
    id::{AgentId, Incarnation, ServerName},
    runtime::{
        AgentConfig, Answer, CallError, CallRequest, Delivery, GroupConfig, LimitsConfig,
        MonitoringConfig, ProgressSink, Runtime, RuntimeConfig, RuntimeHandle, Scope, ServerConfig,
        TimeoutsConfig,
    },
    upstream::{TransportConfig, stdio::StdioConfig},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, sleep_until, timeout},
};

use super::{
    plan::{CallPlan, Mishap, Plan, ServerPlan},
    record::Record,
    server::{Connecting, Faulty},
};

pub const CALL: Duration = Duration::from_secs(5);
pub const CALL_MAX: Duration = Duration::from_secs(20);
/// The longest pause before a new connection.
pub const PAUSE: Duration = Duration::from_secs(10);
/// Longer than anything may last once no more calls come.
const END: Duration = Duration::from_mins(10);

/// What became of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server's answer, raw.
    Answered { server: String, incarnation: Incarnation, result: String },
    /// The server's own error.
    ServerError,
    /// An error of ours; how far it came, where that is known.
    Failed { kind: Kind, phase: Option<Delivery>, incarnation: Incarnation, text: String },
    /// Its caller left.
    Left,
}

impl Outcome {
    /// What a call that was waited for came to.
    pub fn of(outcome: Result<Answer, CallError>) -> Self {
        match outcome {
            Ok(answer) => Self::Answered {
                server: answer.server.to_string(),
                incarnation: answer.incarnation,
                result: answer.result.get().to_owned(),
            },
            Err(CallError::Server { .. }) => Self::ServerError,
            Err(CallError::Failed(failure)) => Self::Failed {
                kind: failure.kind,
                phase: Some(failure.phase),
                incarnation: failure.incarnation,
                text: failure.text,
            },
            Err(error) => Self::Failed {
                kind: error.kind(),
                phase: None,
                incarnation: Incarnation::default(),
                text: error.to_string(),
            },
        }
    }
}

/// One call, from its start to its end.
#[derive(Clone, Debug)]
pub struct Done {
    pub from: Duration,
    pub to: Duration,
    pub outcome: Outcome,
}

impl Done {
    pub fn took(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// What one owner saw at one moment.
#[derive(Debug)]
pub struct Sight {
    pub at: Duration,
    pub owner: Option<usize>,
    pub version: u64,
    /// Exposed names in their order.
    pub tools: Vec<String>,
}

/// How full one connection was at one moment.
#[derive(Debug)]
pub struct Load {
    pub at: Duration,
    pub server: String,
    pub in_flight: usize,
    pub waiting: usize,
    /// Whether its state has a cause where one is owed.
    pub explained: bool,
}

/// Everything that is known of a run when it is over.
pub struct Run {
    pub record: Record,
    /// By the calls' numbers.
    pub done: BTreeMap<usize, Done>,
    pub sights: Vec<Sight>,
    pub loads: Vec<Load>,
    /// When a server was away because a person had taken it away.
    pub away: Vec<(usize, Duration, Duration)>,
    /// Calls that were never answered, calls under way and lives left at the end.
    pub left: (usize, usize, usize),
    pub ended: Arc<str>,
    /// When everything was done and the runtime was told to stop.
    pub closing: Duration,
}

/// What is shared by the parts of a run.
struct Stage {
    plan: Plan,
    record: Record,
    runtime: RuntimeHandle,
    servers: Vec<Faulty>,
    done: Mutex<BTreeMap<usize, Done>>,
    sights: Mutex<Vec<Sight>>,
    loads: Mutex<Vec<Load>>,
    away: Mutex<Vec<(usize, Duration, Duration)>>,
}

/// Runs a plan. `seed` is also the kernel's source of jitter.
pub async fn run(seed: u64, plan: Plan) -> Run {
    fastrand::seed(seed);
    let record = Record::new();
    let runtime = Runtime::spawn(config(&plan)).await.unwrap();
    let acts: Arc<[_]> = plan.calls.iter().map(|call| call.act).collect();
    let servers = plan.servers.iter().enumerate().map(|(place, server)| {
        Faulty::new(place, server.clone(), Arc::clone(&acts), record.clone())
    });
    let stage = Arc::new(Stage {
        servers: servers.collect(),
        plan,
        record,
        runtime,
        done: Mutex::default(),
        sights: Mutex::default(),
        loads: Mutex::default(),
        away: Mutex::default(),
    });
    let (mut watching, mut sampling) = (JoinSet::new(), JoinSet::new());
    watching.spawn(events(Arc::clone(&stage)));
    sampling.spawn(samples(Arc::clone(&stage)));
    let mut mishaps = JoinSet::new();
    for number in 0..stage.plan.faults.len() {
        let stage = Arc::clone(&stage);
        mishaps.spawn(async move { stage.mishap(number).await });
    }
    for place in 0..stage.servers.len() {
        stage.add(place).await;
    }
    let mut calls = JoinSet::new();
    for number in 0..stage.plan.calls.len() {
        let stage = Arc::clone(&stage);
        calls.spawn(async move { stage.call(number).await });
    }
    let all = async {
        while calls.join_next().await.is_some() {}
        while mishaps.join_next().await.is_some() {}
    };
    timeout(END, all).await.ok();
    drop(sampling);
    let (unanswered, closing) = (calls.len(), stage.record.now());
    let under_way = stage.runtime.drain(END).await;
    // What a life left behind is found by then.
    sleep(Duration::from_mins(2)).await;
    assert_eq!(stage.runtime.status().outlived, 0, "something outlived its connection");
    stage.runtime.stop().await;
    let ended = stage.runtime.closed().await;
    // A server that is mute sees the end of its stream when it reads again.
    sleep(END).await;
    let lives =
        stage.record.with(|state| state.lives.iter().filter(|life| life.ended.is_none()).count());
    drop(watching);
    Run {
        record: stage.record.clone(),
        done: stage.done.lock().unwrap().clone(),
        sights: std::mem::take(&mut *stage.sights.lock().unwrap()),
        loads: std::mem::take(&mut *stage.loads.lock().unwrap()),
        away: std::mem::take(&mut *stage.away.lock().unwrap()),
        left: (unanswered, under_way, lives),
        ended,
        closing,
    }
}

pub fn server_name(plan: &ServerPlan) -> ServerName {
    ServerName::new(plan.name.clone()).unwrap()
}

pub fn agent_name(agent: usize) -> String {
    format!("agent{agent}")
}

fn config(plan: &Plan) -> RuntimeConfig {
    // A grant needs a definition; what serves is added to the running tree.
    let placeholder = || ServerConfig {
        enabled: false,
        ..ServerConfig::new(TransportConfig::Stdio(StdioConfig::new("-")))
    };
    let names =
        |places: &[usize]| places.iter().map(|at| server_name(&plan.servers[*at])).collect();
    let of_store = plan.servers.iter().filter(|server| server.owner.is_none());
    RuntimeConfig {
        servers: of_store.map(|server| (server_name(server), placeholder())).collect(),
        groups: plan
            .group
            .iter()
            .map(|(strategy, members)| {
                let group = GroupConfig {
                    servers: names(members),
                    strategy: *strategy,
                    intensity: 5,
                    period: Duration::from_mins(1),
                };
                ("group".to_owned(), group)
            })
            .collect(),
        agents: plan
            .agents
            .iter()
            .enumerate()
            .map(|(agent, granted)| {
                let config = AgentConfig { servers: names(granted), ..AgentConfig::default() };
                (AgentId::new(agent_name(agent)).unwrap(), config)
            })
            .collect(),
        monitoring: MonitoringConfig {
            health_check_seconds: 2,
            reconnection_seconds: u32::try_from(PAUSE.as_secs()).unwrap(),
            ..MonitoringConfig::default()
        },
        timeouts: TimeoutsConfig {
            connect: Duration::from_secs(2),
            call: CALL,
            call_max: CALL_MAX,
            health_check: Duration::from_secs(1),
            hang: Duration::from_secs(6),
            ..TimeoutsConfig::default()
        },
        limits: LimitsConfig {
            connects: plan.limits.connects,
            connects_per_agent: plan.limits.connects_per_agent,
            ..LimitsConfig::default()
        },
        ..RuntimeConfig::default()
    }
}

async fn events(stage: Arc<Stage>) {
    let mut events = std::pin::pin!(stage.runtime.events());
    while let Some(event) = events.next().await {
        stage.record.event(event);
    }
}

async fn samples(stage: Arc<Stage>) {
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        stage.sample();
    }
}

impl Stage {
    fn scope(&self, owner: Option<usize>) -> Scope {
        owner.map_or_else(
            || self.runtime.store(),
            |agent| self.runtime.agent(&agent_name(agent)).unwrap(),
        )
    }

    fn sample(&self) {
        let at = self.record.now();
        for owner in std::iter::once(None).chain((0..self.plan.agents.len()).map(Some)) {
            let scope = self.scope(owner);
            let tools = scope.tools().unwrap();
            let tools = tools.tools().iter().map(|tool| tool.exposed.to_string()).collect();
            let version = scope.changes().unwrap().borrow().tools;
            self.sights.lock().unwrap().push(Sight { at, owner, version, tools });
        }
        let loads = self.runtime.status().servers.into_iter().map(|server| Load {
            at,
            server: server.server.to_string(),
            in_flight: server.in_flight,
            waiting: server.waiting,
            explained: server.cause.is_some()
                || !matches!(server.state.as_str(), "backoff" | "open" | "failed" | "stopped"),
        });
        self.loads.lock().unwrap().extend(loads);
    }

    async fn add(&self, place: usize) {
        let plan = &self.plan.servers[place];
        let mut config = ServerConfig::new(TransportConfig::InProcess);
        config.isolation = plan.isolation;
        config.max_in_flight = std::num::NonZeroU32::new(plan.max_in_flight);
        config.max_queue = plan.max_queue;
        let connector = Arc::new(self.servers[place].clone());
        let scope = self.scope(plan.owner);
        // Somebody else may have added it again before.
        scope.add_connector(server_name(plan), config, connector).await.ok();
    }

    async fn call(&self, number: usize) {
        let plan = &self.plan.calls[number];
        sleep_until(self.record.at(plan.at)).await;
        let from = self.record.now();
        let call = self.scope(plan.agent);
        let (request, progress) = request(number, plan, &self.plan.servers[plan.server].name);
        let mut readers = JoinSet::new();
        if let Some(mut progress) = progress {
            readers.spawn(async move { while progress.recv().await.is_some() {} });
        }
        let outcome = match plan.cancelled_after {
            Some(after) => timeout(after, call.call(request)).await.ok(),
            None => Some(call.call(request).await),
        };
        let outcome = outcome.map_or(Outcome::Left, Outcome::of);
        let to = self.record.now();
        self.done.lock().unwrap().insert(number, Done { from, to, outcome });
    }

    async fn mishap(&self, number: usize) {
        let fault = &self.plan.faults[number];
        let (server, plan) = (&self.servers[fault.server], &self.plan.servers[fault.server]);
        sleep_until(self.record.at(fault.at)).await;
        let many = |next: Connecting, times: u32| {
            std::iter::repeat_n(next, usize::try_from(times).unwrap())
        };
        match fault.what {
            Mishap::Die => server.die(),
            Mishap::Mute(time) => server.mute(time),
            Mishap::Refuse(times) => server.connecting(many(Connecting::Fails, times)),
            Mishap::Hang(times) => server.connecting(many(Connecting::Hangs, times)),
            Mishap::Slow(time) => server.connecting([Connecting::Takes(time)]),
            Mishap::Panic(times) => server.connecting(many(Connecting::Panics, times)),
            Mishap::Change => server.change(1),
            Mishap::Storm => server.change(100),
            Mishap::Restart => {
                // It may be away at this moment.
                self.scope(plan.owner).restart(&server_name(plan)).await.ok();
            }
            Mishap::Replace(after) => self.replace(fault.server, after).await,
        }
        if matches!(
            fault.what,
            Mishap::Refuse(_) | Mishap::Hang(_) | Mishap::Slow(_) | Mishap::Panic(_)
        ) {
            server.die();
        }
    }

    async fn replace(&self, place: usize, after: Duration) {
        let plan = &self.plan.servers[place];
        let from = self.record.now();
        if self.scope(plan.owner).remove(&server_name(plan)).await.is_err() {
            return;
        }
        sleep(after).await;
        self.add(place).await;
        self.away.lock().unwrap().push((place, from, self.record.now()));
    }
}

fn request(
    number: usize,
    plan: &CallPlan,
    server: &str,
) -> (CallRequest, Option<mpsc::Receiver<switchboard::runtime::Progress>>) {
    let arguments = json!({ "call": number, "padding": "x".repeat(plan.padding) });
    let mut request = CallRequest::new(format!("{server}_act"), &arguments);
    request.timeout = plan.timeout;
    let (sink, progress) = ProgressSink::new(4);
    request.progress = plan.wants_progress.then_some(sink);
    (request, plan.wants_progress.then_some(progress))
}
