//! The promises under random faults, in virtual time: one number gives the workload, the faults
//! and the jitter, and the same number gives the same run again, to the millisecond.
//!
//! `SWITCHBOARD_SEED=7 cargo nextest run faults` replays one run;
//! `SWITCHBOARD_FAULT_RUNS=1000` runs so many seeds instead of the few that every build runs.

mod check;
mod found;
mod plan;
mod processes;
mod record;
mod run;
mod server;

use std::{collections::BTreeSet, env, time::Duration};

use plan::Plan;
use run::{Outcome, Run};

use crate::support;

/// Seeds of every build.
const RUNS: u64 = 32;

/// The seeds to run, as the environment says.
fn seeds() -> std::ops::Range<u64> {
    support::seeds::of_runs("SWITCHBOARD_FAULT_RUNS", RUNS)
}

/// One run on a thread and a runtime of its own, both as good as new.
fn carry_out(seed: u64) -> Run {
    let in_virtual_time = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run::run(seed, Plan::new(seed)))
    };
    std::thread::spawn(in_virtual_time).join().unwrap()
}

/// Everything that happened, in order of time. Within one instant the order means nothing.
fn trace(run: &Run) -> Vec<String> {
    let mut trace: Vec<(Duration, String)> = run.record.with(|state| {
        let executions = state.executions.iter().flat_map(|(call, times)| {
            times.iter().map(move |at| (*at, format!("executed {call}")))
        });
        let attempts = state.attempts.iter().map(|attempt| {
            (attempt.began, format!("attempt {} of server {}", attempt.incarnation, attempt.server))
        });
        let lives = state.lives.iter().map(|life| {
            let ended = life.ended.unwrap_or(Duration::MAX);
            (ended, format!("life {} of server {} ended", life.incarnation, life.server))
        });
        let listings = state.listings.iter().map(|(of, at)| (*at, format!("listed {of}")));
        let events = state.events.iter().map(|(at, event)| {
            let words = format!(
                "{} {} #{} {} -> {}: {}; {}",
                event.owner,
                event.server,
                event.incarnation.0,
                event.from,
                event.to,
                event.cause,
                event.decision
            );
            (*at, words)
        });
        executions.chain(attempts).chain(lives).chain(listings).chain(events).collect()
    });
    trace.extend(run.done.iter().map(|(call, done)| (done.to, format!("call {call}: {done:?}"))));
    trace.sort();
    trace.into_iter().map(|(at, what)| format!("{at:?} {what}")).collect()
}

#[test]
fn the_promises_hold_under_random_faults() {
    let mut seen = BTreeSet::new();
    for seed in seeds() {
        let run = carry_out(seed);
        let plan = Plan::new(seed);
        seen.extend(run.done.values().map(|done| match &done.outcome {
            Outcome::Failed { kind, phase, .. } => format!("{kind:?} {phase:?}"),
            Outcome::Answered { .. } => "answered".to_owned(),
            other @ (Outcome::ServerError | Outcome::Left) => format!("{other:?}"),
        }));
        let violations = check::violations(&plan, &run);
        if !violations.is_empty() {
            let trace = trace(&run);
            let end = trace.len().saturating_sub(400);
            panic!(
                "seed {seed} (SWITCHBOARD_SEED={seed} replays it)\n{plan:#?}\nthe trace's end:\n{}\nbroken:\n{}",
                trace[end..].join("\n"),
                violations.join("\n"),
            );
        }
    }
    // A workload that meets no fault would show nothing.
    assert!(seen.len() >= 10 || env::var("SWITCHBOARD_SEED").is_ok(), "only {seen:?}");
}

#[test]
fn a_seed_replays_its_run_exactly() {
    for seed in seeds().step_by(8) {
        let (first, second) = (trace(&carry_out(seed)), trace(&carry_out(seed)));
        let differs = first.iter().zip(&second).position(|(first, second)| first != second);
        if let Some(at) = differs {
            let around =
                |trace: &[String]| trace[at.saturating_sub(5)..trace.len().min(at + 3)].join("\n");
            panic!("seed {seed} went two ways:\n{}\nand\n{}", around(&first), around(&second));
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
        assert!(first.len() > 300, "seed {seed}: {} things happened", first.len());
    }
}
