//! Waiting for a condition, with an end to the patience.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// Long enough for a slow machine, short enough for a person.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer, and fails the test when there is none in time.
///
/// With paused time the asking costs no time at all.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        let mut ticks = interval(Duration::from_millis(20));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    let Ok(answer) = timeout(PATIENCE, asking).await else {
        panic!("{what}: not within {} s", PATIENCE.as_secs());
    };
    answer
}
