//! Bounded exponential backoff with full jitter.
//!
//! Full jitter (a pause anywhere between nothing and the exponential bound) spreads a herd best;
//! see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

/// The shortest pause: a crash loop must leave the machine idle between tries.
const FLOOR: Duration = Duration::from_millis(50);

/// Pauses between tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

/// A backoff that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackoffError {
    /// Without a base every pause is nothing.
    #[error("the base of a backoff must not be zero")]
    ZeroBase,
    /// No pause can be both.
    #[error("the cap of a backoff must not be below its base")]
    CapBelowBase,
}

impl Backoff {
    /// Pauses up to `base` after the first failure, doubling, never above `cap`.
    ///
    /// # Errors
    /// [`BackoffError`] for a zero base or a cap below it.
    pub const fn new(base: Duration, cap: Duration) -> Result<Self, BackoffError> {
        if base.is_zero() {
            return Err(BackoffError::ZeroBase);
        }
        if cap.as_nanos() < base.as_nanos() {
            return Err(BackoffError::CapBelowBase);
        }
        Ok(Self { base, cap })
    }

    /// The longest pause.
    pub const fn cap(&self) -> Duration {
        self.cap
    }

    /// The pause after the given number of failures before this one; `jitter` is anywhere in
    /// 0 to 1.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let bound = 2_u32
            .checked_pow(attempt)
            .and_then(|factor| self.base.checked_mul(factor))
            .map_or(self.cap, |bound| bound.min(self.cap));
        bound.mul_f64(jitter.clamp(0.0, 1.0)).max(FLOOR).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_pause_is_within_bounds(
            base in 1_u64..10_000, more in 0_u64..100_000, attempt: u32, jitter in 0.0_f64..=1.0,
        ) {
            let cap = Duration::from_millis(base + more);
            let backoff = Backoff::new(Duration::from_millis(base), cap).unwrap();
            let pause = backoff.delay(attempt, jitter);
            prop_assert!(pause <= cap);
            prop_assert!(pause >= FLOOR.min(cap));
        }
    }

    #[test]
    fn the_bound_doubles_until_the_cap() {
        let backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2)).unwrap();
        let bounds = [250, 500, 1000, 2000, 2000].map(Duration::from_millis);
        for (attempt, bound) in (0..).zip(bounds) {
            assert_eq!(backoff.delay(attempt, 1.0), bound);
        }
        assert_eq!(backoff.delay(40, 0.0), FLOOR);
        assert_eq!(Backoff::new(Duration::ZERO, FLOOR), Err(BackoffError::ZeroBase));
        assert_eq!(Backoff::new(FLOOR, Duration::ZERO), Err(BackoffError::CapBelowBase));
    }
}
