//! Finds all that belongs to some launches, wherever it went, and kills it.
//!
//! By its group and session, and by the mark in its environment. Used by the guard process and by
//! the ledger; the caller says what is certain. A process is never killed by a number alone.

use std::{collections::BTreeSet, thread::sleep, time::Duration};

use rustix::process::{PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use super::process::{self, Seen};

/// Between two looks: a killed process needs a moment to be gone.
const PAUSE: Duration = Duration::from_millis(5);

/// The leader of a session and group, as it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) pid: u32,
    pub(super) start: u64,
}

impl Leader {
    /// Whether the id still means it, or what it left behind: as long as a group has members, no
    /// new process gets its number.
    fn is_known(self) -> bool {
        process::of(self.pid).is_none_or(|now| now.start == self.start)
    }
}

/// What is to be ended.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Themselves, their groups and sessions.
    pub(super) leaders: Vec<Leader>,
    /// How the mark's value begins.
    pub(super) marks: Vec<String>,
    /// Nothing of it was started before; reading marks is what costs time.
    pub(super) since: u64,
}

impl Sweep {
    /// Kills until nothing is left, for at most so many looks. Says how many were killed.
    pub(super) fn run(mut self, looks: u32) -> usize {
        let mut killed = BTreeSet::new();
        for _ in 0..looks {
            self.leaders.retain(|leader| leader.is_known());
            let found: Vec<Seen> = process::all().into_iter().filter(|p| self.means(*p)).collect();
            if found.is_empty() {
                break;
            }
            for group in self.leaders.iter().filter_map(|leader| process::id(leader.pid)) {
                // All members at once, before one of them can start another. It may be gone.
                kill_process_group(group, Signal::KILL).ok();
            }
            for process in found {
                kill(process);
                killed.insert((process.pid, process.start));
            }
            pause();
        }
        killed.len()
    }

    fn means(&self, process: Seen) -> bool {
        let ours = process.start >= self.since && process.pid != std::process::id();
        if process.ended || !ours {
            return false;
        }
        let led = |leader: &Leader| {
            // By itself too: at first it has neither group nor session of its own.
            [process.pid, process.group, process.session].contains(&leader.pid)
                && process.start >= leader.start
        };
        self.leaders.iter().any(led)
            || self.marks.iter().any(|mark| process::is_marked(process.pid, mark))
    }
}

/// Kills exactly this process: its id may have become another's since.
fn kill(process: Seen) {
    let handle = process::id(process.pid).map(|id| pidfd_open(id, PidfdFlags::empty()));
    let Some(Ok(handle)) = handle else { return };
    if process::of(process.pid).is_some_and(|now| now.start == process.start) {
        pidfd_send_signal(handle, Signal::KILL).ok();
    }
}

#[allow(clippy::disallowed_methods, reason = "whoever sweeps has nothing else to do meanwhile")]
fn pause() {
    sleep(PAUSE);
}
