//! The janitor: runs injected sweeps at each clean-up interval. Parent: root. No children.
//!
//! It knows nothing of what a sweep does; a sweep must be quick. Its death costs one interval.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{task::Timer, vigil::Question};

/// Something to clean.
struct Sweep {
    /// For the log.
    name: &'static str,
    run: Box<dyn Fn() + Send + Sync>,
    /// One that hangs is not begun by the janitor's next life too.
    under_way: AtomicBool,
}

/// The sweeps of one tree; they outlive the janitor's lives.
#[derive(Default)]
pub(crate) struct Sweeps(Mutex<Vec<Arc<Sweep>>>);

impl std::fmt::Debug for Sweeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.lock().iter().map(|sweep| sweep.name)).finish()
    }
}

impl Sweeps {
    pub(crate) fn add(&self, name: &'static str, sweep: impl Fn() + Send + Sync + 'static) {
        let under_way = AtomicBool::new(false);
        self.0.lock().push(Arc::new(Sweep { name, run: Box::new(sweep), under_way }));
    }

    fn run(&self) {
        let sweeps = self.0.lock().clone();
        for sweep in sweeps {
            if !sweep.under_way.swap(true, Ordering::Relaxed) {
                tracing::debug!(name = sweep.name, "sweep");
                (sweep.run)();
                sweep.under_way.store(false, Ordering::Relaxed);
            }
        }
    }
}

/// The janitor.
#[derive(Debug)]
pub(crate) struct JanitorActor;

/// What reaches the janitor.
#[derive(Clone, Debug)]
pub(crate) enum JanitorMsg {
    /// The interval has passed.
    Tick,
    /// Say that you are there.
    Alive(Question),
    /// Another interval from now on.
    Interval(Duration),
}

/// What the janitor holds.
#[derive(Debug)]
pub(crate) struct JanitorState {
    interval: Duration,
    timer: Timer,
    sweeps: Arc<Sweeps>,
}

impl Actor for JanitorActor {
    type Msg = JanitorMsg;
    type State = JanitorState;
    type Arguments = (Duration, Arc<Sweeps>);

    async fn pre_start(
        &self,
        myself: ActorRef<JanitorMsg>,
        (interval, sweeps): (Duration, Arc<Sweeps>),
    ) -> Result<JanitorState, ActorProcessingErr> {
        let mut timer = Timer::default();
        timer.set(&myself, interval, || JanitorMsg::Tick);
        Ok(JanitorState { interval, timer, sweeps })
    }

    async fn handle(
        &self,
        myself: ActorRef<JanitorMsg>,
        message: JanitorMsg,
        state: &mut JanitorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            JanitorMsg::Tick => {
                state.sweeps.run();
                state.timer.set(&myself, state.interval, || JanitorMsg::Tick);
            }
            JanitorMsg::Alive(question) => question.answer(),
            JanitorMsg::Interval(interval) if interval != state.interval => {
                state.interval = interval;
                state.timer.set(&myself, interval, || JanitorMsg::Tick);
            }
            JanitorMsg::Interval(_) => {}
        }
        Ok(())
    }
}
