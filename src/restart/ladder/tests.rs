//! The ladder's rules, one by one and under random histories.

use super::*;
use crate::restart::backoff::FLOOR;

mod histories;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn connecting(policy: Policy) -> Ladder {
    let mut ladder = Ladder::new(policy);
    ladder.start();
    ladder
}

fn ready(policy: Policy, now: Duration) -> Ladder {
    let mut ladder = connecting(policy);
    ladder.ready(now);
    ladder
}

/// Fails until the circuit opens, without time passing.
fn open(policy: Policy) -> Ladder {
    let mut ladder = connecting(policy);
    for _ in 0..ladder.policy().intensity {
        ladder.ended(Duration::ZERO, Exit::Lost, 0.5);
        ladder.start();
    }
    ladder.ended(Duration::ZERO, Exit::Lost, 0.5);
    assert_eq!(ladder.state(), State::Open);
    ladder
}

fn open_pause(decision: Decision) -> Duration {
    if let Decision::Open { after } = decision {
        return after;
    }
    panic!("the circuit should be open: {decision:?}");
}

fn with_restart(restart: Restart) -> Policy {
    Policy { restart, ..Policy::default() }
}

#[test]
fn losses_back_off_and_the_sixth_in_a_minute_opens_the_circuit() {
    let mut ladder = ready(Policy::default(), Duration::ZERO);
    for millis in [250, 500, 1000, 2000, 4000] {
        let after = Duration::from_millis(millis);
        let decision = ladder.ended(seconds(1), Exit::Lost, 1.0);
        assert_eq!(decision, Decision::Retry { after });
        assert_eq!(ladder.state(), State::Backoff);
        ladder.start();
        assert_eq!(ladder.state(), State::Connecting);
    }
    let decision = ladder.ended(seconds(2), Exit::Lost, 0.5);
    assert_eq!(decision, Decision::Open { after: seconds(5) });
    assert_eq!(ladder.state(), State::Open);
    assert_eq!((ladder.attempt(), ladder.recent_failures(seconds(2))), (6, 6));
}

#[test]
fn failing_probes_double_their_pause_up_to_the_cap() {
    let mut ladder = open(Policy::default());
    let mut pauses = Vec::new();
    for minute in 10..16 {
        ladder.start();
        assert_eq!(ladder.state(), State::HalfOpen);
        // Long after the window: a failing probe opens the circuit again all the same.
        pauses.push(open_pause(ladder.ended(seconds(60 * minute), Exit::Lost, 0.5)).as_secs());
    }
    assert_eq!(pauses, [10, 20, 40, 50, 50, 50]);
    for (jitter, millis) in [(0.0, 40_000), (1.0, 60_000)] {
        ladder.start();
        let after = Duration::from_millis(millis);
        let decision = ladder.ended(seconds(2000), Exit::Lost, jitter);
        assert_eq!(decision, Decision::Open { after });
    }
}

#[test]
fn a_probe_that_succeeds_closes_the_circuit_and_stability_forgets_it() {
    let mut ladder = open(Policy::default());
    ladder.start();
    ladder.ready(seconds(100));
    assert_eq!(ladder.state(), State::Ready);
    ladder.stable(seconds(129));
    assert_eq!(ladder.attempt(), 6, "too early");
    ladder.stable(seconds(130));
    assert_eq!(ladder.attempt(), 0);
    let after = Duration::from_millis(250);
    let decision = ladder.ended(seconds(131), Exit::Lost, 1.0);
    assert_eq!(decision, Decision::Retry { after });
}

#[test]
fn a_stale_stable_timer_does_not_reset_a_younger_connection() {
    let mut ladder = ready(Policy::default(), Duration::ZERO);
    ladder.ended(seconds(20), Exit::Lost, 0.5);
    ladder.stable(seconds(31));
    assert_eq!(ladder.attempt(), 1, "not ready");
    ladder.start();
    ladder.ready(seconds(25));
    ladder.stable(seconds(31));
    assert_eq!(ladder.attempt(), 1, "ready for six seconds only");
}

#[test]
fn retry_after_wins_within_the_cap_and_never_shortens_an_open_circuit() {
    let limited = |retry_after| Exit::RateLimited { retry_after };
    for (wanted, after) in
        [(seconds(7), seconds(7)), (seconds(3600), seconds(60)), (Duration::ZERO, FLOOR)]
    {
        let mut ladder = connecting(Policy::default());
        let decision = ladder.ended(Duration::ZERO, limited(wanted), 0.0);
        assert_eq!(decision, Decision::Retry { after });
    }
    for (wanted, after) in [(seconds(1), seconds(10)), (seconds(30), seconds(30))] {
        let mut ladder = open(Policy::default());
        ladder.start();
        let decision = ladder.ended(Duration::ZERO, limited(wanted), 0.5);
        assert_eq!(decision, Decision::Open { after });
    }
}

#[test]
fn what_trying_again_cannot_help_is_failed() {
    let mut ladder = connecting(Policy::default());
    let decision = ladder.ended(Duration::ZERO, Exit::Fatal, 0.5);
    assert_eq!(decision, Decision::Fail { probe: None });
    assert_eq!(ladder.state(), State::Failed);

    let mut ladder = connecting(Policy::default());
    let decision = ladder.ended(Duration::ZERO, Exit::Refused, 0.5);
    let probe = Some(seconds(600));
    assert_eq!(decision, Decision::Fail { probe });
    ladder.start();
    assert_eq!(ladder.state(), State::Connecting, "the slow probe");
}

#[test]
fn a_program_that_is_missing_is_looked_for_with_growing_pauses() {
    let mut ladder = connecting(Policy::default());
    for after in [5, 10, 20, 40, 50, 50] {
        let decision = ladder.ended(Duration::ZERO, Exit::Absent, 0.5);
        assert_eq!(decision, Decision::Fail { probe: Some(seconds(after)) });
        assert_eq!(ladder.state(), State::Failed);
        ladder.start();
        assert_eq!(ladder.state(), State::Connecting);
    }
    ladder.ready(Duration::ZERO);
    assert_eq!(ladder.recent_failures(Duration::ZERO), 0);
}

#[test]
fn a_server_that_hangs_at_every_start_opens_its_circuit() {
    let mut ladder = Ladder::new(Policy::default());
    for hung in 1_u64..=6 {
        ladder.start();
        let decision = ladder.ended(seconds(hung * 100), Exit::Lost, 0.5);
        assert_eq!(matches!(decision, Decision::Open { .. }), hung == 6, "{hung}: {decision:?}");
    }
}

#[test]
fn without_reconnection_a_lost_connection_stays_stopped_until_it_is_started() {
    let policy = Policy { reconnect: false, ..Policy::default() };
    let mut ladder = ready(policy.clone(), Duration::ZERO);
    assert_eq!(ladder.ended(seconds(1), Exit::Lost, 0.5), Decision::Stop);
    assert_eq!(ladder.state(), State::Stopped);
    ladder.start();
    assert_eq!(ladder.state(), State::Connecting);
    let decision = connecting(policy.clone()).ended(seconds(1), Exit::Refused, 0.5);
    assert_eq!(decision, Decision::Fail { probe: None });
    assert_eq!(connecting(policy).ended(seconds(1), Exit::Absent, 0.5), Decision::Stop);
}

#[test]
fn the_restart_type_decides_which_ends_are_followed_by_a_start() {
    let after = Duration::from_millis(250);
    let retry = Decision::Retry { after };
    for (restart, idle, lost) in [
        (Restart::Permanent, Decision::Idle, retry),
        (Restart::Transient, Decision::Stop, retry),
        (Restart::Temporary, Decision::Stop, Decision::Stop),
    ] {
        let end = |exit| ready(with_restart(restart), Duration::ZERO).ended(seconds(1), exit, 1.0);
        assert_eq!(end(Exit::Idle), idle, "{restart:?}");
        assert_eq!(end(Exit::Lost), lost, "{restart:?}");
        assert_eq!(end(Exit::Bug), lost, "{restart:?}");
        assert_eq!(end(Exit::Asked), Decision::Stop, "{restart:?}");
    }
}

#[test]
fn draining_ends_without_a_failure() {
    let mut ladder = ready(Policy::default(), Duration::ZERO);
    ladder.drain();
    assert_eq!(ladder.state(), State::Draining);
    assert_eq!(ladder.ended(seconds(1), Exit::Lost, 0.5), Decision::Stop);
    assert_eq!(ladder.attempt(), 0);

    let mut ladder = ready(Policy::default(), Duration::ZERO);
    ladder.drain();
    assert_eq!(ladder.ended(seconds(1), Exit::Idle, 0.5), Decision::Idle);

    let mut waiting = Ladder::new(Policy::default());
    waiting.drain();
    assert_eq!(waiting.state(), State::Idle, "there is nothing to drain");
}

#[test]
fn a_reset_is_a_fresh_beginning() {
    let mut ladder = open(Policy::default());
    ladder.reset();
    assert_eq!((ladder.state(), ladder.attempt()), (State::Idle, 0));
    ladder.start();
    assert_eq!(ladder.state(), State::Connecting, "no probe");

    let mut ladder = open(Policy::default());
    ladder.start();
    ladder.reset();
    assert_eq!(ladder.state(), State::Connecting, "no longer a probe");
    ladder.stop();
    ladder.reset();
    assert_eq!(ladder.state(), State::Idle);
}

#[test]
fn a_new_policy_holds_from_the_next_end_on() {
    let mut ladder = ready(Policy::default(), Duration::ZERO);
    ladder.ended(Duration::ZERO, Exit::Lost, 0.5);
    ladder.start();
    ladder.set_policy(Policy { base: seconds(10), cap: seconds(15), ..Policy::default() });
    assert_eq!(ladder.recent_failures(Duration::ZERO), 1);
    let decision = ladder.ended(Duration::ZERO, Exit::Lost, 1.0);
    assert_eq!(decision, Decision::Retry { after: seconds(15) });
}

#[test]
fn pauses_of_zero_are_never_made() {
    let policy = Policy { cap: Duration::ZERO, ..Policy::default() };
    let after = Duration::from_millis(250);
    let decision = connecting(policy).ended(Duration::ZERO, Exit::Lost, 1.0);
    assert_eq!(decision, Decision::Retry { after });
}

#[test]
fn a_tripped_circuit_is_open_and_probes_like_any_other() {
    let mut ladder = Ladder::new(Policy::default());
    ladder.start();
    ladder.ready(Duration::ZERO);
    ladder.ended(Duration::ZERO, Exit::Lost, 0.5);
    let decision = ladder.trip(0.5);
    assert_eq!(decision, Decision::Open { after: Duration::from_secs(5) });
    assert_eq!(ladder.state(), State::Open);
    ladder.start();
    assert_eq!(ladder.state(), State::HalfOpen);
}

#[test]
fn tries_before_it_was_ready_do_not_count_against_its_next_loss() {
    let mut ladder = Ladder::new(Policy::default());
    let mut now = Duration::ZERO;
    for _ in 0..5 {
        ladder.start();
        now += seconds(1);
        assert!(matches!(ladder.ended(now, Exit::Lost, 0.5), Decision::Retry { .. }));
    }
    ladder.start();
    ladder.ready(now);
    assert_eq!(ladder.recent_failures(now), 0);
    // Losses count: the sixth within the period opens the circuit.
    for loss in 1..=6 {
        now += seconds(1);
        let decision = ladder.ended(now, Exit::Lost, 0.5);
        assert_eq!(matches!(decision, Decision::Open { .. }), loss == 6, "{loss}: {decision:?}");
        ladder.start();
        ladder.ready(now);
    }
}
