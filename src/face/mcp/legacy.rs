//! The legacy era: a session that `initialize` opens.
//!
//! Independent of the transport. The session itself belongs to the transport; here stands what
//! is agreed when it opens and what its requests are answered with.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Caller, Exchange, Fault, Reply, client::Client, fault, list, modern::Capabilities,
    received::Received, subscribe, translate,
};
use crate::{
    access::Gate,
    wire::{
        Era, Id, Object, Pieces, Primitive, RawValue, Revision, envelope::code, extension,
        meta::META, method, raw,
    },
};

/// The revision that a session speaks: the one asked for if it is legacy and known, else our
/// newest legacy one, which the client may decline.
fn negotiate(requested: &str) -> Revision {
    Revision::parse(requested)
        .filter(|revision| revision.era() == Era::Legacy)
        .unwrap_or(Revision::LATEST_LEGACY)
}

/// Answers `initialize`: the agreed revision and the raw result.
pub(crate) fn initialize(
    gate: &Gate,
    caller: &Caller,
    params: Option<&RawValue>,
) -> Result<(Revision, Box<RawValue>), Fault> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct InitializeResult {
        protocol_version: Revision,
        capabilities: Box<RawValue>,
        server_info: &'static RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        instructions: Option<Arc<str>>,
    }
    let requested = params
        .and_then(Object::read)
        .and_then(|params| params.typed::<String>("protocolVersion"))
        .ok_or_else(|| Fault::invalid("`params.protocolVersion` is missing"))?;
    let instructions = gate
        .instructions(&caller.principal, &caller.owner)
        .map_err(|error| fault::of_request(error, Era::Legacy))?;
    let revision = negotiate(&requested);
    let result = raw(&InitializeResult {
        protocol_version: revision,
        capabilities: Capabilities::shown(gate, caller, revision)?,
        server_info: &translate::IMPLEMENTATION,
        instructions,
    });
    Ok((revision, result))
}

/// A caller in its new session, which hears of what it declared.
pub(crate) fn open(
    gate: &Gate,
    caller: &Caller,
    params: Option<&RawValue>,
    revision: Revision,
) -> Caller {
    let lease = gate.lease(&caller.principal, &caller.owner);
    let client = Client::new(params, revision, &gate.draining());
    lease.watching().hear(client.extensions(), client.has_visits());
    Caller { session: Some(Arc::new(lease)), client: Some(Arc::new(client)), ..caller.clone() }
}

/// What a request of an open session is answered with.
pub(crate) fn answer(
    gate: &Arc<Gate>,
    caller: &Caller,
    revision: Revision,
    id: &Id,
    method: &str,
    params: Option<&RawValue>,
) -> Reply {
    let received = Received::begin(gate, caller, id, method, params, revision);
    received.observe(try_answer(gate, caller, revision, method, params))
}

fn try_answer(
    gate: &Arc<Gate>,
    caller: &Caller,
    revision: Revision,
    method: &str,
    params: Option<&RawValue>,
) -> Result<Reply, Fault> {
    let start = || {
        let object = Object::read_optional(params);
        let meta = object.as_ref().and_then(|object| object.part(META)).unwrap_or_default();
        let read = object.as_ref().map(|object| (object, &meta));
        Exchange::start(gate, caller, method, params, read, revision)
    };
    Ok(match method {
        method::PING => Reply::Now(Ok(pong())),
        method::TOOLS_CALL | method::PROMPTS_GET | method::RESOURCES_READ | method::COMPLETE => {
            Reply::Call(start()?)
        }
        method::TASKS_LIST if revision.has_tasks() => {
            Reply::Call(Exchange::list_tasks(gate, caller))
        }
        method::TASKS_GET | method::TASKS_RESULT | method::TASKS_CANCEL if revision.has_tasks() => {
            Reply::Call(start()?)
        }
        method::SUBSCRIBE | method::UNSUBSCRIBE => subscribe::answer(caller, method, params)?,
        method::SET_LEVEL => {
            let client = caller.client.as_ref();
            if !client.is_some_and(|client| client.set_level(params)) {
                return Err(Fault::invalid("`params.level` is no level of log messages"));
            }
            Reply::Now(Ok(pong()))
        }
        method::INITIALIZE => {
            return Err(Fault::new(code::INVALID_REQUEST, "the session is initialised already"));
        }
        other => match Primitive::listed_by(other) {
            Some(primitive) => Reply::Now(list::answer(gate, caller, primitive, params, revision)),
            None if extension::may_own(other) => Reply::Call(start()?),
            None => return Err(Fault::new(code::METHOD_NOT_FOUND, "unknown method")),
        },
    })
}

/// The answer to `ping`.
pub(crate) fn pong() -> Pieces {
    "{}".to_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_asked_for_is_agreed_on_if_it_is_legacy_and_known() {
        for revision in Revision::ALL {
            let agreed = negotiate(revision.as_str());
            if revision.era() == Era::Legacy {
                assert_eq!(agreed, revision);
            } else {
                assert_eq!(agreed, Revision::LATEST_LEGACY);
            }
        }
        assert_eq!(negotiate("1900-01-01"), Revision::LATEST_LEGACY);
    }
}
