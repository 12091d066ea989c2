//! All that depends on the operating system: process groups, signals, exit statuses, files that
//! can be run.
//!
//! A group is never signalled once its leader was reaped and the rest was killed, because its
//! number may then belong to somebody else.

use std::{fs::Metadata, io, process::ExitStatus};

use parking_lot::Mutex;

use crate::upstream::ProcessExit;

/// The process group that a child leads; `None` once it is gone.
pub(super) struct Group(Mutex<Option<imp::Pid>>);

impl Group {
    /// The group of a child that was started as its leader.
    pub(super) fn of(pid: Option<u32>) -> Self {
        Self(Mutex::new(pid.and_then(imp::pid)))
    }

    /// Asks every member to end.
    pub(super) fn terminate(&self) {
        if let Some(pid) = *self.0.lock() {
            imp::terminate(pid);
        }
    }

    /// Ends every member.
    pub(super) fn kill(&self) {
        if let Some(pid) = *self.0.lock() {
            imp::kill(pid);
        }
    }

    /// Ends what is left of it after its leader was reaped, and forgets it.
    pub(super) fn bury(&self) {
        if let Some(pid) = self.0.lock().take() {
            imp::kill(pid);
        }
    }
}

/// How a process ended.
pub(super) fn exit(status: ExitStatus) -> ProcessExit {
    match (status.code(), imp::signal(status)) {
        (Some(code), _) => ProcessExit::Code(code),
        (None, Some(name)) => ProcessExit::Signal(name),
        (None, None) => ProcessExit::Unknown(format!("ended: {status}")),
    }
}

/// Whether somebody may run a file.
pub(super) fn is_executable(file: &Metadata) -> bool {
    imp::is_executable(file)
}

/// Whether the system refused a file because it is not a program.
pub(super) fn is_no_program(error: &io::Error) -> bool {
    imp::is_no_program(error)
}

#[cfg(unix)]
mod imp {
    use std::{
        fs::Metadata,
        io,
        os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
        process::ExitStatus,
    };

    use rustix::process::{Signal, kill_process_group};

    pub(super) use rustix::process::Pid;

    const NAMES: [(Signal, &str); 13] = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::TERM, "SIGTERM"),
        (Signal::SYS, "SIGSYS"),
    ];

    pub(super) fn pid(pid: u32) -> Option<Pid> {
        Pid::from_raw(i32::try_from(pid).ok()?)
    }

    // A group that is gone already is what was wanted.
    pub(super) fn terminate(group: Pid) {
        kill_process_group(group, Signal::TERM).ok();
    }

    pub(super) fn kill(group: Pid) {
        kill_process_group(group, Signal::KILL).ok();
    }

    pub(super) fn signal(status: ExitStatus) -> Option<String> {
        let number = status.signal()?;
        let named = NAMES
            .iter()
            .find(|(signal, _)| signal.as_raw() == number)
            .map(|(_, name)| (*name).to_owned());
        Some(named.unwrap_or_else(|| format!("signal {number}")))
    }

    pub(super) fn is_executable(file: &Metadata) -> bool {
        file.permissions().mode() & 0o111 != 0
    }

    pub(super) fn is_no_program(error: &io::Error) -> bool {
        error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
    }
}

/// No groups: the process alone is ended, when its owner is dropped.
#[cfg(not(unix))]
mod imp {
    use std::{fs::Metadata, io, process::ExitStatus};

    pub(super) type Pid = u32;

    pub(super) const fn pid(pid: u32) -> Option<Pid> {
        Some(pid)
    }

    pub(super) const fn terminate(_group: Pid) {}

    pub(super) const fn kill(_group: Pid) {}

    pub(super) const fn signal(_status: ExitStatus) -> Option<String> {
        None
    }

    pub(super) const fn is_executable(_file: &Metadata) -> bool {
        true
    }

    pub(super) const fn is_no_program(_error: &io::Error) -> bool {
        false
    }
}
