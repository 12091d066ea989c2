//! Intensity: at most so many events in a period (OTP's window).
//!
//! Bounded memory: it never holds more times than it takes to know that there were too many.

use std::{collections::VecDeque, time::Duration};

/// Counts events in a sliding window.
#[derive(Clone, Debug)]
pub struct Meter {
    intensity: u32,
    period: Duration,
    times: VecDeque<Duration>,
}

impl Meter {
    /// A meter that allows `intensity` events in `period`.
    pub const fn new(intensity: u32, period: Duration) -> Self {
        Self { intensity, period, times: VecDeque::new() }
    }

    /// Counts an event at `now`, a time since an origin of the caller's that never goes back.
    /// False if there were more than `intensity` in the period that ends now.
    pub fn record(&mut self, now: Duration) -> bool {
        self.forget(now);
        self.times.push_back(now);
        let limit = usize::try_from(self.intensity).unwrap_or(usize::MAX);
        if self.times.len() <= limit {
            return true;
        }
        self.times.pop_front();
        false
    }

    /// Events in the period that ends at `now`, up to the intensity.
    pub fn recent(&self, now: Duration) -> usize {
        self.times.iter().filter(|time| now.saturating_sub(**time) < self.period).count()
    }

    /// Forgets all events.
    pub fn clear(&mut self) {
        self.times.clear();
    }

    /// Events allowed in the period.
    pub const fn intensity(&self) -> u32 {
        self.intensity
    }

    /// The window.
    pub const fn period(&self) -> Duration {
        self.period
    }

    fn forget(&mut self, now: Duration) {
        while self.times.front().is_some_and(|time| now.saturating_sub(*time) >= self.period) {
            self.times.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_holds_more_allowed_events_than_the_intensity(
            intensity in 0_u32..6,
            gaps in prop::collection::vec(0_u64..40, 1..200),
        ) {
            let period = Duration::from_millis(100);
            let mut meter = Meter::new(intensity, period);
            let (mut now, mut allowed) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if meter.record(now) {
                    allowed.push(now);
                }
                let in_window = allowed.iter().filter(|time| now.saturating_sub(**time) < period);
                prop_assert!(in_window.count() <= usize::try_from(intensity).unwrap());
                prop_assert!(meter.times.len() <= usize::try_from(intensity).unwrap());
            }
        }
    }

    #[test]
    fn events_older_than_the_period_do_not_count() {
        let mut meter = Meter::new(1, Duration::from_secs(10));
        assert!(meter.record(Duration::from_secs(0)));
        assert!(!meter.record(Duration::from_secs(9)));
        assert_eq!(meter.recent(Duration::from_secs(10)), 1);
        assert!(meter.record(Duration::from_secs(20)));
        meter.clear();
        assert_eq!(meter.recent(Duration::from_secs(20)), 0);
    }
}
