//! Which seeds a test of random things runs, as the environment says.

use std::{env, ops::Range};

/// The number in an environment variable, if it is set.
pub fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// The one seed of `SWITCHBOARD_SEED`, else as many as a variable says.
pub fn of_runs(variable: &str, runs: u64) -> Range<u64> {
    match number("SWITCHBOARD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number(variable).unwrap_or(runs),
    }
}
