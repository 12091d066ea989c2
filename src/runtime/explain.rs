//! Why a server is as it is, in sentences for a person, and one for an agent.
//!
//! Pure: made of a status, a timeline and the time. What a server wrote stands in `why` and
//! `stderr`, which are the operator's, and never in `brief`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{Down, Event, Health, ServerStatus};
use crate::{
    id::{Incarnation, Owner, Seat},
    restart::State,
};

mod remedy;

/// What a connection's state comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Who it is, where it stands, in which life and for how long.
    pub summary: String,
    /// Why it is so; `None` where there is nothing to explain.
    pub why: Option<String>,
    /// What was decided about it.
    pub decided: Option<String>,
    /// When it is tried again.
    pub next: Option<String>,
    /// Who waits for it.
    pub waiting: Option<String>,
    /// What a person can do.
    pub remedy: Option<String>,
    /// The same in one sentence without a word of the server's: what an agent may read.
    pub brief: String,
    /// What the life that went wrong wrote last to its error output, secrets masked.
    pub stderr: Vec<String>,
}

/// Explains a connection's state by its status and its events, oldest first. Those of an earlier
/// run explain nothing of this one.
pub fn explain(status: &ServerStatus, events: &[Arc<Event>], now: SystemTime) -> Explanation {
    let earlier = events.partition_point(|event| event.earlier);
    let events = events.get(earlier..).unwrap_or_default();
    let subject = subject(status);
    let phrase = phrase(status);
    let reason = reason(status, events);
    let fault = reason.fault();
    let mut facts = Vec::new();
    if status.incarnation > Incarnation(0) {
        facts.push(format!("life {}", status.incarnation));
    }
    if let Some(pid) = status.pid {
        facts.push(format!("pid {pid}"));
    }
    if let Some(since) = status.since {
        facts.push(format!("for {}", told(since)));
    }
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    let next = status.next_try.map(|next| format!("in {}", told(next)));
    let mut brief = format!("{} {phrase}", status.server);
    if let Some(why) = reason.brief() {
        let joint = if status.state == State::Ready { "; before that," } else { ":" };
        brief = format!("{brief}{joint} {why}");
    }
    if let Some(next) = &next {
        brief = format!("{brief}; next try {next}");
    }
    Explanation {
        summary: format!("{subject} {phrase}{facts}"),
        why: reason.words(now),
        decided: reason.decided().filter(|_| is_settled(status.state)).map(ToOwned::to_owned),
        next,
        waiting: waiting(status, events),
        remedy: match reason {
            Reason::Wish(_) if status.state == State::Ready => Some(remedy::not_replaced(status)),
            Reason::Nothing | Reason::Wish(_) | Reason::Fault(..) | Reason::Words(_) => {
                remedy::remedy(status, fault.and_then(|(_, down)| down.trouble))
            }
        },
        brief: format!("{brief}."),
        stderr: reason.down().map(|down| down.stderr.clone()).unwrap_or_default(),
    }
}

/// What led to a state.
enum Reason<'a> {
    /// Nothing that needs to be told.
    Nothing,
    /// A step that somebody wanted.
    Wish(&'a Event),
    /// The end of a life that went wrong.
    Fault(&'a Event, &'a Down),
    /// Words alone: the events are gone.
    Words(&'a str),
}

fn reason<'a>(status: &'a ServerStatus, events: &'a [Arc<Event>]) -> Reason<'a> {
    let last = events.last();
    let of_event = |event: &'a Event| match event.down() {
        Some(down) if down.trouble.is_some() => Reason::Fault(event, down),
        _ => Reason::Wish(event),
    };
    let fallback = || status.cause.as_deref().map_or(Reason::Nothing, Reason::Words);
    let tried_again = |event: &Event| matches!(event.from, State::Backoff | State::Open);
    match status.state {
        // A life that was to take over and did not is no failure of the one that serves on.
        State::Ready if status.health != Health::Warning => match last {
            Some(event) if status.cause.is_some() && event.from == State::Ready => {
                Reason::Wish(event)
            }
            _ => Reason::Nothing,
        },
        State::Idle if status.incarnation == Incarnation(0) => Reason::Nothing,
        State::Idle | State::Draining | State::Stopped => {
            last.map_or_else(fallback, |event| of_event(event))
        }
        State::Connecting if last.is_some_and(|event| !tried_again(event)) => {
            last.map_or_else(fallback, |event| Reason::Wish(event))
        }
        State::Connecting
        | State::HalfOpen
        | State::Ready
        | State::Backoff
        | State::Open
        | State::Failed => {
            let fault = events.iter().rev().filter(|event| !is_beside(event)).find_map(|event| {
                let down = event.down().filter(|down| down.trouble.is_some())?;
                Some(Reason::Fault(event, down))
            });
            fault.unwrap_or_else(fallback)
        }
    }
}

/// Whether it tells of a life beside the one that serves.
fn is_beside(event: &Event) -> bool {
    (event.from, event.to) == (State::Ready, State::Ready)
}

impl<'a> Reason<'a> {
    /// How a life ended, even one that never served.
    fn down(&self) -> Option<&'a Down> {
        match self {
            Self::Fault(_, down) => Some(down),
            Self::Wish(event) => event.down(),
            Self::Nothing | Self::Words(_) => None,
        }
    }

    const fn fault(&self) -> Option<(&'a Event, &'a Down)> {
        match self {
            Self::Fault(event, down) => Some((event, down)),
            Self::Nothing | Self::Wish(_) | Self::Words(_) => None,
        }
    }

    fn words(&self, now: SystemTime) -> Option<String> {
        let (event, down) = match self {
            Self::Fault(event, down) => (event, down),
            Self::Wish(event) => return Some(event.cause.to_string()),
            Self::Words(words) => return Some((*words).to_owned()),
            Self::Nothing => return None,
        };
        let pid = down.pid.map(|pid| format!("pid {pid}"));
        let served = match (down.served, down.lasted) {
            (Some(served), _) => Some(format!("it had served for {}", told(served))),
            (None, Some(lasted)) => Some(format!("after {}", told(lasted))),
            (None, None) => None,
        };
        let ago = now.duration_since(event.time).ok().map(|ago| format!("{} ago", told(ago)));
        let facts: Vec<String> = [pid, served, ago].into_iter().flatten().collect();
        Some(format!("{} ({})", event.cause, facts.join(", ")))
    }

    fn decided(&self) -> Option<&'a str> {
        match self {
            Self::Fault(event, _) | Self::Wish(event) => Some(&event.decision),
            Self::Nothing | Self::Words(_) => None,
        }
    }

    /// In our own words alone.
    fn brief(&self) -> Option<String> {
        match self {
            Self::Fault(_, down) => match &down.exit {
                Some(exit) => Some(format!("its process {exit}")),
                None => down.trouble.map(|trouble| remedy::brief(trouble).to_owned()),
            },
            // Why it starts anew may name a server that the agent does not see, and why it could
            // not be replaced is in the server's words.
            Self::Wish(event) if matches!(event.to, State::Connecting | State::Ready) => None,
            Self::Wish(event) => Some(event.cause.to_string()),
            Self::Nothing | Self::Words(_) => None,
        }
    }
}

fn subject(status: &ServerStatus) -> String {
    let seat = Seat { server: status.server.clone(), session: status.session.clone() };
    match &status.owner {
        Owner::Store => seat.to_string(),
        Owner::Agent(agent) => format!("{seat} of agent {agent}"),
    }
}

/// Whether what was decided still holds, because nothing came of it yet.
const fn is_settled(state: State) -> bool {
    match state {
        State::Idle | State::Backoff | State::Open | State::Stopped | State::Failed => true,
        State::Connecting | State::HalfOpen | State::Ready | State::Draining => false,
    }
}

const fn phrase(status: &ServerStatus) -> &'static str {
    match status.state {
        State::Idle if status.incarnation.0 == 0 => "was not started yet",
        State::Idle => "is idle",
        State::Connecting if status.incarnation.0 <= 1 => "is connecting for the first time",
        State::Connecting => "is connecting again",
        State::Ready if matches!(status.health, Health::Warning) => "is ready again",
        State::Ready => "is ready",
        State::Backoff => "waits before its next try",
        State::Open => "keeps failing and is paused",
        State::HalfOpen => "kept failing and is being tried once",
        State::Draining => "finishes its calls and ends",
        State::Stopped => "is stopped",
        State::Failed => "was given up",
    }
}

/// Who waits now, else who waited for it to come back.
fn waiting(status: &ServerStatus, events: &[Arc<Event>]) -> Option<String> {
    let calls =
        |count: usize| if count == 1 { "1 call".to_owned() } else { format!("{count} calls") };
    if status.waiting > 0 {
        let oldest = status
            .waited
            .map(|waited| format!(", the first for {}", told(waited)))
            .unwrap_or_default();
        return Some(format!("{}{oldest}", calls(status.waiting)));
    }
    if let Some(asked) = status.asked {
        let count = status.asking;
        let questions =
            if count == 1 { "1 question".to_owned() } else { format!("{count} questions") };
        let longest = told(asked);
        return Some(format!(
            "{questions} of its for the answer of a client, the first for {longest}"
        ));
    }
    let waited = events.last().map(|event| event.waiting).filter(|waited| !waited.is_nobody())?;
    Some(format!("none now; {} had waited, up to {}", calls(waited.calls), told(waited.longest)))
}

/// A duration as a person says it: tenths below ten seconds, seconds below two minutes, then
/// hours, minutes and seconds.
pub fn told(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else {
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
    }
}

#[cfg(test)]
mod tests;
