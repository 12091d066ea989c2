//! The promises of the real program under chaos: a fleet of processes and HTTP servers that are
//! killed, stopped, silent, talking nonsense, changed, while agents call them, the configuration
//! changes and Switchboard itself is killed.
//!
//! `SWITCHBOARD_SEED=7 cargo nextest run chaos` replays the workload and the schedule of a run, not
//! its timing. `SWITCHBOARD_CHAOS_RUNS=20` runs so many seeds, `SWITCHBOARD_CHAOS_SECONDS=60` makes
//! each so long, and `UPDATE_DOCS=1` writes what was seen into `docs/reliability.md`. `make chaos`
//! and `make soak` do the like.

mod board;
mod callers;
mod check;
mod fault;
mod fleet;
mod page;
mod plan;
mod run;
mod web;

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;

use page::Figures;
use plan::Plan;

use crate::support::seeds;

/// Seconds with faults of a run of every build.
const SECONDS: u64 = 16;
/// Lines of Switchboard's log that a failure shows.
const LOG: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promises_hold_under_chaos() {
    let chaos = Duration::from_secs(seeds::number("SWITCHBOARD_CHAOS_SECONDS").unwrap_or(SECONDS));
    let mut figures = Figures::default();
    for seed in seeds::of_runs("SWITCHBOARD_CHAOS_RUNS", 1) {
        let plan = Plan::new(seed, chaos);
        println!("seed {seed}: {} calls, {} faults", plan.calls.len(), plan.blows.len());
        // Whatever fails, its seed and its schedule are told.
        let told = match AssertUnwindSafe(run::carry_out(&plan)).catch_unwind().await {
            Ok(seen) if seen.found.is_empty() => {
                figures.add(&plan, &seen);
                continue;
            }
            Ok(seen) => {
                let log: Vec<&str> = seen.log.lines().collect();
                let end = log[log.len().saturating_sub(LOG)..].join("\n");
                format!("{}\nthe end of its log:\n{end}", seen.found.join("\n"))
            }
            Err(_) => "the run did not come to its end, as was said above".to_owned(),
        };
        panic!("SWITCHBOARD_SEED={seed} replays it\n{plan}\nbroken:\n{told}");
    }
    page::agrees_with(&figures);
}
