//! The ladder: the state machine of one server, from ready through backoff and an open circuit to
//! given up.
//!
//! Owned by the supervisor of the connection, which tells it what happened and carries out what it
//! decides. It outlives the incarnations; it starts nothing and never looks at a clock.
//!
//! | state | `start` | `ready` | a failure | refused, absent, fatal | asked to stop | idle |
//! |---|---|---|---|---|---|---|
//! | idle, backoff | connecting | | backoff or open | failed | stopped | idle |
//! | connecting | | ready | backoff or open | failed | stopped | idle |
//! | ready | | | backoff or open | failed | stopped | idle |
//! | open | `half_open` | | open | failed | stopped | idle |
//! | `half_open` | | ready | open, with a longer pause | failed | stopped | idle |
//! | draining | | | stopped | stopped | stopped | idle |
//! | stopped, failed | connecting | | | | | |
//!
//! The first two columns are told by methods of that name, the others by [`Ladder::ended`]; an
//! empty field changes nothing. A failure ([`Exit::Lost`], [`Exit::RateLimited`], [`Exit::Bug`];
//! the loss of a ready connection too) leads to backoff while the losses in `period` and the tries
//! that failed since it was last ready are at most `intensity`, and to open after that. Without reconnection it leads to stopped. Idle leads to idle
//! for permanent servers only, to stopped for others; temporary servers stop after any end.
//! [`Ladder::drain`] moves what is under way to draining, [`Ladder::stop`] anything to stopped,
//! and [`Ladder::reset`] what waits or was given up to idle.

use std::time::Duration;

use super::{
    Decision, Exit, Restart, State,
    backoff::{Backoff, doubled, scaled},
    intensity::Meter,
};

/// What a ladder is climbed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which ends are followed by another start. Default: permanent.
    pub restart: Restart,
    /// Whether lost connections are made again. Default: true.
    pub reconnect: bool,
    /// What the first pause is drawn from. Default: 250 ms. Above the cap it counts as the cap.
    pub base: Duration,
    /// The longest pause, but for the slow probe. Default: 60 s. Where it or the base is zero,
    /// the defaults of both hold.
    pub cap: Duration,
    /// How long a connection must have been ready before its past is forgotten. Default: 30 s.
    pub stable: Duration,
    /// Losses in `period` and failed tries in a row at most before the circuit opens. Default: 5.
    pub intensity: u32,
    /// The window of losses. Default: 60 s.
    pub period: Duration,
    /// The pause before the first probe of an open circuit; later ones double. Default: 5 s.
    pub open_first: Duration,
    /// The pause before a probe of a server that refused our credentials. Default: 10 min.
    pub refused_probe: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            restart: Restart::Permanent,
            reconnect: true,
            base: Duration::from_millis(250),
            cap: Duration::from_mins(1),
            stable: Duration::from_secs(30),
            intensity: 5,
            period: Duration::from_mins(1),
            open_first: Duration::from_secs(5),
            refused_probe: Duration::from_mins(10),
        }
    }
}

impl Policy {
    fn backoff(&self) -> Backoff {
        Backoff::new(self.base.min(self.cap), self.cap).unwrap_or_default()
    }

    fn meter(&self) -> Meter {
        Meter::new(self.intensity, self.period)
    }
}

/// Where one server stands, and what its past means for its next end.
#[derive(Clone, Debug)]
pub struct Ladder {
    policy: Policy,
    backoff: Backoff,
    state: State,
    /// Failures since the last stable period.
    attempt: u32,
    /// Times that the circuit opened since the last stable period.
    opened: u32,
    /// Ends of lives that were ready.
    losses: Meter,
    /// Failed tries since it was last ready, however long each took: one that hangs is no better
    /// than one that fails at once.
    tries: u32,
    /// When it became ready; meant only while it is.
    ready_since: Duration,
}

impl Ladder {
    /// A ladder in state idle, without a past.
    pub fn new(policy: Policy) -> Self {
        Self {
            backoff: policy.backoff(),
            losses: policy.meter(),
            policy,
            state: State::Idle,
            attempt: 0,
            opened: 0,
            tries: 0,
            ready_since: Duration::ZERO,
        }
    }

    /// Where the server stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Failures since the last stable period.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Losses in the period before `now`, and failed tries since it was last ready.
    pub fn recent_failures(&self, now: Duration) -> usize {
        self.losses.recent(now).saturating_add(usize::try_from(self.tries).unwrap_or(usize::MAX))
    }

    /// What it is climbed by.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Replaces the policy. It holds from the next end on, and state and counts stay; another
    /// intensity or period starts a new window.
    pub fn set_policy(&mut self, policy: Policy) {
        if (policy.intensity, policy.period) != (self.policy.intensity, self.policy.period) {
            self.losses = policy.meter();
            self.tries = 0;
        }
        self.backoff = policy.backoff();
        self.policy = policy;
    }

    /// A connect is about to begin: after a pause, by a call, or because a person asked.
    pub fn start(&mut self) {
        match self.state {
            State::Idle | State::Backoff | State::Stopped | State::Failed => {
                self.state = State::Connecting;
            }
            State::Open => self.state = State::HalfOpen,
            State::Connecting | State::HalfOpen | State::Ready | State::Draining => {}
        }
    }

    /// The connect succeeded: the tries before it say nothing of the next loss. Losses go on to
    /// count, so that a server which connects and dies at once opens its circuit.
    pub fn ready(&mut self, now: Duration) {
        if matches!(self.state, State::Connecting | State::HalfOpen) {
            self.state = State::Ready;
            self.ready_since = now;
            self.tries = 0;
        }
    }

    /// The stable period may have passed: to be called by a timer that was set on ready. Forgets
    /// the past if the connection is still ready and has been so all that time, so a timer that
    /// an earlier incarnation left does no harm.
    pub fn stable(&mut self, now: Duration) {
        let ready = now.saturating_sub(self.ready_since);
        if self.state == State::Ready && ready >= self.policy.stable {
            self.forget();
        }
    }

    /// What is under way finishes its calls and then ends. Nothing changes where nothing is.
    pub fn drain(&mut self) {
        if matches!(self.state, State::Connecting | State::HalfOpen | State::Ready) {
            self.state = State::Draining;
        }
    }

    /// Stopped from now on, whatever it was.
    pub fn stop(&mut self) {
        self.state = State::Stopped;
    }

    /// A person, or a new configuration, gives it a fresh beginning: the past is forgotten, and
    /// what waited or was given up is idle. What is under way goes on.
    pub fn reset(&mut self) {
        self.forget();
        match self.state {
            State::Backoff | State::Open | State::Stopped | State::Failed => {
                self.state = State::Idle;
            }
            State::HalfOpen => self.state = State::Connecting,
            State::Idle | State::Connecting | State::Ready | State::Draining => {}
        }
    }

    /// Opens the circuit after an end, whatever the window says: its group has had enough.
    pub fn trip(&mut self, jitter: f64) -> Decision {
        self.state = State::Open;
        self.open(Duration::ZERO, jitter)
    }

    /// The connection, or the try to make one, ended: moves the state and says what to do.
    /// `jitter` is a random number from 0 to 1. An end that arrives after the server was stopped
    /// or given up changes nothing.
    pub fn ended(&mut self, now: Duration, exit: Exit, jitter: f64) -> Decision {
        if self.state == State::Failed {
            return Decision::Fail { probe: None };
        }
        let decision = self.decide(now, exit, jitter);
        self.state = match decision {
            Decision::Retry { .. } => State::Backoff,
            Decision::Open { .. } => State::Open,
            Decision::Fail { .. } => State::Failed,
            Decision::Stop => State::Stopped,
            Decision::Idle => State::Idle,
        };
        decision
    }

    fn decide(&mut self, now: Duration, exit: Exit, jitter: f64) -> Decision {
        if self.state == State::Stopped || self.policy.restart == Restart::Temporary {
            return Decision::Stop;
        }
        // Whoever drains wants the end, so a loss on the way to it is no failure.
        if self.state == State::Draining && exit != Exit::Idle {
            return Decision::Stop;
        }
        match exit {
            Exit::Idle if self.policy.restart == Restart::Permanent => Decision::Idle,
            Exit::Idle | Exit::Asked => Decision::Stop,
            Exit::Fatal => Decision::Fail { probe: None },
            Exit::Refused => {
                Decision::Fail { probe: self.policy.reconnect.then_some(self.policy.refused_probe) }
            }
            Exit::Absent if !self.policy.reconnect => Decision::Stop,
            Exit::Absent => {
                let pause = self.open_pause(jitter);
                self.opened = self.opened.saturating_add(1);
                Decision::Fail { probe: Some(self.backoff.bounded(pause)) }
            }
            Exit::Lost | Exit::Bug => self.failed(now, None, jitter),
            Exit::RateLimited { retry_after } => self.failed(now, Some(retry_after), jitter),
        }
    }

    fn failed(&mut self, now: Duration, retry_after: Option<Duration>, jitter: f64) -> Decision {
        if !self.policy.reconnect {
            return Decision::Stop;
        }
        let probing = matches!(self.state, State::Open | State::HalfOpen);
        if self.state == State::Ready {
            self.losses.record(now);
        } else {
            self.tries = self.tries.saturating_add(1);
        }
        let intensity = usize::try_from(self.policy.intensity).unwrap_or(usize::MAX);
        let kept = self.recent_failures(now) <= intensity;
        let earlier = self.attempt;
        self.attempt = self.attempt.saturating_add(1);
        if kept && !probing {
            let after = retry_after.map_or_else(
                || self.backoff.delay(earlier, jitter),
                |wanted| self.backoff.bounded(wanted),
            );
            return Decision::Retry { after };
        }
        // A server may ask for a longer pause than the circuit's, never for a shorter one: else
        // `Retry-After: 0` would switch the circuit off.
        self.open(retry_after.unwrap_or_default(), jitter)
    }

    fn open(&mut self, least: Duration, jitter: f64) -> Decision {
        let pause = self.open_pause(jitter).max(least);
        self.opened = self.opened.saturating_add(1);
        Decision::Open { after: self.backoff.bounded(pause) }
    }

    /// The next pause of an open circuit, +-20 %. The cap bounds the upper end of that range, not
    /// its result, so that many servers at the cap are still not probed at the same instant.
    fn open_pause(&self, jitter: f64) -> Duration {
        let upper = self.policy.open_first.saturating_mul(6) / 5;
        let upper = doubled(upper, self.opened).min(self.backoff.cap());
        scaled(upper, (2.0 + jitter.clamp(0.0, 1.0)) / 3.0)
    }

    fn forget(&mut self) {
        self.attempt = 0;
        self.opened = 0;
        self.losses.clear();
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests;
