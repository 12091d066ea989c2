//! How the program ends: which code stands for which failure.
//!
//! One table. Codes are those of `sysexits.h` where it has one.

use std::process::ExitCode;

use anyhow::Error;

use super::{control::ControlError, output};
use crate::{
    app::state::StateError,
    config::ConfigErrors,
    face::{control::ControlError as SocketError, http::HttpFaceError},
    runtime::SpawnError,
};

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 69;
const TRY_AGAIN: u8 = 75;
const CONFIGURATION: u8 = 78;

/// An argument that cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub(super) String);

/// Says on standard error why the program failed, and gives the code to end with.
pub fn report(error: &Error) -> ExitCode {
    match error.downcast_ref::<ConfigErrors>() {
        Some(errors) => configuration(errors),
        None => output::error(&format!("{error:#}")),
    }
    ExitCode::from(code(error))
}

/// Every problem on a line of its own.
fn configuration(errors: &ConfigErrors) {
    for warning in &errors.warnings {
        output::warning(&warning.to_string());
    }
    for problem in &errors.problems {
        output::error(&problem.to_string());
    }
}

/// The command ran, and what it did failed.
pub(super) fn failure() -> ExitCode {
    ExitCode::from(FAILURE)
}

/// 0 where help was asked for, else the code of wrong usage.
pub(super) fn of_clap(error: &clap::Error) -> ExitCode {
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

fn code(error: &Error) -> u8 {
    let known = error.chain().find_map(|cause| {
        if cause.is::<Usage>() {
            Some(USAGE)
        } else if let Some(ControlError::NoInstance { .. }) = cause.downcast_ref() {
            Some(UNAVAILABLE)
        } else if let Some(error) = cause.downcast_ref::<StateError>() {
            Some(of_state(error))
        } else if let Some(SocketError::Bind { .. }) = cause.downcast_ref() {
            Some(CONFIGURATION)
        } else if let Some(ControlError::Configuration(_)) = cause.downcast_ref() {
            Some(CONFIGURATION)
        } else if let Some(HttpFaceError::Entry { .. }) = cause.downcast_ref() {
            Some(CONFIGURATION)
        } else if cause.is::<ConfigErrors>() || is_of_configuration(cause.downcast_ref()) {
            Some(CONFIGURATION)
        } else {
            None
        }
    });
    known.unwrap_or(FAILURE)
}

/// A directory that another instance has is free again some time; one that cannot be used is not.
const fn of_state(error: &StateError) -> u8 {
    match error {
        StateError::Locked { .. } => TRY_AGAIN,
        StateError::Homeless | StateError::Unusable { .. } => CONFIGURATION,
    }
}

/// Whether the runtime refused what it was configured to run.
fn is_of_configuration(error: Option<&SpawnError>) -> bool {
    error.is_some_and(|error| match error {
        SpawnError::Filter { .. }
        | SpawnError::UnknownServer { .. }
        | SpawnError::Ambiguous { .. }
        | SpawnError::NoConnector(_)
        | SpawnError::Added { .. } => true,
        SpawnError::Tree(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::config::Files;

    #[test]
    fn every_failure_has_the_code_of_the_contract() {
        let no_instance = ControlError::NoInstance { socket: "/s/control.sock".into() };
        let locked = StateError::Locked { directory: "/s".into(), pid: Some(7) };
        let unusable = StateError::Unusable {
            directory: "/s".into(),
            source: std::io::ErrorKind::PermissionDenied.into(),
        };
        let configuration = ConfigErrors {
            problems: Vec::new(),
            warnings: Vec::new(),
            looked_for: Files::default(),
        };
        for (error, expected) in [
            (Error::msg("anything else"), 1),
            (Error::new(Usage("no".to_owned())), 2),
            (Error::new(no_instance), 69),
            (Error::new(locked), 75),
            (Error::new(unusable), 78),
            (Error::new(configuration), 78),
        ] {
            assert_eq!(code(&error), expected, "{error}");
            let wrapped = Err::<(), _>(error).context("failed to do it").unwrap_err();
            assert_eq!(code(&wrapped), expected, "{wrapped:#}");
        }
    }
}
