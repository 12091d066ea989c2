//! What happened in one run, with the virtual time of each happening. It only takes down.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard::runtime::Event;
use tokio::time::Instant;

/// The record of one run; clones share it.
#[derive(Clone)]
pub struct Record(Arc<Shared>);

struct Shared {
    start: Instant,
    state: Mutex<State>,
}

/// Everything that was taken down.
#[derive(Debug, Default)]
pub struct State {
    /// When a server carried out a call, by the call's number.
    pub executions: BTreeMap<usize, Vec<Duration>>,
    /// Attempts to connect.
    pub attempts: Vec<Attempt>,
    /// Lives of servers, each the server's side of one stream.
    pub lives: Vec<Life>,
    /// Times at which a server was asked for its tools.
    pub listings: Vec<(usize, Duration)>,
    pub events: Vec<(Duration, Arc<Event>)>,
}

#[derive(Debug)]
pub struct Attempt {
    pub server: usize,
    pub incarnation: u64,
    pub began: Duration,
    pub ended: Option<Duration>,
}

#[derive(Debug)]
pub struct Life {
    pub server: usize,
    pub incarnation: u64,
    pub ended: Option<Duration>,
}

impl Record {
    pub fn new() -> Self {
        Self(Arc::new(Shared { start: Instant::now(), state: Mutex::default() }))
    }

    /// Virtual time since the run began.
    pub fn now(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// The moment so long after the run began.
    pub fn at(&self, time: Duration) -> Instant {
        self.0.start + time
    }

    /// Reads or writes.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.state.lock().unwrap())
    }

    pub fn executed(&self, call: usize) {
        let now = self.now();
        self.with(|state| state.executions.entry(call).or_default().push(now));
    }

    pub fn event(&self, event: Arc<Event>) {
        let now = self.now();
        self.with(|state| state.events.push((now, event)));
    }

    /// Takes down an attempt until the guard is dropped.
    pub fn attempt(&self, server: usize, incarnation: u64) -> impl Drop + use<> {
        let began = self.now();
        let place = self.with(|state| {
            state.attempts.push(Attempt { server, incarnation, began, ended: None });
            state.attempts.len() - 1
        });
        let record = self.clone();
        Guard(move || {
            let now = record.now();
            record.with(|state| state.attempts[place].ended = Some(now));
        })
    }

    /// Takes down a life until the guard is dropped.
    pub fn life(&self, server: usize, incarnation: u64) -> impl Drop + use<> {
        let place = self.with(|state| {
            state.lives.push(Life { server, incarnation, ended: None });
            state.lives.len() - 1
        });
        let record = self.clone();
        Guard(move || {
            let now = record.now();
            record.with(|state| state.lives[place].ended = Some(now));
        })
    }
}

struct Guard<F: Fn()>(F);

impl<F: Fn()> Drop for Guard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
