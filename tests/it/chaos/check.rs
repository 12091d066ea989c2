//! The promises, over what a run saw.

use std::time::Duration;

use super::{
    callers::{Answer, Done},
    fleet::Entry,
    plan::{CALM, Call, Fault, Plan, REDEFINED, find},
    run::{CALL, Seen},
};

/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_secs(3);
/// Executions of a call that may be sent again, at most.
const EXECUTIONS: usize = 3;
/// Failures in a minute after which a circuit opens, and the shortest pause then: two thirds of
/// the longest pause that the fleet's configuration allows.
const INTENSITY: usize = 5;
const OPEN: Duration = Duration::from_secs(2);
/// A connection that was ready for so long has no past.
const STABLE: Duration = Duration::from_secs(30);
/// Children of a Switchboard that was killed which may be there a second later: those that were
/// stopped or silent at the time. The others end because their input does.
const ORPHANS: usize = 12;
/// What a process may hold more at its end than when it was young.
const GROWTH_KIB: u64 = 32 * 1024;

/// Everything that is not as it should be.
pub fn violations(plan: &Plan, seen: &Seen) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    if seen.done.len() != plan.calls.len() {
        found.push(format!("{} of {} calls came to an end", seen.done.len(), plan.calls.len()));
    }
    for done in &seen.done {
        let call = &plan.calls[done.call];
        let times = seen.ran.get(&done.call).copied().unwrap_or(0);
        if let Some(why) = broken(call, done, times) {
            let number = done.call;
            found.push(format!("call {number}: {why}; executed {times} times; {call:?}, {done:?}"));
        }
    }
    found.extend(starts(plan, seen));
    if let Err(servers) = &seen.settled {
        found.push(format!("not ready again: {servers}"));
    }
    for kill in seen.kills.iter().filter(|kill| kill.orphans > ORPHANS) {
        found.push(format!("{} orphans a second after a kill", kill.orphans));
    }
    let [_, young, old] = seen.holds;
    if old.resident_kib > young.resident_kib + GROWTH_KIB {
        found.push(format!("memory grew from {} to {} KiB", young.resident_kib, old.resident_kib));
    }
    found
}

/// What is wrong with a call, if anything.
fn broken(call: &Call, done: &Done, times: usize) -> Option<String> {
    let most = if call.safe { EXECUTIONS } else { 1 };
    if times > most {
        return Some("carried out too often".to_owned());
    }
    if done.took > CALL + SLACK {
        return Some("answered after its deadline".to_owned());
    }
    let number = done.call;
    let why = match &done.answer {
        Answer::Result(text) if *text != format!("did {number}") => "another call's answer",
        Answer::Result(_) if times == 0 => "answered and not carried out",
        Answer::Failure { sent: false, .. } if times > 0 => "carried out and called not sent",
        Answer::Failure { kind, .. } if kind == "timeout" && done.took + SLACK < CALL => {
            "out of time before its time"
        }
        Answer::Broken(why) if !done.disturbed => {
            return Some(format!("its connection broke: {why}"));
        }
        Answer::Error(why) if !done.disturbed => {
            return Some(format!("an error of no kind: {why}"));
        }
        Answer::None => "no answer",
        Answer::Failure { .. } | Answer::Error(_) if call.agent == CALM && !done.disturbed => {
            "an untouched agent's call failed"
        }
        Answer::Result(_) | Answer::Failure { .. } | Answer::Broken(_) | Answer::Error(_) => {
            return None;
        }
    };
    Some(why.to_owned())
}

/// Processes that were started sooner than an open circuit allows.
fn starts(plan: &Plan, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    let (clock, instant) = seen.began;
    let kills = seen.kills.iter().map(|kill| clock + (kill.at - instant));
    let redefined = |server: &str| {
        let blows = plan.blows.iter().filter(|blow| blow.fault == Fault::Redefined);
        let of_this = blows.filter(move |_| server == REDEFINED);
        of_this.map(|blow| clock + blow.at).collect::<Vec<_>>()
    };
    for (server, journal) in &seen.journals {
        let mut fresh: Vec<Duration> = kills.clone().chain(redefined(server)).collect();
        fresh.sort();
        let starts: Vec<Duration> = journal
            .iter()
            .filter_map(|(at, entry)| matches!(entry, Entry::Started { .. }).then_some(*at))
            .collect();
        let connections = find(server).connections();
        // The first start, and those after as many failures as each of its connections may have.
        let free = connections * (INTENSITY + 1);
        for window in starts.windows(free + 1) {
            let begins = window[0];
            let last = window[free];
            let reset = fresh.iter().any(|at| (begins..=last).contains(at));
            let forgotten = window.windows(2).any(|pair| pair[1].abs_diff(pair[0]) >= STABLE);
            let pause = last.abs_diff(window[free - connections]);
            if !reset && !forgotten && pause < OPEN {
                found.push(format!("{server}: start {window:?} {pause:?} after the one before"));
            }
        }
    }
    found
}

/// From the death of a process to the next that was listed, where Switchboard was there all the
/// time and it is plain who replaced whom.
pub fn recoveries(seen: &Seen) -> Vec<Duration> {
    let (clock, instant) = seen.began;
    let mut found = Vec::new();
    for death in &seen.deaths {
        if find(death.server).connections() > 1 {
            continue;
        }
        let journal = &seen.journals[death.server];
        let started = journal
            .iter()
            .find(|(at, entry)| *at > death.at && matches!(entry, Entry::Started { .. }));
        let Some((started, _)) = started else { continue };
        let listed =
            journal.iter().find(|(at, entry)| at >= started && matches!(entry, Entry::Listed));
        let Some((listed, _)) = listed else { continue };
        let crossed = |kill: Duration| (death.at..=*listed).contains(&kill);
        if !seen.kills.iter().any(|kill| crossed(clock + (kill.at - instant))) {
            found.push(listed.abs_diff(death.at));
        }
    }
    found
}
