//! The promises, over what a run saw.

use std::time::Duration;

use super::{
    callers::{Answer, Done},
    fault::Fault,
    fleet::Entry,
    plan::{CALM, Call, Plan, REDEFINED, find},
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
/// A file that was saved is read at most so much later.
const NOTICED: Duration = Duration::from_secs(3);
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

/// Servers that were started more often than their connections may: each at once, after as many
/// failures as its intensity allows, and then once for each pause of an open circuit; all that
/// anew for a new Switchboard and a new definition.
fn starts(plan: &Plan, seen: &Seen) -> Vec<String> {
    let (clock, instant) = seen.began;
    let kills: Vec<Duration> = seen.kills.iter().map(|kill| clock + (kill.at - instant)).collect();
    let redefined = plan.blows.iter().filter(|blow| blow.fault == Fault::Redefined);
    let redefined: Vec<Duration> = redefined.map(|blow| clock + blow.at).collect();
    let mut found = Vec::new();
    for (server, journal) in &seen.journals {
        let fresh: Vec<Duration> = match *server {
            REDEFINED => kills.iter().chain(&redefined).copied().collect(),
            _ => kills.clone(),
        };
        let starts = journal.iter().filter(|(_, entry)| matches!(entry, Entry::Started { .. }));
        let starts: Vec<Duration> = starts.map(|(at, _)| *at).collect();
        for (place, first) in starts.iter().enumerate() {
            for (more, last) in starts[place..].iter().enumerate() {
                let counts = |at: &&Duration| **at <= *last && **at + NOTICED >= *first;
                let beginnings = fresh.iter().filter(counts).count();
                let pauses = last.abs_diff(*first).as_millis() / OPEN.as_millis();
                let each = (1 + beginnings) * (1 + INTENSITY) + usize::try_from(pauses).unwrap();
                if more + 1 > each * find(server).connections() {
                    let within = last.abs_diff(*first);
                    found
                        .push(format!("{server} was started {} times within {within:?}", more + 1));
                }
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
