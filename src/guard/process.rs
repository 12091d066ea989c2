//! What the kernel says about processes, in `/proc`.
//!
//! Every answer may be out of date when it arrives; `start` tells two processes of one
//! id apart.

use std::{fs, path::PathBuf};

use rustix::process::Pid;

/// A process at the moment of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) session: u32,
    /// Clock ticks since the machine started.
    pub(super) start: u64,
    /// It has ended and its parent has not asked yet.
    pub(super) ended: bool,
}

/// One process, if it is there.
pub(super) fn of(pid: u32) -> Option<Seen> {
    let stat = fs::read(path(pid, "stat")).ok()?;
    parse(pid, &String::from_utf8_lossy(&stat))
}

/// All that are there.
pub(super) fn all() -> Vec<Seen> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| of(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Whether one of its variables is `MARK` with a value that begins so. No for the processes of
/// others, whose variables we may not read.
pub(super) fn is_marked(pid: u32, mark: &str) -> bool {
    let environment = fs::read(path(pid, "environ")).unwrap_or_default();
    let is_it = |variable: &[u8]| {
        let value = variable.strip_prefix(super::MARK.as_bytes());
        let value = value.and_then(|rest| rest.strip_prefix(b"="));
        value.is_some_and(|value| value.starts_with(mark.as_bytes()))
    };
    environment.split(|byte| *byte == 0).any(is_it)
}

/// Whether a program stands among the first words of its command line: an interpreter comes
/// before a script.
pub(super) fn runs(pid: u32, program: &str) -> bool {
    let line = fs::read(path(pid, "cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).take(3).any(|word| word == program.as_bytes())
}

/// Its id, as system calls take it.
pub(super) fn id(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Waits for a child that has ended; somebody else may have done it.
#[cfg(feature = "cli")]
pub(super) fn reap(pid: u32) {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    if let Some(id) = id(pid) {
        waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok();
    }
}

/// What the kernel calls this run of the machine: process ids mean nothing beyond it.
pub(super) fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn path(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// `man proc_pid_stat`: the name is in brackets and may hold anything, brackets too.
fn parse(pid: u32, stat: &str) -> Option<Seen> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    let mut number = || fields.next()?.parse().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    // Field 22; six were read or dropped with the name.
    let start = fields.nth(15)?.parse().ok()?;
    Some(Seen { pid, parent, group, session, start, ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let stat = "7 (a) b (c)) S 1 5 6 0 -1 4194560 9 0 0 0 1 2 3 4 20 0 1 0 4711 99 8";
        let seen = Seen { pid: 7, parent: 1, group: 5, session: 6, start: 4711, ended: false };
        assert_eq!(parse(7, stat), Some(seen));
        assert_eq!(parse(7, "7 (a) S 1"), None);
        assert!(parse(7, &stat.replace(" S ", " Z ")).unwrap().ended);
    }

    #[test]
    fn we_are_there_and_started_after_the_machine() {
        let own = of(std::process::id()).unwrap();
        assert!(own.start > 0 && !own.ended);
        assert!(all().contains(&own));
        assert!(!is_marked(own.pid, ""), "nothing marks the tests");
        assert_eq!(boot().len(), 36);
    }
}
