//! What becomes of a call whose task cannot be asked for, or says nothing of use: it may have run,
//! so its outcome is unknown.
//!
//! An error in place of an answer about a task is never the call's own.

use tokio::time::Instant;

use crate::{
    access::{CallError, Delivery, Failure},
    error::Kind,
    id::{Incarnation, ServerName},
    wire::envelope::code,
};

/// Errors of a server's own in a row that count as a bad moment of its.
const BAD_MOMENTS: u32 = 5;

/// Who made a task, and when.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) server: ServerName,
    incarnation: Incarnation,
    at: Instant,
}

impl Made {
    /// By this life of a server, just now.
    pub(super) fn now(server: ServerName, incarnation: Incarnation) -> Self {
        Self { server, incarnation, at: Instant::now() }
    }
}

/// What an error in place of an answer about a task is to the task's call; `None` where the task
/// may be asked for again. `before` says how many errors of the server's own came before this one.
pub(super) fn lost(made: &Made, error: &CallError, before: u32) -> Option<CallError> {
    let what = match error {
        CallError::Failed(failure) if is_passing(failure.kind) => return None,
        CallError::Server { error, .. } if is_bad_moment(error.code()) && before < BAD_MOMENTS => {
            return None;
        }
        CallError::Server { error, .. } if error.code() == code::INVALID_PARAMS => {
            "no longer knows the task that it made of this call; nobody knows what came of it"
        }
        CallError::Failed(_) | CallError::Server { .. } => {
            "made a task of this call and gives no usable answer about it; nobody knows what came \
             of it, check before repeating"
        }
        CallError::UnknownTool { .. }
        | CallError::Unknown { .. }
        | CallError::UnknownMethod(_)
        | CallError::TooMany { .. }
        | CallError::Invalid(_)
        | CallError::Draining => {
            "made a task of this call and can no longer be asked for it; nobody knows what came of \
             it"
        }
    };
    Some(failed(made, Kind::OutcomeUnknown, what))
}

/// An answer about a task that says nothing of use.
pub(super) fn unusable(made: &Made, why: &str) -> CallError {
    let what = format!(
        "made a task of this call and {why}; nobody knows what came of it, check before repeating"
    );
    failed(made, Kind::OutcomeUnknown, &what)
}

/// A failed call that had gone to its server.
pub(super) fn failed(made: &Made, kind: Kind, what: &str) -> CallError {
    CallError::Failed(Failure {
        kind,
        text: format!("{} {what}", made.server),
        server: made.server.clone(),
        incarnation: made.incarnation,
        phase: Delivery::Written,
        written: Some(made.at.elapsed()),
        retry_after: None,
    })
}

/// Whether a failure on our side of the server may pass: it may come back, and then decides
/// whether the task is still there.
fn is_passing(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Limited | Kind::Overloaded | Kind::Unavailable | Kind::Timeout | Kind::OutcomeUnknown
    )
}

/// Whether an error of a server's own says nothing about the request.
fn is_bad_moment(error: i64) -> bool {
    !matches!(
        error,
        code::INVALID_REQUEST
            | code::METHOD_NOT_FOUND
            | code::INVALID_PARAMS
            | code::MISSING_CAPABILITY
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Classify as _, wire::ErrorObject};

    #[test]
    fn a_task_that_cannot_be_asked_for_leaves_an_unknown_outcome_or_is_asked_for_again() {
        let server = ServerName::new("s").unwrap();
        let made = Made::now(server.clone(), Incarnation(3));
        let of_server = |code| {
            let error = ErrorObject::new(code, "m");
            CallError::Server { server: server.clone(), error }
        };
        let ours = |kind| failed(&made, kind, "x");
        let again = [
            (ours(Kind::Timeout), 0),
            (ours(Kind::Unavailable), u32::MAX),
            (ours(Kind::Overloaded), u32::MAX),
            (ours(Kind::Limited), 0),
            (ours(Kind::OutcomeUnknown), 0),
            (of_server(code::INTERNAL), 0),
            (of_server(code::INTERNAL), BAD_MOMENTS - 1),
            (of_server(-7), 0),
            (of_server(code::HEADER_MISMATCH), 0),
        ];
        for (error, before) in again {
            assert!(lost(&made, &error, before).is_none(), "{error:?} after {before}");
        }
        let over = [
            (ours(Kind::Upstream), 0, "no usable answer"),
            (ours(Kind::Internal), 0, "no usable answer"),
            (ours(Kind::Denied), 0, "no usable answer"),
            (of_server(code::INTERNAL), BAD_MOMENTS, "no usable answer"),
            (of_server(-7), u32::MAX, "no usable answer"),
            (of_server(code::METHOD_NOT_FOUND), 0, "no usable answer"),
            (of_server(code::INVALID_REQUEST), 0, "no usable answer"),
            (of_server(code::MISSING_CAPABILITY), 0, "no usable answer"),
            (of_server(code::INVALID_PARAMS), 0, "no longer knows"),
            (of_server(code::INVALID_PARAMS), u32::MAX, "no longer knows"),
            (CallError::Draining, 0, "can no longer be asked"),
            (CallError::Invalid("m".to_owned()), 0, "can no longer be asked"),
            (CallError::UnknownMethod("m".to_owned()), 0, "can no longer be asked"),
            (CallError::TooMany { what: "x", limit: 1 }, 0, "can no longer be asked"),
            (
                CallError::Unknown { what: "agent", name: "a".to_owned(), near: None },
                0,
                "can no longer be asked",
            ),
            (
                CallError::UnknownTool { name: "t".to_owned(), near: None },
                0,
                "can no longer be asked",
            ),
        ];
        for (error, before, words) in over {
            let told = lost(&made, &error, before).unwrap();
            assert_eq!(told.kind(), Kind::OutcomeUnknown, "{error:?} after {before}");
            assert!(told.to_string().contains(words), "{error:?}: {told}");
            let CallError::Failed(failure) = told else { panic!("{told}") };
            assert_eq!(failure.incarnation, Incarnation(3), "of the life that made it");
            assert!(failure.written.is_some());
        }
    }
}
