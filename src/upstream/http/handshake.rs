//! Which era a server over HTTP speaks, and what it says of itself.
//!
//! A modern request first; `initialize` where the server refuses that without an answer of its
//! era, but never where it cannot be reached, refuses us or failed (bridge: eras).

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{
    fault::Fault,
    legs::{Ear, Legs, WORDS},
    remote::Remote,
    request::Leg,
};
use crate::{
    upstream::{
        ConnectError, Protocol, ServerFacts,
        era::{self, Probe},
    },
    wire::{Abilities, RawValue, Revision, envelope, meta, method},
};

/// Agrees with a server on a revision, within `within`.
pub(super) async fn agree(
    remote: &Remote,
    protocol: Protocol,
    abilities: Abilities,
    within: Duration,
) -> Result<ServerFacts, ConnectError> {
    let talk = Talk { legs: &remote.legs, abilities, end: Instant::now() + within, within };
    match protocol {
        Protocol::Legacy => talk.legacy().await,
        Protocol::Modern => match talk.probe(within).await? {
            Probe::Modern(facts) => Ok(facts),
            Probe::Stranger(revisions) => Err(era::stranger(&revisions)),
            Probe::Refused(error) => Err(talk.refused(Fault::Server(error), method::DISCOVER)),
            Probe::Legacy => Err(ConnectError::Protocol(
                "it does not speak a modern revision; set its protocol to \"auto\"".to_owned(),
            )),
            Probe::Silent | Probe::Gone => Err(talk.silent(method::DISCOVER)),
        },
        Protocol::Auto => match talk.probe(era::PROBE.min(within / 2)).await? {
            Probe::Modern(facts) => Ok(facts),
            Probe::Stranger(revisions) => Err(era::stranger(&revisions)),
            Probe::Refused(error) => Err(talk.refused(Fault::Server(error), method::DISCOVER)),
            Probe::Legacy | Probe::Silent | Probe::Gone => talk.legacy().await,
        },
    }
}

struct Talk<'a> {
    legs: &'a Legs,
    abilities: Abilities,
    end: Instant,
    within: Duration,
}

impl Talk<'_> {
    async fn probe(&self, limit: Duration) -> Result<Probe, ConnectError> {
        let stamp = era::stamp(Revision::LATEST);
        let params = meta::for_next_leg(None, None, Some(&stamp), None, []);
        let asked = self.ask(method::DISCOVER, params.as_deref(), Some(stamp.revision), limit);
        match asked.await {
            None => Ok(Probe::Silent),
            Some(Ok(result)) => Ok(era::discovered(&result, None)),
            Some(Err(Fault::Server(error))) => Ok(era::offered(error)),
            Some(Err(fault @ Fault::Refused { status: 403, .. })) => {
                Err(self.refused(fault, method::DISCOVER))
            }
            Some(Err(
                Fault::Refused { status: 400..500, .. }
                | Fault::Unknown { status: Some(400..500), .. },
            )) => Ok(Probe::Legacy),
            Some(Err(fault)) => Err(self.refused(fault, method::DISCOVER)),
        }
    }

    async fn legacy(&self) -> Result<ServerFacts, ConnectError> {
        let params = era::initialize(self.abilities);
        let left = self.end.saturating_duration_since(Instant::now());
        let asked = self.ask(method::INITIALIZE, Some(params.get()), None, left).await;
        let result = match asked.ok_or_else(|| self.silent(method::INITIALIZE))? {
            Ok(result) => result,
            Err(
                fault @ (Fault::Refused { status: 400 | 404 | 405, .. }
                | Fault::Unknown { status: Some(400 | 404 | 405), .. }),
            ) => {
                let mut error = fault.of_connect(method::INITIALIZE);
                if let ConnectError::Transport(why) = &mut error {
                    why.push_str(
                        "; a server of the old HTTP+SSE transport answers so, which is not supported",
                    );
                }
                return Err(error);
            }
            Err(fault) => return Err(self.refused(fault, method::INITIALIZE)),
        };
        let facts = era::initialised(&result, None).map_err(ConnectError::Protocol)?;
        self.legs.revision.set(facts.revision).ok();
        let leg = Leg::aside(method::INITIALIZED);
        let body = envelope::notification(method::INITIALIZED, None).into();
        let left = self.end.saturating_duration_since(Instant::now());
        match timeout(left, self.legs.exchange(leg, body, &mut Ear::default())).await {
            Ok(Ok(_)) => Ok(facts),
            Ok(Err(fault)) => Err(self.refused(fault, method::INITIALIZED)),
            Err(_) => Err(self.silent(method::INITIALIZED)),
        }
    }

    const fn silent(&self, method: &'static str) -> ConnectError {
        ConnectError::Timeout {
            method,
            after: self.within,
            hint: String::new(),
            words: String::new(),
        }
    }

    /// What a fault means here. A server's own words may hold what it was given.
    fn refused(&self, fault: Fault, method: &'static str) -> ConnectError {
        let mut error = fault.of_connect(method);
        if let ConnectError::Refused { message, .. } = &mut error {
            *message = self.legs.words.quote(message.as_bytes(), WORDS);
        }
        error
    }

    /// `None` where there was no answer in time.
    async fn ask(
        &self,
        method: &'static str,
        params: Option<&str>,
        revision: Option<Revision>,
        limit: Duration,
    ) -> Option<Result<Box<RawValue>, Fault>> {
        // Ids of a handshake and of what follows must differ.
        let id = self.legs.last_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let body = Bytes::from(envelope::request_with(&id, method, params));
        let leg = Leg { id: Some(id), revision, ..Leg::aside(method) };
        timeout(limit, self.legs.exchange(leg, body, &mut Ear::default())).await.ok()
    }
}
