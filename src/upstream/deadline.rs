//! When a request is given up.
//!
//! Shared by everyone who handles the request; reading and extending it is one atomic operation.
//! It gives up nothing itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Longer than any deadline can mean, and short enough to be added to any instant.
const FOREVER: Duration = Duration::from_hours(30 * 365 * 24);
/// How often a deadline that is held is looked at again.
const HELD_TICK: Duration = Duration::from_secs(1);
/// How long after its deadline a request may still be on its way to an end.
const SLACK: Duration = Duration::from_secs(1);

/// A deadline with two parts: silence may last `idle`, and everything together `total`.
///
/// Clones share it.
#[derive(Clone, Debug)]
pub struct Deadline(Arc<Limits>);

#[derive(Debug)]
struct Limits {
    start: Instant,
    idle: Duration,
    total: Duration,
    /// Nanoseconds from `start`; only ever grows.
    at: AtomicU64,
    /// Who keeps silence from counting.
    holds: AtomicUsize,
}

/// While it lives the silence of a deadline does not count; when it is dropped it starts anew.
#[derive(Debug)]
pub struct Hold(Deadline);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.touch();
        self.0.0.holds.fetch_sub(1, Ordering::Release);
    }
}

impl Deadline {
    /// A deadline that starts now.
    pub fn new(idle: Duration, total: Duration) -> Self {
        Self::since(Instant::now(), idle, total)
    }

    /// A deadline that started then.
    pub fn since(start: Instant, idle: Duration, total: Duration) -> Self {
        let total = total.min(FOREVER);
        let at = AtomicU64::new(nanos(idle.min(total)));
        Self(Arc::new(Limits { start, idle, total, at, holds: AtomicUsize::new(0) }))
    }

    /// Progress was received: the silence starts anew, within the total.
    pub fn touch(&self) {
        let limits = &*self.0;
        let at = limits.start.elapsed().saturating_add(limits.idle);
        limits.at.fetch_max(nanos(at.min(limits.total)), Ordering::Relaxed);
    }

    /// Somebody is asked: until the hold is dropped only the total counts.
    pub fn hold(&self) -> Hold {
        self.0.holds.fetch_add(1, Ordering::Acquire);
        Hold(self.clone())
    }

    /// When it passes, as things stand.
    pub fn at(&self) -> Instant {
        if self.is_held() {
            return self.0.start + self.0.total;
        }
        self.0.start + Duration::from_nanos(self.0.at.load(Ordering::Relaxed))
    }

    /// How long it still is; zero once it has passed.
    pub fn remaining(&self) -> Duration {
        self.at().saturating_duration_since(Instant::now())
    }

    /// Resolves when it has passed, extensions included.
    pub async fn passed(&self) {
        self.passed_by(Duration::ZERO).await;
    }

    /// Resolves when it has passed for so long that whoever should have ended the request did not.
    pub(crate) async fn outlived(&self) {
        self.passed_by(SLACK).await;
    }

    async fn passed_by(&self, slack: Duration) {
        loop {
            let at = self.at() + slack;
            let now = Instant::now();
            if at <= now {
                return;
            }
            // When a hold ends the deadline is nearer than it was.
            sleep_until(if self.is_held() { at.min(now + HELD_TICK) } else { at }).await;
        }
    }

    fn is_held(&self) -> bool {
        self.0.holds.load(Ordering::Acquire) > 0
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_progress_extends_it_up_to_the_total() {
        let start = Instant::now();
        let deadline = Deadline::new(2 * SECOND, 5 * SECOND);
        let shared = deadline.clone();
        let extend = async {
            for _ in 0..10 {
                tokio::time::sleep(SECOND).await;
                shared.touch();
            }
        };
        tokio::select! {
            () = deadline.passed() => {}
            () = extend => panic!("the total did not hold"),
        }
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(deadline.remaining(), Duration::ZERO);

        let deadline = Deadline::new(2 * SECOND, 5 * SECOND);
        deadline.passed().await;
        assert_eq!(start.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn while_it_is_held_only_the_total_counts() {
        let start = Instant::now();
        let deadline = Deadline::new(2 * SECOND, 60 * SECOND);
        let hold = deadline.hold();
        let answered = async {
            tokio::time::sleep(20 * SECOND).await;
            drop(hold);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = deadline.passed() => {}
            () = answered => {}
        }
        assert_eq!(start.elapsed().as_secs(), 22);
        let deadline = Deadline::new(2 * SECOND, 5 * SECOND);
        let _hold = deadline.hold();
        deadline.passed().await;
        assert_eq!(start.elapsed().as_secs(), 27);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_deadline_is_no_overflow() {
        let deadline = Deadline::new(Duration::MAX, Duration::MAX);
        deadline.touch();
        assert!(deadline.remaining() > 1000 * SECOND);
    }
}
