//! The guard process as its runtime sees it: started, told, killed if it must be.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::guard::{process, role::GUARD, sentry::READY};

/// How long a guard may take to be ready.
const START: Duration = Duration::from_millis(1900);
/// How long it may not listen, once its line is full; it is usually at work for milliseconds.
const DEAF: Duration = Duration::from_secs(1);

/// A guard that stands. When this is dropped its line breaks, and it ends what it knows.
#[derive(Debug)]
pub(super) struct Post {
    line: UnixStream,
    /// Means this process even when its id is another's.
    handle: OwnedFd,
    #[cfg(feature = "cli")]
    pid: u32,
}

impl Post {
    /// Starts the guard of an instance and waits until it is ready.
    pub(super) fn start(program: &Path, instance: &str) -> io::Result<(Self, Child)> {
        let (mut line, theirs) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command
            .arg0(GUARD)
            .arg(instance)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut guard = command.spawn()?;
        // With our copy of its end.
        drop(command);
        let mut ready = [0];
        line.set_read_timeout(Some(START))?;
        if line.read(&mut ready).is_err() || ready != [READY] {
            guard.kill()?;
            guard.wait()?;
            return Err(io::Error::other(format!("{} does not serve as guard", program.display())));
        }
        line.set_write_timeout(Some(DEAF))?;
        let id = process::id(guard.id()).ok_or(io::ErrorKind::NotFound)?;
        let handle = pidfd_open(id, PidfdFlags::empty())?;
        let post = Self {
            line,
            handle,
            #[cfg(feature = "cli")]
            pid: guard.id(),
        };
        Ok((post, guard))
    }

    #[cfg(feature = "cli")]
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn tell(&mut self, text: &str) -> io::Result<()> {
        self.line.write_all(text.as_bytes())
    }

    /// Ends it before it learns that its line is gone.
    pub(super) fn kill(self) {
        // It may be gone already.
        pidfd_send_signal(&self.handle, Signal::KILL).ok();
    }
}
