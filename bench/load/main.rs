//! The load run behind `make bench`: servers called directly, through nginx and through
//! `switchboard serve`, in turn; memory, lists and large answers; tables and plots go to
//! docs/benchmarks.md.
//!
//! It measures; whether a goal is reached is said beside its figures and fails nothing.

#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program that prints a table; `pub` marks what its modules share"
)]

mod big;
mod cost;
mod embedded;
mod figure;
mod goals;
mod http;
mod matrix;
mod measure;
mod nginx;
mod plan;
mod plot;
mod process;
#[path = "../profile.rs"]
mod profile;
mod report;
mod scale;
mod server;
mod stdio;
mod switchboard;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use figure::Figures;
use measure::Bounds;
use plan::Plan;

/// The program that is measured, as released.
const PROGRAM: &str = env!("CARGO_BIN_EXE_switchboard");

/// The generator has one thread, so that it takes little from what it measures.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, form, tools] = &*arguments
        && role == server::ROLE
    {
        return server::serve(form, tools).await;
    }
    let plan = Plan::of_environment()?;
    let outcomes = matrix::run(&plan, plan::cases()).await?;
    let mut figures = Figures::default();
    scale::run(&plan, &mut figures).await?;
    big::run(&plan, &mut figures).await?;
    embedded::run(&plan, &mut figures).await?;
    cost::run(&plan, &mut figures).await?;
    long(&plan, &mut figures).await?;
    let text = report::markdown(&plan, &outcomes, &figures).await;
    println!("{text}");
    if plan.is_whole() {
        report::publish(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"), &text, &outcomes)?;
    }
    Ok(())
}

/// The base case for so many calls that what happens seldom happens.
async fn long(plan: &Plan, figures: &mut Figures) -> Result<()> {
    if !plan.wants(goals::SLOWEST) {
        return Ok(());
    }
    let bounds = Bounds { calls: plan.long, time: Duration::from_mins(10) };
    let run = matrix::measure(&plan::BASE, bounds).await?.context("nothing stood in between")?;
    figures.add("calls of the long run", f64::from(u32::try_from(run.calls())?), "");
    figures.add("of them 99.99 % took at most", run.latency(0.9999) / 1e3, "ms");
    figures.add(goals::SLOWEST, run.latency(1.0) / 1e3, "ms");
    Ok(())
}

/// So many bytes of English.
fn text(size: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(size).collect()
}
