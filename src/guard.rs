//! No orphans: however this program ends, what its servers' processes started ends with it.
//!
//! The program is its own guard and its own launcher: [`init`] runs again in either role and never
//! returns there. One [`Guard`] for each runtime, handed down to whatever starts processes; it
//! knows processes, not servers, and decides nothing about their lives.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::process::{Child, ChildStdin, Command};

#[cfg(target_os = "linux")]
mod keeper;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod launcher;
#[cfg(target_os = "linux")]
mod ledger;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod role;
#[cfg(target_os = "linux")]
mod sentry;
#[cfg(target_os = "linux")]
mod sweep;

#[cfg(not(target_os = "linux"))]
#[path = "guard/elsewhere.rs"]
mod keeper;

use keeper::Keeper;

/// The variable that marks everything that a server's process starts: `INSTANCE:LAUNCH:`.
pub const MARK: &str = "SWITCHBOARD_INSTANCE";

/// Lets this program be its own guard. The first line of `main`, before anything that takes time:
/// every server's process passes it on its way. Starts nothing yet.
///
/// ```no_run
/// # use switchboard::runtime::{Runtime, RuntimeConfig};
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let guard = switchboard::guard::init();
///     tokio::runtime::Runtime::new()?.block_on(async {
///         let runtime = Runtime::builder().guard(guard).spawn(RuntimeConfig::default()).await?;
///         // …
/// #       drop(runtime);
///         Ok(())
///     })
/// }
/// ```
pub fn init() -> Guard {
    #[cfg(target_os = "linux")]
    role::play();
    Guard::new(keeper::guard_of_this_program())
}

/// Sees to it that no process is left behind. Cheap to clone; when the last clone and the last
/// process are gone, so is the guard process.
#[derive(Clone, Debug)]
pub struct Guard {
    keeper: Arc<Keeper>,
}

impl Guard {
    fn new(keeper: Keeper) -> Self {
        Self { keeper: Arc::new(keeper) }
    }

    /// No guard process: processes end with their runtime, unless this program is killed.
    pub fn none() -> Self {
        Self::new(Keeper::new(None))
    }

    /// Another program as guard and launcher, one that begins with [`init`]: the `switchboard`
    /// binary is one. For programs that have no `main` of their own in Rust.
    pub fn named(program: impl Into<PathBuf>) -> Self {
        Self::new(Keeper::new(Some(program.into())))
    }

    /// Notes every process in a directory of its own, and first ends what an earlier instance with
    /// the same directory left behind because its guard was killed as well. Before any process is
    /// started; the caller sees to it that one instance uses the directory at a time. Blocks for
    /// some milliseconds, two seconds at most.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn with_ledger(self, directory: &Path) -> io::Result<Self> {
        Ok(Self::new(self.keeper.with_ledger(directory)?))
    }

    /// Waits for children that this process got from others that ended; see `app::reaper`.
    #[cfg(feature = "cli")]
    pub(crate) fn reap_strangers(&self) {
        self.keeper.reap_strangers();
    }

    /// Starts a program, known to the guard before it runs, with its three streams as pipes.
    pub(crate) async fn launch(&self, launch: Launch<'_>) -> io::Result<Launched> {
        keeper::launch(&self.keeper, launch).await
    }
}

/// What is started.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// An absolute path.
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [String],
    /// All of it; the mark is added.
    pub(crate) environment: BTreeMap<OsString, OsString>,
    /// Default: ours.
    pub(crate) cwd: Option<&'a Path>,
}

impl Launch<'_> {
    /// A command that begins with `program` and ends with our arguments.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(&self.environment)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        if let Some(cwd) = self.cwd {
            command.current_dir(cwd);
        }
        command
    }

    /// Without a launcher: a group of its own, as far as the system has such.
    fn plain(&self) -> Command {
        let mut command = self.command(self.program);
        command.args(self.args).stdin(std::process::Stdio::piped());
        #[cfg(unix)]
        command.process_group(0);
        command
    }
}

/// What was started. It leads a process group.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) child: Child,
    pub(crate) input: ChildStdin,
    pub(crate) entry: keeper::Entry,
}

pub(crate) use keeper::Entry;

fn no_pipe() -> io::Error {
    io::Error::other("the system gave no pipes to the process")
}
