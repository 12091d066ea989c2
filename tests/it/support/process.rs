//! Processes by id: ending one, and whether it is still there.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// Ends a process as `kill -9` does. It may be gone already.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Sends a signal to a process, if it is still there.
pub fn signal(pid: u32, signal: Signal) {
    kill_process(of(pid), signal).ok();
}

/// Whether a process runs. One that has ended but was not waited for does not.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    // The state follows the command's name, which is in brackets and may hold any character.
    stat.is_ok_and(
        |stat| !matches!(stat.rsplit(") ").next(), Some(rest) if rest.starts_with(['Z', 'X'])),
    )
}

/// Whether a process has ended and its parent knows.
pub fn is_reaped(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists()
}

/// A process in the list of all.
pub struct One {
    pub pid: u32,
    pub parent: u32,
    /// When it was started, in the kernel's clock ticks.
    pub start: u64,
}

impl One {
    /// Its command line.
    pub fn words(&self) -> Vec<String> {
        let line = fs::read(Path::new("/proc").join(self.pid.to_string()).join("cmdline"));
        let line = String::from_utf8_lossy(&line.unwrap_or_default()).into_owned();
        line.split_terminator('\0').map(str::to_owned).collect()
    }
}

/// Every process that there is.
pub fn all() -> Vec<One> {
    let read = |pid: u32| {
        let stat =
            fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
        // The state follows the command's name; the parent is next, the start has number 22.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let (parent, start) = (fields[1].parse().ok()?, fields[19].parse().ok()?);
        Some(One { pid, parent, start })
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}
