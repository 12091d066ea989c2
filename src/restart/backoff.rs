//! Backoff: exponential with full jitter, bounded on both sides.
//!
//! A value that computes pauses. It counts nothing and draws no random number.

use std::time::Duration;

/// No pause is shorter than this, unless the cap is.
pub const FLOOR: Duration = Duration::from_millis(50);

/// Pauses that grow from a base up to a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

/// A backoff that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackoffError {
    /// A base or cap of zero, which would be no pause at all.
    #[error("a backoff of zero would try again without a pause; give a base and a cap above zero")]
    Zero,
    /// The first pause is longer than the longest.
    #[error(
        "the first pause {base:?} is longer than the longest, {cap:?}; lower it or raise the cap"
    )]
    BaseAboveCap {
        /// The first pause.
        base: Duration,
        /// The longest one.
        cap: Duration,
    },
}

impl Default for Backoff {
    /// From 250 ms to 60 s.
    fn default() -> Self {
        Self { base: Duration::from_millis(250), cap: Duration::from_mins(1) }
    }
}

impl Backoff {
    /// Pauses from `base`, doubling up to `cap`.
    ///
    /// # Errors
    /// [`BackoffError`] if one of them is zero or the base exceeds the cap.
    pub fn new(base: Duration, cap: Duration) -> Result<Self, BackoffError> {
        if base.is_zero() || cap.is_zero() {
            return Err(BackoffError::Zero);
        }
        if base > cap {
            return Err(BackoffError::BaseAboveCap { base, cap });
        }
        Ok(Self { base, cap })
    }

    /// The longest pause.
    pub const fn cap(&self) -> Duration {
        self.cap
    }

    /// The pause before the try after `attempt` earlier ones, 0 for the first. Full jitter: any
    /// time from 0 to `base * 2^attempt`, as `jitter` from 0 to 1 says; within [`FLOOR`] and cap.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        self.bounded(scaled(doubled(self.base, attempt).min(self.cap), jitter))
    }

    /// The pause itself where it lies within [`FLOOR`] and cap, else the bound that it passed.
    pub fn bounded(&self, pause: Duration) -> Duration {
        pause.max(FLOOR).min(self.cap)
    }
}

/// A pause doubled so many times, without overflow.
pub(super) fn doubled(pause: Duration, times: u32) -> Duration {
    2_u32.checked_pow(times).and_then(|factor| pause.checked_mul(factor)).unwrap_or(Duration::MAX)
}

/// A fraction of a pause. A factor outside 0 to 1 counts as the nearer end, and one that is no
/// number as 1, so that a caller's mistake never shortens a pause.
pub(super) fn scaled(pause: Duration, factor: f64) -> Duration {
    let factor = if factor.is_nan() { 1.0 } else { factor.clamp(0.0, 1.0) };
    Duration::try_from_secs_f64(pause.as_secs_f64() * factor).unwrap_or(pause).min(pause)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: Duration = Duration::from_millis(250);
    const CAP: Duration = Duration::from_mins(1);

    #[test]
    fn pauses_double_up_to_the_cap() {
        let backoff = Backoff::new(BASE, CAP).unwrap();
        let longest: Vec<u128> = (0..10).map(|n| backoff.delay(n, 1.0).as_millis()).collect();
        assert_eq!(longest, [250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!(backoff.delay(u32::MAX, 1.0), CAP);
        assert_eq!(backoff.delay(3, 0.5), Duration::from_secs(1));
    }

    #[test]
    fn no_pause_is_shorter_than_the_floor_or_longer_than_the_cap() {
        let backoff = Backoff::new(BASE, CAP).unwrap();
        assert_eq!(backoff.delay(0, 0.0), FLOOR);
        let cap = Duration::from_millis(10);
        assert_eq!(Backoff::new(cap, cap).unwrap().delay(5, 0.0), cap);
        let longest = Backoff::new(BASE, Duration::MAX).unwrap();
        assert_eq!(longest.delay(u32::MAX, 1.0), Duration::MAX);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Backoff::new(Duration::ZERO, CAP), Err(BackoffError::Zero));
        assert_eq!(Backoff::new(BASE, Duration::ZERO), Err(BackoffError::Zero));
        assert_eq!(
            Backoff::new(CAP, BASE).unwrap_err().to_string(),
            "the first pause 60s is longer than the longest, 250ms; lower it or raise the cap"
        );
        assert!(Backoff::new(CAP, CAP).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn every_pause_lies_within_its_bounds_whatever_the_jitter(
            base in 1_u64..10_000,
            above in 0_u64..100_000,
            attempt in prop_oneof![0_u32..40, Just(u32::MAX)],
            jitter in prop_oneof![0.0..=1.0, Just(f64::NAN), Just(f64::INFINITY), Just(-1.0)],
        ) {
            let cap = Duration::from_millis(base + above);
            let pause = Backoff::new(Duration::from_millis(base), cap)
                .unwrap()
                .delay(attempt, jitter);
            prop_assert!(pause <= cap);
            prop_assert!(pause >= FLOOR.min(cap));
        }
    }
}
