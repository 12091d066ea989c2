//! Takes in what servers leave behind, and waits for it when it ends: no zombies.
//!
//! Only the binary does so, never the library: a process's children are its program's affair. What
//! tokio waits for is never touched, because the guard knows every child that was started.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use crate::guard::Guard;

/// How long ended strangers may stay, so that many are waited for at one look.
const PAUSE: Duration = Duration::from_secs(1);

/// Reaps until it is dropped.
#[derive(Debug)]
pub(super) struct Reaper {
    _task: JoinSet<()>,
}

impl Reaper {
    /// Makes this process the parent of its descendants whose own parents end.
    pub(super) fn start(guard: Guard) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let mut deaths = signal(SignalKind::child())?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            while deaths.recv().await.is_some() {
                sleep(PAUSE).await;
                let guard = guard.clone();
                // A look that panicked is a look that found nothing.
                spawn_blocking(move || guard.reap_strangers()).await.ok();
            }
        });
        Ok(Self { _task: task })
    }
}
