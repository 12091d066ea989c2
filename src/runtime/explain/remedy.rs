//! What went wrong in our own words, and what a person can do about it.
//!
//! One table by trouble and state. It names commands and settings, never values.

use crate::{
    id::Owner,
    restart::State,
    runtime::{ServerStatus, Trouble},
};

/// What went wrong, without a word of the server's.
pub(super) const fn brief(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Command => "its program cannot be started",
        Trouble::Configuration => "its definition cannot work",
        Trouble::Protocol => "it does not speak the protocol as it should",
        Trouble::Credentials => "it refuses our credentials",
        Trouble::Busy => "it asked to be left alone for a while",
        Trouble::Exited => "its process ended",
        Trouble::Lost => "the connection to it was lost",
        Trouble::Silent => "it does not answer",
        Trouble::Bug => "a bug of Switchboard",
    }
}

/// What a person can do; `None` where nothing is amiss.
pub(super) fn remedy(status: &ServerStatus, trouble: Option<Trouble>) -> Option<String> {
    let restart = restart(status);
    let text = match (status.state, trouble) {
        (_, Some(Trouble::Bug)) => format!(
            "this is a bug of Switchboard: report it with this text and the log; {restart} starts \
             the server anew"
        ),
        (State::Ready | State::Draining, _) => return None,
        (State::Idle, _) => "nothing: the next call starts it".to_owned(),
        (State::Connecting | State::HalfOpen, _) => "nothing: it is being tried".to_owned(),
        (_, Some(Trouble::Busy)) => {
            format!("nothing: it is tried when the pause is over; {restart} tries at once")
        }
        (State::Backoff, _) => {
            format!("nothing yet: it is tried again by itself; {restart} tries at once")
        }
        (_, Some(Trouble::Command)) => format!(
            "install the program, or correct `command`, `args` or `cwd` of the server in the \
             configuration; it is looked for again by itself, {restart} does so at once"
        ),
        (_, Some(Trouble::Configuration)) => {
            "correct the server in the configuration, which tries it again".to_owned()
        }
        (_, Some(Trouble::Protocol)) => format!(
            "see that it is an MCP server, and which revision it speaks (`protocol` of the server \
             in the configuration); then {restart}"
        ),
        (_, Some(Trouble::Credentials)) => format!(
            "renew its credentials (`headers` or `env` of the server in the configuration), then \
             {restart}"
        ),
        (_, Some(Trouble::Silent)) => format!(
            "see what it is doing; if it needs more time, raise `timeouts.start` or \
             `timeouts.connect`; then {restart}"
        ),
        (State::Open, Some(Trouble::Exited | Trouble::Lost) | None) => {
            format!("put right what makes it fail, then {restart}")
        }
        (State::Failed | State::Stopped, Some(Trouble::Exited | Trouble::Lost) | None) => {
            format!("{restart} starts it")
        }
    };
    Some(text)
}

/// What a person can do about a server whose next life did not take over.
pub(super) fn not_replaced(status: &ServerStatus) -> String {
    format!(
        "its calls go on; put right what keeps the next life from serving, then {}",
        restart(status)
    )
}

/// The command that restarts it.
fn restart(status: &ServerStatus) -> String {
    let name = status.server.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@');
    let name = if name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    };
    match &status.owner {
        Owner::Store => format!("`switchboard restart {name}`"),
        Owner::Agent(agent) => format!("`switchboard restart {name} --agent {agent}`"),
    }
}
