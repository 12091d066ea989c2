//! Intensity: at most so many failures in a period, OTP's window.
//!
//! A meter belongs to whoever counts. It only counts; what an exceeded intensity means is decided
//! by its owner.

use std::{collections::VecDeque, time::Duration};

/// Counts what happens, over a sliding window.
///
/// It remembers `intensity + 1` times at most, which is all that the answer needs.
#[derive(Clone, Debug)]
pub struct Meter {
    intensity: u32,
    period: Duration,
    times: VecDeque<Duration>,
}

impl Meter {
    /// A meter that is exceeded by more than `intensity` records within `period`.
    pub fn new(intensity: u32, period: Duration) -> Self {
        Self { intensity, period, times: VecDeque::new() }
    }

    /// Records one occurrence. True while the intensity is kept, false once it is exceeded.
    /// Times are expected in their order.
    pub fn record(&mut self, now: Duration) -> bool {
        let period = self.period;
        self.times.retain(|time| within(*time, now, period));
        let intensity = usize::try_from(self.intensity).unwrap_or(usize::MAX);
        if self.times.len() > intensity {
            self.times.pop_front();
        }
        self.times.push_back(now);
        self.times.len() <= intensity
    }

    /// How many were recorded in the period before `now`; more than `intensity + 1` count as
    /// `intensity + 1`.
    pub fn recent(&self, now: Duration) -> usize {
        self.times.iter().filter(|time| within(**time, now, self.period)).count()
    }

    /// Occurrences allowed within the period.
    pub const fn intensity(&self) -> u32 {
        self.intensity
    }

    /// The window.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.times.clear();
    }
}

/// A time exactly one period ago still counts, as in OTP.
fn within(time: Duration, now: Duration, period: Duration) -> bool {
    now.saturating_sub(time) <= period
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_window_slides() {
        let mut meter = Meter::new(2, seconds(10));
        assert!(meter.record(seconds(0)));
        assert!(meter.record(seconds(5)));
        assert!(!meter.record(seconds(10)), "exactly one period is inside");
        assert_eq!(meter.recent(seconds(10)), 3);
        assert_eq!(meter.recent(seconds(16)), 1);
        assert!(meter.record(seconds(16)));
        meter.clear();
        assert_eq!(meter.recent(seconds(16)), 0);
    }

    #[test]
    fn intensity_zero_allows_nothing() {
        assert!(!Meter::new(0, seconds(60)).record(seconds(1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_answer_is_that_of_a_full_history_and_memory_is_bounded(
            intensity in 0_u32..6,
            period in 0_u64..2000,
            pauses in prop::collection::vec(0_u64..1000, 1..60),
        ) {
            let mut meter = Meter::new(intensity, Duration::from_millis(period));
            let mut history: Vec<u64> = Vec::new();
            let mut now = 0;
            for pause in pauses {
                now += pause;
                history.push(now);
                let inside = history.iter().filter(|time| now - **time <= period).count();
                let kept = inside <= intensity as usize;
                prop_assert_eq!(meter.record(Duration::from_millis(now)), kept);
                prop_assert!(meter.times.len() <= intensity as usize + 1);
            }
        }
    }
}
