//! The janitor: runs injected sweeps at each clean-up interval. Parent: root. No children.
//!
//! It knows nothing of what a sweep does; a sweep must be quick. Its death costs one interval.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::task::Timer;

/// Something to clean, with a name for the log.
type Sweep = (&'static str, Box<dyn Fn() + Send + Sync>);

/// The sweeps of one tree; they outlive the janitor's lives.
#[derive(Default)]
pub(crate) struct Sweeps(Mutex<Vec<Sweep>>);

impl std::fmt::Debug for Sweeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.lock().iter().map(|(name, _)| name)).finish()
    }
}

impl Sweeps {
    pub(crate) fn add(&self, name: &'static str, sweep: impl Fn() + Send + Sync + 'static) {
        self.0.lock().push((name, Box::new(sweep)));
    }

    fn run(&self) {
        for (name, sweep) in self.0.lock().iter() {
            tracing::debug!(name, "sweep");
            sweep();
        }
    }
}

/// The janitor.
#[derive(Debug)]
pub(crate) struct JanitorActor;

/// What reaches the janitor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum JanitorMsg {
    /// The interval has passed.
    Tick,
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
            JanitorMsg::Interval(interval) if interval != state.interval => {
                state.interval = interval;
                state.timer.set(&myself, interval, || JanitorMsg::Tick);
            }
            JanitorMsg::Interval(_) => {}
        }
        Ok(())
    }
}
