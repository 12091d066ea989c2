//! Calls from many callers at a time, counted and timed.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::{task::JoinSet, time::Instant};

use super::process::{self, Used};

/// Calls before anything is timed, for each caller.
const WARM_UP: u64 = 20;

/// When a case ends: with whichever comes first.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// After so many calls in all.
    pub calls: u64,
    /// After so long.
    pub time: Duration,
}

/// One caller: makes one call and returns when its answer is there and right.
pub trait Caller: Send + 'static {
    /// Calls `echo` with a request id that was never used before.
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// What came out of a case.
#[derive(Clone)]
pub struct Measurement {
    /// Answered calls in each second.
    pub rate: f64,
    /// Processor time of the watched process for each call, in µs.
    pub cpu: Option<f64>,
    /// Its context switches for each call.
    pub switches: Option<f64>,
    /// Its resident memory at the end, in bytes.
    pub resident: Option<f64>,
    /// How long each call took, sorted.
    latencies: Vec<Duration>,
}

impl Measurement {
    /// The latency that this part of the calls keeps, in µs; 1.0 is the slowest.
    pub fn latency(&self, part: f64) -> f64 {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list of a million"
        )]
        let place = (self.latencies.len() as f64 * part).ceil() as usize;
        let latency = self.latencies.get(place.max(1) - 1).or(self.latencies.last());
        latency.copied().unwrap_or_default().as_secs_f64() * 1e6
    }

    /// Answered calls.
    pub fn calls(&self) -> usize {
        self.latencies.len()
    }
}

/// Runs a case; with `watched`, also reads what that process (without its children) used.
pub async fn run<C: Caller>(
    bounds: Bounds,
    callers: Vec<C>,
    watched: Option<u32>,
) -> Result<Measurement> {
    let share = bounds.calls.div_ceil(callers.len() as u64);
    let start = Instant::now();
    let mut warming = JoinSet::new();
    for mut caller in callers {
        warming.spawn(async move {
            let mut calls = 0;
            while calls < WARM_UP.min(share) && start.elapsed() < bounds.time {
                caller.call().await?;
                calls += 1;
            }
            Ok::<_, anyhow::Error>(caller)
        });
    }
    let mut ready = Vec::new();
    while let Some(caller) = warming.join_next().await {
        ready.push(caller??);
    }

    let before = watched.map(process::used).transpose()?;
    let start = Instant::now();
    let mut running = JoinSet::new();
    for mut caller in ready {
        running.spawn(async move {
            let mut latencies = Vec::new();
            let mut before = Instant::now();
            while (latencies.len() as u64) < share && before - start < bounds.time {
                caller.call().await?;
                let after = Instant::now();
                latencies.push(after - before);
                before = after;
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(of_one) = running.join_next().await {
        latencies.extend(of_one??);
    }
    let elapsed = start.elapsed();
    let after = watched.map(process::used).transpose()?;
    latencies.sort_unstable();

    let count = f64::from(u32::try_from(latencies.len())?);
    anyhow::ensure!(count > 0.0, "no call was answered");
    let used: Option<(Used, Used)> = before.zip(after);
    let switches = used.map(|(before, after)| u32::try_from(after.switches - before.switches));
    Ok(Measurement {
        rate: count / elapsed.as_secs_f64(),
        cpu: used.map(|(before, after)| after.micros_since(&before) / count),
        switches: switches.transpose()?.map(|switches| f64::from(switches) / count),
        resident: watched.map(|pid| process::resident(pid, "VmRSS")).transpose()?,
        latencies,
    })
}

/// The middle one of some figures.
pub fn median(figures: impl IntoIterator<Item = f64>) -> Result<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().context("nothing was measured")
}
