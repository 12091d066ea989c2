//! What the kernel says about a process of this machine: processor time, memory, context switches.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// What a process has used so far, without its children.
#[derive(Clone, Copy)]
pub struct Used {
    /// User and system time.
    pub cpu: Duration,
    /// Context switches of all its threads, wanted and unwanted.
    pub switches: u64,
}

impl Used {
    /// Processor time since then, in µs.
    pub fn micros_since(&self, before: &Self) -> f64 {
        self.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6
    }
}

/// Reads `/proc/PID/stat` and the status of each thread.
pub fn used(pid: u32) -> Result<Used> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name is in brackets and may hold spaces; the fields after it are counted from 3.
    let (_, fields) = stat.rsplit_once(") ").context("an unknown form of /proc/PID/stat")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u32>);
    let user = times.next().context("no user time")??;
    let system = times.next().context("no system time")??;
    let ticks_per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
    let mut switches = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended since.
        let status = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
        let counts = status.lines().filter(|line| line.contains("voluntary_ctxt_switches"));
        switches += counts.filter_map(number).sum::<u64>();
    }
    Ok(Used { cpu: Duration::from_secs(1) * (user + system) / ticks_per_second, switches })
}

/// Resident memory in bytes: now (`VmRSS`) or at most so far (`VmHWM`).
pub fn resident(pid: u32, which: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(which));
    let kilobytes = u32::try_from(line.and_then(number).context("no memory in its status")?)?;
    Ok(f64::from(kilobytes) * 1024.0)
}

/// Forgets the highest memory so far, so that [`resident`] tells of what comes.
pub fn forget_peak(pid: u32) -> Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn number(line: &str) -> Option<u64> {
    line.split_whitespace().nth(1)?.parse().ok()
}
