//! `slow`: takes its time, reports progress, and stops when it is told to.

use std::time::Duration;

use rmcp::{
    RoleServer,
    model::{CallToolResult, ContentBlock, ProgressNotificationParam, Tool, ToolAnnotations},
    service::RequestContext,
};
use serde::Deserialize;

use super::tool::Outcome;

const MAX_SECONDS: f64 = 3600.0;
const MAX_STEPS: u32 = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slow {
    #[serde(default = "five_seconds")]
    seconds: f64,
    #[serde(default = "five_steps")]
    steps: u32,
}

const fn five_seconds() -> f64 {
    5.0
}

const fn five_steps() -> u32 {
    5
}

impl Slow {
    /// What the schema says, for callers that do not read it.
    pub(super) fn checked(self) -> Result<Self, String> {
        if !(0.0..=MAX_SECONDS).contains(&self.seconds) {
            return Err(format!("seconds must be 0 to {MAX_SECONDS}"));
        }
        if !(1..=MAX_STEPS).contains(&self.steps) {
            return Err(format!("steps must be 1 to {MAX_STEPS}"));
        }
        Ok(self)
    }
}

pub(super) fn definition(name: &'static str) -> Tool {
    let input = rmcp::object!({
        "type": "object",
        "properties": {
            "seconds": {
                "type": "number",
                "minimum": 0,
                "maximum": MAX_SECONDS,
                "default": five_seconds(),
                "description": "How long to take in all."
            },
            "steps": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_STEPS,
                "default": five_steps(),
                "description": "How often to report progress on the way."
            }
        },
        "additionalProperties": false
    });
    let hints = ToolAnnotations::new().read_only(true).destructive(false).open_world(false);
    let description = "Waits, reporting progress at each step if the caller asked for progress. \
                       It can be cancelled.";
    Tool::new(name, description, input).with_title("Slow work").with_annotations(hints)
}

pub(super) async fn run(
    Slow { seconds, steps }: Slow,
    context: RequestContext<RoleServer>,
) -> Outcome {
    let step = Duration::from_secs_f64(seconds / f64::from(steps));
    for done in 1..=steps {
        tokio::select! {
            () = tokio::time::sleep(step) => {}
            () = context.ct.cancelled() => return Err(format!("cancelled at step {done} of {steps}")),
        }
        if let Some(token) = context.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, f64::from(done))
                .with_total(f64::from(steps))
                .with_message(format!("step {done} of {steps}"));
            // Progress is a hint: a client that is gone is noticed by the connection itself.
            context.peer.notify_progress(progress).await.ok();
        }
    }
    let said = format!("{steps} steps in {seconds} s");
    Ok(CallToolResult::success(vec![ContentBlock::text(said)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_schema_forbids_is_refused() {
        let slow = |seconds, steps| Slow { seconds, steps }.checked();
        assert!(slow(0.0, 1).is_ok());
        for (seconds, steps) in [(-1.0, 1), (f64::NAN, 1), (3601.0, 1), (1.0, 0), (1.0, 1001)] {
            assert!(slow(seconds, steps).is_err(), "{seconds} {steps}");
        }
    }
}
