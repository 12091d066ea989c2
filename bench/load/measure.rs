//! Calls from many callers at a time, counted and timed.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{task::JoinSet, time::Instant};

/// The text that every call carries and gets back.
pub const TEXT: &str = "The quick brown fox jumps over the lazy dog while two hundred bytes of text go to a server \
and come back unharmed, because that is what an exchange for tool calls is there for, day and night.";

/// Calls before anything is timed, for each caller.
const WARM_UP: u64 = 50;

/// When a case ends.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// After so many calls in all.
    pub calls: u64,
    /// After so long.
    pub time: Duration,
}

/// One caller: makes one call and returns when its answer is there and right.
pub trait Caller: Send + 'static {
    /// Calls `demo-server`'s `echo` with a request id that was never used before.
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// What came out of a case.
pub struct Measurement {
    /// Answered calls in each second.
    pub rate: f64,
    /// The latency that half of the calls keep.
    pub p50: Duration,
    /// The latency that 99 of 100 calls keep.
    pub p99: Duration,
    /// Processor time of the watched process for each call.
    pub cpu: Option<Duration>,
}

/// Runs a case; with `watched`, also reads what that process (without its children) spent.
pub async fn run<C: Caller>(
    bounds: Bounds,
    callers: usize,
    watched: Option<u32>,
    mut caller: impl FnMut() -> Result<C>,
) -> Result<Measurement> {
    let mut warming = JoinSet::new();
    for _ in 0..callers {
        let mut caller = caller()?;
        warming.spawn(async move {
            for _ in 0..WARM_UP {
                caller.call().await?;
            }
            Ok::<_, anyhow::Error>(caller)
        });
    }
    let mut ready = Vec::with_capacity(callers);
    while let Some(caller) = warming.join_next().await {
        ready.push(caller??);
    }

    let share = bounds.calls.div_ceil(callers as u64);
    let spent_before = watched.map(processor_time).transpose()?;
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
    let spent = watched.map(processor_time).transpose()?;

    latencies.sort_unstable();
    let count = u32::try_from(latencies.len())?;
    Ok(Measurement {
        rate: f64::from(count) / elapsed.as_secs_f64(),
        p50: percentile(&latencies, 50)?,
        p99: percentile(&latencies, 99)?,
        cpu: spent.zip(spent_before).map(|(after, before)| after.saturating_sub(before) / count),
    })
}

fn percentile(sorted: &[Duration], percent: usize) -> Result<Duration> {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().context("no call was answered")
}

/// User and system time of a process without its children, from `/proc/PID/stat`.
fn processor_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name is in brackets and may hold spaces; the fields after it are counted from 3.
    let (_, fields) = stat.rsplit_once(") ").context("an unknown form of /proc/PID/stat")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u32>);
    let user = times.next().context("no user time")??;
    let system = times.next().context("no system time")??;
    let ticks_per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
    Ok(Duration::from_secs(1) * (user + system) / ticks_per_second)
}
