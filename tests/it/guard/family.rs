//! Servers with helpers, all known by a variable of the test's own in their environment.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{binary::PROGRAM, process, wait::until};

const VARIABLE: &str = "SWITCHBOARD_TEST_FAMILY";

/// What a server starts beside itself.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Nothing.
    Single,
    /// A helper in the background.
    Helper,
    /// A helper that leaves group and session.
    Daemon,
}

/// All processes that one test's servers start.
pub struct Family(String);

impl Family {
    pub fn new() -> Self {
        Self(format!("{:032x}", fastrand::u128(..)))
    }

    /// The variable and its value.
    pub fn variable(&self) -> String {
        format!("{VARIABLE}={}", self.0)
    }

    /// The entry of a demonstration server.
    pub fn server(&self, shape: Shape) -> Value {
        let before = match shape {
            Shape::Single => "",
            Shape::Helper => "sleep 1000 &",
            Shape::Daemon => "setsid sleep 1000 &",
        };
        self.shell(&format!("{before} exec {PROGRAM} demo-server"))
    }

    /// The entry of a server that is a shell script.
    pub fn shell(&self, script: &str) -> Value {
        json!({ "command": "sh", "args": ["-c", script], "env": { VARIABLE: self.0 } })
    }

    /// Those that run, zombies not counted.
    pub fn alive(&self) -> Vec<u32> {
        let variable = self.variable();
        let all = process::all().into_iter().map(|one| one.pid);
        all.filter(|pid| {
            let environment = Path::new("/proc").join(pid.to_string()).join("environ");
            let environment = fs::read(environment).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
        })
        .collect()
    }

    /// Waits until none is alive, and fails if that took longer since a moment.
    pub async fn gone_within(&self, limit: Duration, since: Instant) {
        until("none of them is left", async || self.alive().is_empty().then_some(())).await;
        let took = since.elapsed();
        assert!(took < limit, "some were left for {took:?}");
    }
}

impl Drop for Family {
    /// A test that failed leaves nothing either.
    fn drop(&mut self) {
        for pid in self.alive() {
            process::kill(pid);
        }
    }
}
