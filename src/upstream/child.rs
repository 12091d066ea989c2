//! A child process: started without a shell, watched, reaped, and ended with all it started.
//!
//! Its own process group is what holds a server together: helpers that a launcher leaves behind
//! are killed with it, and what left the group is the guard's affair. Knows nothing of the protocol.
//! Complete on Unix; elsewhere untested, and only the process itself is ended.

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    process::{Child, ChildStdin, ChildStdout},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::{ConnectError, LinkEnd, ProcessExit, StderrRing, peer::Body, stdio::StdioConfig};
use crate::guard::{Entry, Guard, Launch, Launched};

mod environment;
mod lookup;
mod system;

use system::Group;

/// How long a server has after SIGTERM.
const TERMINATION: Duration = Duration::from_secs(3);
/// How long the end of a killed process is waited for; only a stuck kernel needs more.
const DEATH: Duration = Duration::from_secs(1);
/// How long the rest of its error output is waited for after its end, because it often says why.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A running process. Dropping it kills its group.
pub(super) struct Process {
    pid: Option<u32>,
    group: Arc<Group>,
    /// How it ended, once it has.
    exit: watch::Receiver<Option<ProcessExit>>,
    /// Reaps it and drains its error output.
    _tasks: JoinSet<()>,
}

/// The program that a server's process would run, where our environment is this one.
pub(super) fn program(
    config: &StdioConfig,
    ours: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<PathBuf, ConnectError> {
    lookup::program(config, &environment::of_child(ours, config))
}

/// Starts a server that the guard knows; gives back the process, its output and its input.
/// Dropping the future ends what was started.
pub(super) async fn spawn(
    config: &StdioConfig,
    guard: &Guard,
    stderr: Arc<StderrRing>,
) -> Result<(Process, ChildStdout, ChildStdin), ConnectError> {
    let environment = environment::of_child(std::env::vars_os(), config);
    let program = lookup::program(config, &environment)?;
    let launch =
        Launch { program: &program, args: &config.args, environment, cwd: config.cwd.as_deref() };
    let launched = guard.launch(launch).await.map_err(|error| lookup::explain(config, &error))?;
    let Launched { mut child, input, entry } = launched;
    let (Some(stdout), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(ConnectError::Transport("the system gave no pipes to the process".to_owned()));
    };
    let pid = child.id();
    let group = Arc::new(Group::of(pid));
    let (sender, exit) = watch::channel(None);
    let mut drain = JoinSet::new();
    drain.spawn(async move { stderr.drain(errors).await });
    let mut tasks = JoinSet::new();
    tasks.spawn(reap(child, entry, Arc::clone(&group), drain, sender));
    let process = Process { pid, group, exit, _tasks: tasks };
    Ok((process, stdout, input))
}

/// Waits for the process, ends what it left behind, and tells how it ended.
async fn reap(
    mut child: Child,
    entry: Entry,
    group: Arc<Group>,
    mut drain: JoinSet<()>,
    exit: watch::Sender<Option<ProcessExit>>,
) {
    let status = child.wait().await;
    group.bury();
    drop(entry);
    timeout(LAST_WORDS, drain.join_next()).await.ok();
    let how = match status {
        Ok(status) => system::exit(status),
        Err(error) => ProcessExit::Unknown(format!("could not be waited for: {error}")),
    };
    exit.send_replace(Some(how));
    // A helper that left the group may still write to the error output.
    drain.join_next().await;
}

impl Process {
    async fn exited(&self) -> ProcessExit {
        let mut exit = self.exit.clone();
        let how = exit.wait_for(Option::is_some).await.ok().and_then(|how| how.clone());
        how.unwrap_or_else(|| ProcessExit::Unknown("ended unseen".to_owned()))
    }

    async fn exits_within(&self, limit: Duration) -> bool {
        timeout(limit, self.exited()).await.is_ok()
    }
}

impl Body for Process {
    fn pid(&self) -> Option<u32> {
        self.pid
    }

    fn ended(&self) -> BoxFuture<'_, LinkEnd> {
        self.exited().map(LinkEnd::Exited).boxed()
    }

    fn end(&self, grace: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.exits_within(grace).await {
                return;
            }
            self.group.terminate();
            if self.exits_within(TERMINATION).await {
                return;
            }
            self.group.kill();
            self.exits_within(DEATH).await;
        })
    }

    fn kill(&self) {
        self.group.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.group.kill();
    }
}

#[cfg(test)]
mod tests;
