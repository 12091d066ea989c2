//! One run: quiet, chaos, settling, end. What it saw is judged by `check`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    board::{Board, Holds, Kill},
    callers::{self, Done, Found},
    check,
    fleet::{Death, Entry, Fleet, clock},
    plan::{CALM, Call, Kind, Plan, SERVERS, STEADY},
};

/// The deadline of every call.
pub const CALL: Duration = Duration::from_secs(8);
/// Within this everything is ready again after the last fault, and lists are whole after a new
/// start of Switchboard: two pauses of an open circuit, a start, a busy machine.
pub const BOUND: Duration = Duration::from_secs(20);
/// Descriptors that Switchboard may have more than before, for what it is just doing.
const DESCRIPTORS: usize = 4;

/// Everything that was seen.
pub struct Seen {
    pub done: Vec<Done>,
    /// How often each call was carried out.
    pub ran: BTreeMap<usize, usize>,
    pub journals: BTreeMap<&'static str, Vec<(Duration, Entry)>>,
    pub deaths: Vec<Death>,
    pub kills: Vec<Kill>,
    /// When the calls began, by the journals' clock and by ours.
    pub began: (Duration, Instant),
    /// Until everything was ready again.
    pub settled: Result<Duration, String>,
    /// Of the first process before the faults, of the last in the middle and at the end.
    pub holds: [Holds; 3],
    /// What the last Switchboard said.
    pub log: String,
    /// What is not as it should be.
    pub found: Vec<String>,
}

async fn strike_all(plan: &Plan, start: Instant, fleet: &Arc<Fleet>, board: &Arc<Board>) {
    let mut striking = JoinSet::new();
    for blow in plan.blows.clone() {
        let (fleet, board) = (Arc::clone(fleet), Arc::clone(board));
        striking.spawn(async move {
            sleep_until(start + blow.at).await;
            fleet.strike(&blow, &board).await;
        });
    }
    striking.join_all().await;
}

fn call_all(plan: &Plan, start: Instant, board: &Arc<Board>) -> JoinSet<Done> {
    let mut calling = JoinSet::new();
    for (number, call) in plan.calls.iter().copied().enumerate() {
        let board = Arc::clone(board);
        calling.spawn(async move {
            sleep_until(start + call.at).await;
            callers::call(&board, number, &call).await
        });
    }
    calling
}

/// One call of each server by each agent, after everything.
async fn call_each(plan: &Plan, board: &Board) -> Vec<String> {
    let mut found = Vec::new();
    let pairs =
        SERVERS.into_iter().flat_map(|server| server.agents.iter().map(move |at| (server, *at)));
    for (place, (server, agent)) in pairs.enumerate() {
        let number = plan.calls.len() + place;
        let call = Call { at: plan.end, agent, server, safe: false, work: Duration::ZERO };
        let done = callers::call(board, number, &call).await;
        if !matches!(done.answer, callers::Answer::Result(_)) {
            found.push(format!("{} of {agent} at the end: {:?}", server.name, done.answer));
        }
    }
    found
}

async fn watchers(board: &Arc<Board>, found: &Found) -> JoinSet<()> {
    let mut watching = JoinSet::new();
    for agent in [CALM, STEADY] {
        let (board, found) = (Arc::clone(board), Arc::clone(found));
        watching.spawn(callers::watch_list(board, agent, BOUND, found));
    }
    let whole = callers::tools(board, CALM).await.unwrap();
    let (board, found) = (Arc::clone(board), Arc::clone(found));
    watching.spawn(callers::watch_changes(board, whole, found));
    watching
}

/// Carries a plan out.
pub async fn carry_out(plan: &Plan) -> Seen {
    let mark = format!("chaos-{}-{}", std::process::id(), plan.seed);
    let fleet = Arc::new(Fleet::new(&mark).await);
    let board = Arc::new(Board::serve(fleet.config(CALL), &mark).await);
    board.all_ready(BOUND).await.expect("nothing has happened yet");
    let found = Arc::new(Mutex::new(call_each(plan, &board).await));
    let before = board.holds().await;

    let mut watching = watchers(&board, &found).await;
    let (start, began) = (Instant::now(), clock());
    let mut calling = call_all(plan, start, &board);
    let striking = strike_all(plan, start, &fleet, &board);
    let growing = async {
        sleep_until(start + plan.middle).await;
        board.holds().await
    };
    let ((), middle, ()) = tokio::join!(striking, growing, sleep_until(start + plan.end));
    let settled = board.all_ready(BOUND).await;
    let mut done = Vec::new();
    while let Some(one) = calling.join_next().await {
        match one {
            Ok(one) => done.push(one),
            Err(why) => found.lock().unwrap().push(format!("a caller: {why}")),
        }
    }
    let last = call_each(plan, &board).await;
    found.lock().unwrap().extend(last);
    while let Some(watcher) = watching.try_join_next() {
        if let Err(why) = watcher {
            found.lock().unwrap().push(format!("a watcher: {why}"));
        }
    }
    watching.shutdown().await;

    if !board.metrics().await.contains("switchboard_") {
        found.lock().unwrap().push("no metrics at the end".to_owned());
    }
    board.lets_go(before.descriptors + DESCRIPTORS).await;
    let after = board.holds().await;
    let kills = board.kills();
    let log = Arc::into_inner(board).expect("nobody calls any more").stop().await;
    let pipes = SERVERS.into_iter().filter(|server| server.kind == Kind::Pipe);
    let mut seen = Seen {
        done,
        ran: fleet.ran(),
        journals: pipes.map(|server| (server.name, fleet.journal(server.name))).collect(),
        deaths: fleet.deaths(),
        kills,
        began: (began, start),
        settled,
        holds: [before, middle, after],
        log,
        found: std::mem::take(&mut *found.lock().unwrap()),
    };
    seen.found.extend(check::violations(plan, &seen));
    seen
}
