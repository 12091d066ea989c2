//! Which era a server speaks: the handshake of a stream, and what a server says of itself in it.
//!
//! Runs once per link, inside the connector's deadline. It remembers nothing: what was found
//! stands in the facts, and the supervisor gives it back as the next attempt's protocol.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::{
    ConnectError, Deadline, LinkEnd, Protocol, RequestError, ServerFacts,
    peer::{Call, Peer},
    stderr::cut,
};
use crate::wire::{
    Abilities, Ability, ErrorObject, Object, RawValue, Revision, envelope::code, meta::Stamp,
    method, raw,
};

mod answer;

pub(super) use answer::Probe;
#[cfg(feature = "upstream-http")]
pub(super) use answer::{discovered, initialised, offered};

/// How long a server may take to answer the probe before it is taken for a legacy one.
pub(super) const PROBE: Duration = Duration::from_secs(5);
/// How long a link that is over may take to say why.
const CAUSE: Duration = Duration::from_secs(1);
/// Lines of error output in an error.
const LINES: usize = 3;
/// Characters of a server's own words in an error.
const WORDS: usize = 200;

/// What we say of ourselves.
#[derive(Serialize)]
struct Implementation {
    name: &'static str,
    version: &'static str,
}

const OURSELVES: Implementation =
    Implementation { name: "switchboard", version: env!("CARGO_PKG_VERSION") };

/// What every request to a modern server states about us.
pub(super) fn stamp(revision: Revision) -> Stamp {
    Stamp { revision, client: raw(&OURSELVES), capabilities: Abilities::NONE.to_raw(), level: None }
}

/// The parameters of `initialize`, with what the server may ask for.
pub(super) fn initialize(abilities: Abilities) -> Box<RawValue> {
    let stated = abilities.to_raw();
    let mut capabilities = Object::read(&stated).unwrap_or_default();
    if abilities.has(Ability::Roots) {
        // Those of the configuration and those of a session's client may change.
        capabilities.put("roots", &serde_json::json!({ "listChanged": true }));
    }
    raw(&serde_json::json!({
        "protocolVersion": Revision::LATEST_LEGACY,
        "capabilities": capabilities,
        "clientInfo": OURSELVES,
    }))
}

/// A handshake that failed.
pub(super) struct Failure {
    /// Why.
    pub(super) error: ConnectError,
    /// Whether the server ended instead of answering the probe, as old ones do: then it is worth
    /// another start without one.
    pub(super) died_on_probe: bool,
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self { error, died_on_probe: false }
    }
}

/// Agrees with a server on a revision, within `within`.
pub(super) async fn agree(
    peer: &Peer,
    protocol: Protocol,
    abilities: Abilities,
    within: Duration,
) -> Result<ServerFacts, Failure> {
    let talk = Talk { peer, abilities, end: Instant::now() + within, within };
    match protocol {
        Protocol::Modern => Ok(talk.modern().await?),
        Protocol::Legacy => Ok(talk.legacy(false).await?),
        Protocol::Auto => talk.either().await,
    }
}

struct Talk<'a> {
    peer: &'a Peer,
    abilities: Abilities,
    end: Instant,
    within: Duration,
}

impl Talk<'_> {
    async fn either(&self) -> Result<ServerFacts, Failure> {
        // A short deadline leaves the second half for the older question.
        let limit = PROBE.min(self.within / 2);
        match self.probe(limit).await {
            Probe::Modern(facts) => Ok(facts),
            Probe::Legacy => Ok(self.legacy(false).await?),
            Probe::Silent => Ok(self.legacy(true).await?),
            Probe::Stranger(revisions) => Err(stranger(&revisions).into()),
            Probe::Refused(error) => Err(self.refused(method::DISCOVER, &error).into()),
            Probe::Gone => Err(Failure { error: self.gone().await, died_on_probe: true }),
        }
    }

    async fn modern(&self) -> Result<ServerFacts, ConnectError> {
        match self.probe(self.remaining()).await {
            Probe::Modern(facts) => Ok(facts),
            Probe::Stranger(revisions) => Err(stranger(&revisions)),
            Probe::Refused(error) => Err(self.refused(method::DISCOVER, &error)),
            Probe::Legacy => Err(ConnectError::Refused {
                method: method::DISCOVER,
                code: code::METHOD_NOT_FOUND,
                message: "it does not speak a modern revision".to_owned(),
            }),
            Probe::Silent => Err(self.silent(method::DISCOVER)),
            Probe::Gone => Err(self.gone().await),
        }
    }

    async fn probe(&self, limit: Duration) -> Probe {
        let stamp = stamp(Revision::LATEST);
        match self.ask(method::DISCOVER, None, Some(&stamp), limit).await {
            Ok(result) => answer::discovered(&result, self.peer.pid()),
            Err(RequestError::Server(error)) => answer::offered(error),
            Err(
                RequestError::Malformed(_) | RequestError::Refused(_) | RequestError::Busy { .. },
            ) => Probe::Legacy,
            Err(RequestError::Timeout { .. }) => Probe::Silent,
            Err(RequestError::NotSent(_) | RequestError::Lost { .. }) => Probe::Gone,
        }
    }

    /// `initialize`. A modern server that was too slow for the probe is asked once more.
    async fn legacy(&self, slow: bool) -> Result<ServerFacts, ConnectError> {
        let params = initialize(self.abilities);
        let answer = self.ask(method::INITIALIZE, Some(&params), None, self.remaining()).await;
        match answer {
            Ok(result) => {
                let facts = answer::initialised(&result, self.peer.pid())
                    .map_err(ConnectError::Protocol)?;
                self.peer.notify(method::INITIALIZED, None).await;
                Ok(facts)
            }
            Err(RequestError::Server(error)) => {
                if slow && let Probe::Modern(facts) = self.probe(self.remaining()).await {
                    return Ok(facts);
                }
                Err(self.refused(method::INITIALIZE, &error))
            }
            Err(RequestError::Malformed(what) | RequestError::Refused(what)) => {
                Err(ConnectError::Protocol(what))
            }
            Err(RequestError::Timeout { .. } | RequestError::Busy { .. }) => {
                Err(self.silent(method::INITIALIZE))
            }
            Err(RequestError::NotSent(_) | RequestError::Lost { .. }) => Err(self.gone().await),
        }
    }

    async fn ask(
        &self,
        method: &str,
        params: Option<&RawValue>,
        stamp: Option<&Stamp>,
        limit: Duration,
    ) -> Result<Box<RawValue>, RequestError> {
        self.peer
            .request(Call {
                method,
                params,
                name: None,
                stamp,
                progress: None,
                deadline: Deadline::new(limit, limit),
                trace: None,
                dialogue: None,
                acknowledged: None,
                // A notification before `initialize` ends some servers.
                cancellable: false,
            })
            .await
    }

    fn remaining(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    fn refused(&self, method: &'static str, error: &ErrorObject) -> ConnectError {
        ConnectError::Refused {
            method,
            code: error.code(),
            message: self.peer.stderr().quote(error.message().as_bytes(), WORDS),
        }
    }

    fn silent(&self, method: &'static str) -> ConnectError {
        let (hint, words) = (self.hint(), self.words());
        ConnectError::Timeout { method, after: self.within, hint, words }
    }

    /// The link is over: why, and what came before.
    async fn gone(&self) -> ConnectError {
        let end = timeout(CAUSE, self.peer.ended()).await;
        let (hint, words) = (self.hint(), self.words());
        match end.unwrap_or(LinkEnd::Closed) {
            LinkEnd::Exited(how) => ConnectError::Exited { how, pid: self.peer.pid(), hint, words },
            LinkEnd::Transport(why) => ConnectError::Transport(format!("{why}{hint}{words}")),
            end @ (LinkEnd::Closed
            | LinkEnd::Stopped
            | LinkEnd::SessionOver
            | LinkEnd::Refused(_)) => {
                let text = format!("{end} before the connection was ready{hint}{words}");
                ConnectError::Transport(text)
            }
        }
    }

    /// What the server did instead of answering, to be put after a sentence.
    fn hint(&self) -> String {
        match self.peer.first_garbage() {
            Some(line) => format!("; its first line was not JSON: {line:?}"),
            None if self.peer.has_spoken() || !self.peer.stderr().last(1).is_empty() => {
                String::new()
            }
            None => "; it wrote nothing at all".to_owned(),
        }
    }

    /// The end of its error output, to be put after that.
    fn words(&self) -> String {
        let lines = self.peer.stderr().last(LINES);
        let lines: Vec<String> = lines.iter().map(|line| cut(line, WORDS)).collect();
        if lines.is_empty() {
            return String::new();
        }
        format!("; its last error output: {}", lines.join(" | "))
    }
}

pub(super) fn stranger(revisions: &str) -> ConnectError {
    ConnectError::Protocol(format!(
        "the server speaks only {revisions}; this version of switchboard speaks {} and earlier",
        Revision::LATEST
    ))
}

#[cfg(test)]
mod tests;
