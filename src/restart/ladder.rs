//! The life of one server's connection as a pure state machine.
//!
//! | state | what moves it |
//! |---|---|
//! | idle, backoff, stopped, failed | `start` → connecting |
//! | connecting | `ready` → ready; a failure → backoff, or open when there were too many in the period |
//! | ready | a failure → backoff or open; idle time → idle |
//! | open | `start` → half-open |
//! | half-open | `ready` → ready; a failure → open, for longer |
//! | any | wrong for good → failed; asked to end → stopped; `drain` → draining |
//!
//! The count of attempts, the window and the open pause are forgotten only after the connection
//! was ready for the whole stable period, so that flapping is failing.

use std::time::Duration;

use super::{Backoff, Decision, Exit, Meter, Restart, State};

/// The numbers behind a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether a connection is made again at all, by its kind.
    pub restart: Restart,
    /// Whether lost connections are made again (`enable_reconnection`).
    pub reconnect: bool,
    /// Bound of the first pause.
    pub base: Duration,
    /// Bound of every pause but the slow probe's (`reconnection_seconds`).
    pub cap: Duration,
    /// How long a connection must be ready before its past is forgotten.
    pub stable: Duration,
    /// Failures in `period` before the circuit opens.
    pub intensity: u32,
    /// The window of `intensity`.
    pub period: Duration,
    /// The first pause of an open circuit.
    pub open_first: Duration,
    /// The pause before a slow probe after refused credentials.
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

/// The state machine of one connection.
#[derive(Clone, Debug)]
pub struct Ladder {
    policy: Policy,
    state: State,
    failures: Meter,
    /// Failures since the connection was last stable.
    attempt: u32,
    /// The pause of the circuit the next time that it opens.
    open_for: Duration,
    ready_since: Option<Duration>,
}

impl Ladder {
    /// A ladder at its foot: idle.
    pub const fn new(policy: Policy) -> Self {
        Self {
            state: State::Idle,
            failures: Meter::new(policy.intensity, policy.period),
            attempt: 0,
            open_for: policy.open_first,
            ready_since: None,
            policy,
        }
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The numbers behind it.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Failures since the connection was last stable.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Failures in the window that ends now.
    pub fn recent_failures(&self, now: Duration) -> usize {
        self.failures.recent(now)
    }

    /// A try begins.
    pub const fn start(&mut self) {
        self.state = match self.state {
            State::Open | State::HalfOpen => State::HalfOpen,
            State::Idle
            | State::Connecting
            | State::Ready
            | State::Backoff
            | State::Draining
            | State::Stopped
            | State::Failed => State::Connecting,
        };
    }

    /// The connection is ready.
    pub const fn ready(&mut self, now: Duration) {
        self.state = State::Ready;
        self.ready_since = Some(now);
    }

    /// Forgets the past if the connection has been ready for the stable period.
    pub fn stable(&mut self, now: Duration) {
        let long =
            self.ready_since.is_some_and(|since| now.saturating_sub(since) >= self.policy.stable);
        if self.state == State::Ready && long {
            self.forget();
        }
    }

    /// A person starts over: the past is forgotten.
    pub fn reset(&mut self) {
        self.forget();
        if matches!(self.state, State::Open | State::HalfOpen | State::Failed | State::Stopped) {
            self.state = State::Idle;
        }
    }

    /// It is being shut down.
    pub const fn drain(&mut self) {
        self.state = State::Draining;
    }

    /// Opens the circuit whatever the window says: its group has had enough.
    pub fn trip(&mut self, jitter: f64) -> Decision {
        self.open(jitter)
    }

    /// The connection ended: moves the state and says what is done. `jitter` is anywhere in
    /// 0 to 1.
    pub fn ended(&mut self, now: Duration, exit: Exit, jitter: f64) -> Decision {
        // What nobody forgot because no timer came in between.
        self.stable(now);
        self.ready_since = None;
        let normal = matches!(exit, Exit::Asked | Exit::Idle);
        let again = match self.policy.restart {
            Restart::Permanent => exit != Exit::Asked,
            Restart::Transient => !normal,
            Restart::Temporary => false,
        };
        if self.state == State::Draining || !again {
            return self.stop();
        }
        match exit {
            Exit::Asked => self.stop(),
            Exit::Idle => {
                self.state = State::Idle;
                Decision::Idle
            }
            Exit::Fatal => self.fail(None),
            Exit::Refused => self.fail(Some(self.policy.refused_probe)),
            Exit::Lost | Exit::RateLimited { .. } | Exit::Bug if !self.policy.reconnect => {
                self.stop()
            }
            Exit::RateLimited { retry_after } => {
                self.failed(now, jitter, Some(retry_after.min(self.policy.cap)))
            }
            Exit::Lost | Exit::Bug => self.failed(now, jitter, None),
        }
    }

    fn failed(&mut self, now: Duration, jitter: f64, asked_for: Option<Duration>) -> Decision {
        let within = self.failures.record(now);
        if self.state == State::HalfOpen || !within {
            return match (self.open(jitter), asked_for) {
                (Decision::Open { after }, Some(least)) => {
                    Decision::Open { after: after.max(least) }
                }
                (decision, _) => decision,
            };
        }
        let attempt = self.attempt;
        self.attempt = self.attempt.saturating_add(1);
        self.state = State::Backoff;
        let base = self.policy.base.min(self.policy.cap);
        let drawn = Backoff::new(base, self.policy.cap)
            .map_or(self.policy.cap, |backoff| backoff.delay(attempt, jitter));
        Decision::Retry { after: asked_for.unwrap_or(drawn) }
    }

    fn open(&mut self, jitter: f64) -> Decision {
        self.state = State::Open;
        // Jitter of 20 % to either side keeps probes of many servers apart.
        let spread = 0.8 + 0.4 * jitter.clamp(0.0, 1.0);
        let after = self.open_for.mul_f64(spread).min(self.policy.cap);
        self.open_for = self.open_for.saturating_mul(2).min(self.policy.cap);
        Decision::Open { after }
    }

    const fn fail(&mut self, probe: Option<Duration>) -> Decision {
        self.state = State::Failed;
        Decision::Fail { probe }
    }

    const fn stop(&mut self) -> Decision {
        self.state = State::Stopped;
        Decision::Stop
    }

    fn forget(&mut self) {
        self.attempt = 0;
        self.failures.clear();
        self.open_for = self.policy.open_first;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Runs a server that fails on every try, and gives the decisions with their times.
    fn failing(policy: Policy, jitters: &[f64]) -> Vec<(Duration, Decision)> {
        let mut ladder = Ladder::new(policy);
        let mut now = Duration::ZERO;
        let mut decisions = Vec::new();
        for jitter in jitters {
            ladder.start();
            let decision = ladder.ended(now, Exit::Lost, *jitter);
            decisions.push((now, decision));
            now += match decision {
                Decision::Retry { after } | Decision::Open { after } => after,
                Decision::Fail { .. } | Decision::Stop | Decision::Idle => return decisions,
            };
        }
        decisions
    }

    proptest! {
        #[test]
        fn intensity_is_never_exceeded_and_every_pause_is_within_bounds(
            jitters in prop::collection::vec(0.0_f64..=1.0, 1..80),
            intensity in 1_u32..8,
            cap in 1_u64..120,
        ) {
            let policy = Policy { intensity, cap: seconds(cap), ..Policy::default() };
            let decisions = failing(policy, &jitters);
            prop_assert_eq!(decisions.len(), jitters.len());
            let mut retries = Vec::new();
            for (now, decision) in decisions {
                let (Decision::Retry { after } | Decision::Open { after }) = decision else {
                    return Err(TestCaseError::fail("a permanent server was given up"));
                };
                prop_assert!(after >= Duration::from_millis(50) && after <= policy.cap);
                if matches!(decision, Decision::Retry { .. }) {
                    retries.push(now);
                    let window = retries.iter().filter(|time| now.saturating_sub(**time) < policy.period);
                    prop_assert!(window.count() <= usize::try_from(intensity).unwrap());
                }
            }
        }

        #[test]
        fn the_past_is_forgotten_only_after_the_stable_period(ready_for in 0_u64..60) {
            let mut ladder = Ladder::new(Policy::default());
            ladder.start();
            ladder.ended(seconds(0), Exit::Lost, 1.0);
            ladder.start();
            ladder.ready(seconds(1));
            ladder.stable(seconds(1 + ready_for));
            prop_assert_eq!(ladder.attempt() == 0, ready_for >= 30);
            let decision = ladder.ended(seconds(1 + ready_for), Exit::Lost, 1.0);
            let bound = if ready_for >= 30 { 250 } else { 500 };
            prop_assert_eq!(decision, Decision::Retry { after: Duration::from_millis(bound) });
        }

        #[test]
        fn what_ended_for_good_is_not_revived_by_another_end(exits in prop::collection::vec(0_usize..3, 1..6)) {
            for first in [Exit::Fatal, Exit::Asked] {
                let mut ladder = Ladder::new(Policy { reconnect: false, ..Policy::default() });
                ladder.start();
                ladder.ended(seconds(0), first, 0.5);
                for exit in &exits {
                    let exit = [Exit::Lost, Exit::Bug, Exit::Fatal][*exit];
                    ladder.ended(seconds(1), exit, 0.5);
                    prop_assert!(matches!(ladder.state(), State::Failed | State::Stopped));
                }
            }
        }
    }

    #[test]
    fn a_circuit_opens_after_too_many_failures_and_probes_ever_more_rarely() {
        let decisions = failing(Policy::default(), &[0.5; 12]);
        let pauses: Vec<u64> = decisions
            .iter()
            .filter_map(|(_, decision)| {
                let Decision::Open { after } = decision else { return None };
                Some(after.as_secs())
            })
            .collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60, 60]);
        assert!(matches!(decisions[4].1, Decision::Retry { .. }));
    }

    #[test]
    fn a_probe_that_succeeds_closes_the_circuit() {
        let mut ladder = Ladder::new(Policy { intensity: 0, ..Policy::default() });
        ladder.start();
        assert!(matches!(ladder.ended(seconds(0), Exit::Lost, 0.5), Decision::Open { .. }));
        ladder.start();
        assert_eq!(ladder.state(), State::HalfOpen);
        ladder.ready(seconds(5));
        assert_eq!(ladder.state(), State::Ready);
    }

    #[test]
    fn restart_types_and_ends_decide_as_in_otp() {
        let end = |restart, reconnect, exit| {
            let mut ladder = Ladder::new(Policy { restart, reconnect, ..Policy::default() });
            ladder.start();
            ladder.ended(seconds(0), exit, 1.0)
        };
        let retry = Decision::Retry { after: Duration::from_millis(250) };
        assert_eq!(end(Restart::Permanent, true, Exit::Lost), retry);
        assert_eq!(end(Restart::Permanent, true, Exit::Bug), retry);
        assert_eq!(end(Restart::Permanent, true, Exit::Idle), Decision::Idle);
        assert_eq!(end(Restart::Permanent, true, Exit::Asked), Decision::Stop);
        assert_eq!(end(Restart::Permanent, false, Exit::Lost), Decision::Stop);
        assert_eq!(end(Restart::Permanent, true, Exit::Fatal), Decision::Fail { probe: None });
        let probe = Some(seconds(600));
        assert_eq!(end(Restart::Permanent, true, Exit::Refused), Decision::Fail { probe });
        let limited = Exit::RateLimited { retry_after: seconds(7) };
        assert_eq!(end(Restart::Permanent, true, limited), Decision::Retry { after: seconds(7) });
        let limited = Exit::RateLimited { retry_after: seconds(3600) };
        assert_eq!(end(Restart::Permanent, true, limited), Decision::Retry { after: seconds(60) });
        assert_eq!(end(Restart::Transient, true, Exit::Idle), Decision::Stop);
        assert_eq!(end(Restart::Transient, true, Exit::Lost), retry);
        assert_eq!(end(Restart::Temporary, true, Exit::Lost), Decision::Stop);
    }

    #[test]
    fn a_reset_starts_over() {
        let mut ladder = Ladder::new(Policy::default());
        ladder.start();
        ladder.ended(seconds(0), Exit::Fatal, 0.5);
        ladder.reset();
        assert_eq!((ladder.state(), ladder.attempt()), (State::Idle, 0));
        ladder.start();
        ladder.drain();
        assert_eq!(ladder.ended(seconds(1), Exit::Lost, 0.5), Decision::Stop);
    }
}
