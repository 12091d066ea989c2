//! Processes by id: ending one, whether it is still there, what it holds; and those of a test.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// The variable that marks every process of a test.
pub const MARK: &str = "SWITCHBOARD_TEST_MARK";

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

/// Children of a process, and how many of them were never waited for.
pub fn children(parent: u32) -> (usize, usize) {
    let mut found = (0, 0);
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (state, of) = (fields.next(), fields.next());
        if of == Some(&parent.to_string()) {
            found.0 += 1;
            found.1 += usize::from(state == Some("Z"));
        }
    }
    found
}

/// Descriptors that a process has open.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).unwrap().count()
}

/// Processes that carry the mark in their environment.
pub fn marked(mark: &str) -> Vec<u32> {
    let wanted = format!("{MARK}={mark}");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}
