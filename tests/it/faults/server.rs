//! A server that does what a plan says, down to the bytes: it answers late, twice, never or
//! nonsense, dies at every point of a call, stops reading, and refuses or delays connections.
//!
//! Every call says in its arguments what is to be done about it. One task for each life, with an
//! agenda instead of tasks of its own, so that a run replays exactly.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use switchboard::upstream::{Connect, ConnectContext, ConnectError, Link, stream::ByteStream};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex, split},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    plan::{Act, ServerPlan},
    record::Record,
};
use crate::support::outgoing::Leg;

/// Between two announcements of a server that announces many.
const SPREAD: Duration = Duration::from_millis(10);

/// What the next attempt to connect does; without one it connects.
#[derive(Clone, Copy, Debug)]
pub enum Connecting {
    Fails,
    Hangs,
    Takes(Duration),
    Panics,
}

/// What happens to a life of a server.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Die,
    Mute(Duration),
    Changed(u32),
}

/// A server of a plan, and the way to connect to it. Clones share it.
#[derive(Clone)]
pub struct Faulty(Arc<Shared>);

struct Shared {
    place: usize,
    plan: ServerPlan,
    /// What every call is to have done about it, by its number.
    acts: Arc<[Act]>,
    record: Record,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connecting: VecDeque<Connecting>,
    /// Offers its extra tool.
    extra: bool,
    fates: Vec<mpsc::UnboundedSender<Fate>>,
    lives: JoinSet<()>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.plan.name)
    }
}

impl Faulty {
    pub fn new(place: usize, plan: ServerPlan, acts: Arc<[Act]>, record: Record) -> Self {
        Self(Arc::new(Shared { place, plan, acts, record, state: Mutex::default() }))
    }

    /// What the next attempts do.
    pub fn connecting(&self, next: impl IntoIterator<Item = Connecting>) {
        self.0.state.lock().unwrap().connecting.extend(next);
    }

    pub fn die(&self) {
        self.befall(Fate::Die);
    }

    pub fn mute(&self, time: Duration) {
        self.befall(Fate::Mute(time));
    }

    /// Has its tools change, and says so this often; an even number changes nothing.
    pub fn change(&self, times: u32) {
        self.0.state.lock().unwrap().extra ^= times % 2 == 1;
        self.befall(Fate::Changed(times));
    }

    fn befall(&self, fate: Fate) {
        self.0.state.lock().unwrap().fates.retain(|life| life.send(fate).is_ok());
    }

    /// One life: the server's side of a new stream.
    fn open(&self, incarnation: u64) -> DuplexStream {
        let (ours, theirs) = duplex(self.0.plan.pipe);
        let (fate, fates) = mpsc::unbounded_channel();
        let life = Life {
            shared: Arc::clone(&self.0),
            agenda: BTreeMap::new(),
            steps: 0,
            mute_until: Instant::now(),
            leg: Leg::default(),
        };
        let lived = self.0.record.life(self.0.place, incarnation);
        let mut state = self.0.state.lock().unwrap();
        state.fates.push(fate);
        state.lives.spawn(async move {
            // A broken stream ends it too.
            life.live(theirs, fates).await.ok();
            drop(lived);
        });
        ours
    }
}

impl Connect for Faulty {
    fn connect(&self, context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let server = self.clone();
        Box::pin(async move {
            let incarnation = context.incarnation.0;
            let _under_way = server.0.record.attempt(server.0.place, incarnation);
            sleep(server.0.plan.latency).await;
            let next = server.0.state.lock().unwrap().connecting.pop_front();
            match next {
                None => {}
                Some(Connecting::Fails) => {
                    return Err(ConnectError::Transport("as planned".into()));
                }
                Some(Connecting::Hangs) => sleep(context.timeout).await,
                Some(Connecting::Takes(time)) => sleep(time).await,
                Some(Connecting::Panics) => panic!("as planned"),
            }
            if matches!(next, Some(Connecting::Hangs)) {
                return Err(ConnectError::Transport("no answer, as planned".into()));
            }
            let opened = server.clone();
            ByteStream::new(move || std::future::ready(io::Result::Ok(opened.open(incarnation))))
                .connect(context)
                .await
        })
    }

    fn transport(&self) -> &'static str {
        "pipe"
    }
}

/// What a life does at its time.
enum Step {
    Say(Value),
    Raw(&'static str),
    Execute(usize),
    Die,
}

struct Life {
    shared: Arc<Shared>,
    /// What is to be done, by time and then in its order.
    agenda: BTreeMap<(Instant, u64), Step>,
    steps: u64,
    mute_until: Instant,
    /// Each message is of its revision.
    leg: Leg,
}

impl Life {
    async fn live(
        mut self,
        stream: DuplexStream,
        mut fates: mpsc::UnboundedReceiver<Fate>,
    ) -> io::Result<()> {
        let (source, mut sink) = split(stream);
        let mut lines = BufReader::new(source).lines();
        loop {
            let mute = Instant::now() < self.mute_until;
            let next = self.agenda.keys().next().map(|(at, _)| (*at).max(self.mute_until));
            let due = if mute { next.or(Some(self.mute_until)) } else { next };
            tokio::select! {
                biased;
                fate = fates.recv() => match fate {
                    None | Some(Fate::Die) => return Ok(()),
                    Some(Fate::Mute(time)) => self.mute_until = Instant::now() + time,
                    Some(Fate::Changed(times)) => for at in 0..times {
                        self.say(SPREAD * at, json!({
                            "jsonrpc": "2.0",
                            "method": "notifications/tools/list_changed",
                        }));
                    },
                },
                () = sleep_until(due.unwrap_or(self.mute_until)), if due.is_some() => {
                    let due = self.agenda.first_entry().filter(|step| step.key().0 <= Instant::now());
                    match due.map(std::collections::btree_map::OccupiedEntry::remove) {
                        None => {}
                        Some(Step::Say(message)) => {
                            sink.write_all(format!("{message}\n").as_bytes()).await?;
                        }
                        Some(Step::Raw(line)) => sink.write_all(line.as_bytes()).await?,
                        Some(Step::Execute(call)) => self.shared.record.executed(call),
                        Some(Step::Die) => return Ok(()),
                    }
                }
                line = lines.next_line(), if !mute => match line? {
                    // What was cut off by the end of the stream is no message.
                    Some(line) => if let Ok(message) = serde_json::from_str(&line) {
                        self.heard(&message);
                    },
                    None => return Ok(()),
                },
            }
        }
    }

    fn step(&mut self, after: Duration, step: Step) {
        self.steps += 1;
        self.agenda.insert((Instant::now() + after, self.steps), step);
    }

    fn say(&mut self, after: Duration, message: Value) {
        self.step(after, Step::Say(message));
    }

    fn heard(&mut self, message: &Value) {
        self.leg.hear(message);
        let (id, now) = (&message["id"], Duration::ZERO);
        let result = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
        let modern = self.shared.plan.modern;
        let capabilities = json!({ "tools": { "listChanged": true } });
        match message["method"].as_str().unwrap_or_default() {
            "server/discover" if modern => self.say(
                now,
                result(json!({
                    "resultType": "complete",
                    "supportedVersions": ["2026-07-28"],
                    "capabilities": capabilities,
                })),
            ),
            "initialize" if !modern => self.say(
                now,
                result(json!({
                    "protocolVersion": "2025-11-25",
                    "capabilities": capabilities,
                    "serverInfo": { "name": self.shared.plan.name, "version": "1" },
                })),
            ),
            "tools/list" => {
                let (at, place) = (self.shared.record.now(), self.shared.place);
                self.shared.record.with(|state| state.listings.push((place, at)));
                let extra = self.shared.state.lock().unwrap().extra;
                let names = ["work", "act", "extra"];
                let tools: Vec<Value> = names[..if extra { 3 } else { 2 }]
                    .iter()
                    .map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }))
                    .collect();
                self.say(now, result(json!({ "resultType": "complete", "tools": tools })));
            }
            "tools/call" => self.called(message),
            "ping" => self.say(now, result(json!({}))),
            // Its changes are told to who listens; the subscription stays open.
            "subscriptions/listen" if modern => self.say(
                now,
                json!({
                    "jsonrpc": "2.0",
                    "method": "notifications/subscriptions/acknowledged",
                    "params": {},
                }),
            ),
            _ if id.is_null() => {}
            _ => self.say(
                now,
                json!({
                    "jsonrpc": "2.0",
                    "id": id,
                    "error": { "code": -32601, "message": "method not found" },
                }),
            ),
        }
    }

    fn called(&mut self, message: &Value) {
        let id = &message["id"];
        let params = &message["params"];
        let number = params["arguments"]["call"].as_u64().and_then(|n| usize::try_from(n).ok());
        let Some((number, act)) = number.and_then(|n| Some((n, *self.shared.acts.get(n)?))) else {
            return;
        };
        let text = format!("{} did {number}", self.shared.plan.name);
        let answer = json!({
            "jsonrpc": "2.0",
            "id": id,
            "result": { "resultType": "complete", "content": [{ "type": "text", "text": text }] },
        });
        if act == Act::DieBefore {
            return self.step(Duration::ZERO, Step::Die);
        }
        self.step(Duration::ZERO, Step::Execute(number));
        match act {
            Act::Answer(after) => self.say(after, answer),
            Act::Progress(times, between) => {
                for at in 1..=times {
                    self.say(between * at, json!({
                        "jsonrpc": "2.0",
                        "method": "notifications/progress",
                        "params": { "progressToken": params["_meta"]["progressToken"], "progress": at },
                    }));
                }
                self.say(between * times, answer);
            }
            Act::Error(after) => self.say(
                after,
                json!({
                    "jsonrpc": "2.0",
                    "id": id,
                    "error": { "code": -32000, "message": text },
                }),
            ),
            Act::Garbage(after) => {
                self.step(after, Step::Raw("{\"jsonrpc\": \"2.0\", \"id\n"));
                self.say(after, answer);
            }
            Act::Malformed(after) => {
                self.say(after, json!({ "jsonrpc": "2.0", "id": id, "result": [text] }));
            }
            Act::Twice(after) => {
                self.say(after, answer.clone());
                self.say(after, answer);
            }
            Act::Stray(after) => {
                self.say(after, json!({ "jsonrpc": "2.0", "id": 1_000_000, "result": {} }));
                self.say(after, answer);
            }
            Act::Never | Act::DieBefore => {}
            Act::DieAfter(after) => self.step(after, Step::Die),
            Act::AnswerAndDie(after) => {
                self.say(after, answer);
                self.step(after, Step::Die);
            }
        }
    }
}
