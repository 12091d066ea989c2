//! The keeper of one runtime: it knows every process, tells the guard of each, and keeps a guard
//! running.
//!
//! A thread of its own waits for the guard's end, because a guard belongs to no async runtime. What
//! it may not lose is known here: a new guard is told everything.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    MARK,
    ledger::Ledger,
    process,
    sentry::{Word, mark},
    sweep::Leader,
};

mod post;

use post::Post;

pub(super) use super::launch::launch;

/// How long a launch waits for a guard that is being started.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pauses before the next guard, where guards fail as soon as they are started.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A guard that stood for so long ended by accident: the next one is started at once.
const STEADY: Duration = Duration::from_secs(10);

/// This program as guard and launcher: whatever file it came from, also if that was replaced.
pub(super) fn guard_of_this_program() -> Keeper {
    Keeper::new(Some(PathBuf::from("/proc/self/exe")))
}

/// Whether there is a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Soon.
    Coming,
    /// One stands and knows every launch.
    Up,
    /// None, and none soon.
    Absent,
}

/// Keeps a guard; when it is dropped, the guard ends what is left.
#[derive(Debug)]
pub(super) struct Keeper {
    core: Arc<Core>,
}

#[derive(Debug)]
struct Core {
    program: Option<PathBuf>,
    instance: String,
    ledger: Option<Ledger>,
    standing: watch::Sender<Standing>,
    state: Mutex<State>,
    /// Notified when the keeper closes.
    closing: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many there were.
    launches: u64,
    roll: BTreeMap<u64, Leader>,
    /// The guard that is told of launches.
    post: Option<Post>,
    /// The thread was started, or needs none.
    begun: bool,
    closing: bool,
}

impl Keeper {
    pub(super) fn new(program: Option<PathBuf>) -> Self {
        let instance = uuid::Uuid::new_v4().simple().to_string();
        Self { core: Arc::new(Core::new(program, instance, None)) }
    }

    /// Another one that notes every launch on disk.
    pub(super) fn with_ledger(&self, directory: &Path) -> io::Result<Self> {
        let instance = self.core.instance.clone();
        let ledger = Ledger::open(directory, &instance)?;
        let core = Core::new(self.core.program.clone(), instance, Some(ledger));
        Ok(Self { core: Arc::new(core) })
    }

    /// The launcher's program, once a guard stands; `None` if there is none.
    pub(super) async fn guarded_by(&self) -> Option<&Path> {
        let program = self.core.program.as_deref();
        self.begin();
        let mut standing = self.core.standing.subscribe();
        let settled = standing.wait_for(|standing| *standing != Standing::Coming);
        let up = matches!(timeout(PATIENCE, settled).await, Ok(Ok(now)) if *now == Standing::Up);
        program.filter(|_| up)
    }

    /// Starts the thread, once.
    fn begin(&self) {
        let mut state = self.core.state.lock();
        if std::mem::replace(&mut state.begun, true) {
            return;
        }
        drop(state);
        if self.core.program.is_none() {
            tracing::warn!(
                "processes of servers are started without a guard: they outlive this program if it \
                 is killed; begin `main` with `switchboard::guard::init()` and give the runtime \
                 what it returns"
            );
            return;
        }
        let core = Arc::clone(&self.core);
        let thread = thread::Builder::new().name("switchboard-guard".to_owned());
        if let Err(error) = thread.spawn(move || core.keep()) {
            self.core.absent(&error);
        }
    }

    /// Starts a process under its mark and makes it known. Only who holds the lock starts one, so
    /// that no child of ours is ever taken for a stranger.
    pub(super) fn enlist(
        self: &Arc<Self>,
        mut command: Command,
        program: &Path,
    ) -> io::Result<(Child, Entry)> {
        let core = &self.core;
        let mut state = core.state.lock();
        state.launches += 1;
        let launch = state.launches;
        let child = command.env(MARK, mark(&core.instance, Some(launch))).spawn()?;
        let entry = Entry { keeper: Arc::clone(self), launch };
        let pid = child.id().unwrap_or_default();
        if let Some(start) = process::of(pid).map(|seen| seen.start) {
            let leader = Leader { pid, start };
            state.roll.insert(launch, leader);
            if let Some(ledger) = &core.ledger {
                ledger.began(launch, leader, program);
            }
            core.tell(&mut state, &Word::Began(launch, leader));
        }
        Ok((child, entry))
    }

    /// Waits for children of ours that nobody here started: they were left to us by others.
    #[cfg(feature = "cli")]
    pub(super) fn reap_strangers(&self) {
        let state = self.core.state.lock();
        let guard = state.post.as_ref().map(Post::pid);
        let is_own = |pid| guard == Some(pid) || state.roll.values().any(|own| own.pid == pid);
        let us = std::process::id();
        for child in process::all() {
            if child.ended && child.parent == us && !is_own(child.pid) {
                process::reap(child.pid);
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let mut state = self.core.state.lock();
        state.closing = true;
        state.post = None;
        self.core.closing.notify_all();
    }
}

impl Core {
    fn new(program: Option<PathBuf>, instance: String, ledger: Option<Ledger>) -> Self {
        let standing = if program.is_some() { Standing::Coming } else { Standing::Absent };
        Self {
            program,
            instance,
            ledger,
            standing: watch::Sender::new(standing),
            state: Mutex::default(),
            closing: Condvar::new(),
        }
    }

    /// Tells the guard, if there is one. One that does not listen is replaced, and killed before
    /// its line breaks: it would take that for our end.
    fn tell(&self, state: &mut State, word: &Word) {
        let told = state.post.as_mut().is_none_or(|post| post.tell(&word.line()).is_ok());
        if !told && let Some(post) = state.post.take() {
            post.kill();
            self.standing.send_replace(Standing::Coming);
        }
    }

    /// Keeps a guard standing until the keeper closes.
    fn keep(&self) {
        let Some(program) = &self.program else { return };
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            match Post::start(program, &self.instance) {
                Ok((post, mut guard)) => {
                    self.man(post);
                    let how = guard.wait();
                    if self.vacate() {
                        return;
                    }
                    let how = how.map_or_else(|error| error.to_string(), |how| how.to_string());
                    tracing::warn!("the guard process ended ({how}); the next one is started");
                }
                Err(error) => self.absent(&error),
            }
            if started.elapsed() > STEADY {
                pause = FIRST_PAUSE;
            } else if self.closes_within(pause) {
                return;
            } else {
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }

    /// Tells a new guard everything. Where that fails the guard ends, which is seen at once.
    fn man(&self, mut post: Post) {
        let mut state = self.state.lock();
        if state.closing {
            return;
        }
        let began = state.roll.iter().map(|(launch, leader)| Word::Began(*launch, *leader));
        let text: String = began.map(|word| word.line()).collect();
        if post.tell(&text).is_ok() {
            state.post = Some(post);
            self.standing.send_replace(Standing::Up);
        } else {
            post.kill();
        }
    }

    /// The guard is gone; whether the keeper is, too.
    fn vacate(&self) -> bool {
        let mut state = self.state.lock();
        state.post = None;
        self.standing.send_replace(Standing::Coming);
        state.closing
    }

    fn absent(&self, error: &io::Error) {
        if self.standing.send_replace(Standing::Absent) != Standing::Absent {
            tracing::warn!(
                "there is no guard process: {error}; processes of servers would outlive a kill of \
                 this program"
            );
        }
    }

    fn closes_within(&self, pause: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.closing {
            self.closing.wait_for(&mut state, pause);
        }
        state.closing
    }
}

/// A process is known while this is held: until it was waited for, or nobody will. Dropping it ends
/// what is left of the launch.
#[derive(Debug)]
pub(crate) struct Entry {
    keeper: Arc<Keeper>,
    launch: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let core = &self.keeper.core;
        let mut state = core.state.lock();
        state.roll.remove(&self.launch);
        core.tell(&mut state, &Word::Over(self.launch));
        drop(state);
        if let Some(ledger) = &core.ledger {
            ledger.over(self.launch);
        }
    }
}
