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

fn of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}
