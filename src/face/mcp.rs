//! The MCP face: one endpoint, two eras.
//!
//! What answers a request stands here and below, independent of the transport: `modern` and
//! `legacy` turn a request into a [`Reply`], and each transport carries replies its own way
//! (`endpoint` over HTTP, `face::stdio` over lines). Nothing here keeps a message longer than
//! its request, and nothing reaches the kernel but through the gate.

mod call;
pub(crate) mod changes;
pub(crate) mod client;
#[cfg(feature = "face-http")]
pub(crate) mod endpoint;
mod fault;
pub(crate) mod legacy;
mod list;
pub(crate) mod listen;
pub(crate) mod modern;
mod received;
pub(crate) mod subscribe;
mod told;
mod translate;

pub(crate) use call::{Exchange, Step};
pub(crate) use fault::Fault;

use std::{convert::Infallible, sync::Arc};

use client::Client;

use crate::{
    access::{Gate, Principal, SessionLease},
    id::Owner,
    trace::Context,
    wire::{
        Era, Id, Needle, Object, ParseError, Pieces, RawValue, Revision,
        envelope::{self, code},
        extension,
        header::Unexplained,
        meta, method,
    },
};

/// Messages of one batch at most.
const MAX_BATCH: usize = 100;

/// Who asks, and whose view it is.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Who.
    pub(crate) principal: Principal,
    /// Whose tools.
    pub(crate) owner: Owner,
    /// The legacy session, where there is one; it ends with the last that holds it.
    pub(crate) session: Option<Arc<SessionLease>>,
    /// The other side of that session, which can be asked.
    pub(crate) client: Option<Arc<Client>>,
    /// The trace that the transport says the message belongs to.
    pub(crate) trace: Context,
    /// Headers of the message that are parameters of its call.
    pub(crate) headers: Option<Unexplained>,
}

/// A result as JSON text, or why there is none.
pub(crate) type Outcome = Result<Pieces, Fault>;

/// What a request is answered with. Only the modern era has requests that open a stream `S`.
#[derive(Debug)]
pub(crate) enum Reply<S = Infallible> {
    /// An answer from memory.
    Now(Outcome),
    /// A call that runs.
    Call(Exchange),
    /// A stream of changes.
    Listen(S),
}

/// Which era a message belongs to: the revision it names decides, in its header or in its
/// metadata; everything that names none is legacy, and only modern clients discover. `initialize`
/// is legacy whatever its header says, which may be the newest that a client knows.
pub(crate) fn era(header: Option<&str>, method: Option<&str>, params: Option<&RawValue>) -> Era {
    let is_handshake = method == Some(method::INITIALIZE);
    let is_modern = header.is_some_and(is_modern_revision) && !is_handshake
        || method == Some(method::DISCOVER)
        || params.is_some_and(names_revision);
    if is_modern { Era::Modern } else { Era::Legacy }
}

/// Revisions are dates, so their order is that of their text; one from the future is modern and
/// is refused as unsupported by modern rules.
fn is_modern_revision(text: &str) -> bool {
    text >= Revision::LATEST.as_str()
}

fn names_revision(params: &RawValue) -> bool {
    // Most legacy parameters are told apart without reading them.
    static NAMING: Needle = Needle::new(meta::PROTOCOL_VERSION);
    NAMING.is_in(params)
        && Object::read(params)
            .and_then(|params| {
                Some(params.object(meta::META)?.json(meta::PROTOCOL_VERSION).is_some())
            })
            .unwrap_or_default()
}

/// Takes a notification of a client that its servers may want.
pub(crate) fn notified(gate: &Gate, caller: &Caller, method: &str, params: Option<&RawValue>) {
    let Caller { principal, owner, session, client, .. } = caller;
    if method == method::PROGRESS {
        return client.iter().for_each(|client| client.progress(params));
    }
    if method != method::ROOTS_CHANGED && !extension::may_own(method) {
        return;
    }
    let session = session.as_ref().map(|lease| lease.key());
    // An owner that is no more has no servers that could want it.
    gate.notify(principal, owner, session, method, params).ok();
}

/// The members of a batch, where the session's revision has batches.
pub(crate) fn batch(bytes: &[u8], revision: Revision) -> Result<Vec<&RawValue>, Fault> {
    let refused = |why: &str| Fault::with_status(400, code::INVALID_REQUEST, why);
    if !revision.has_batches() {
        return Err(refused("this revision has no batches; send one message at a time"));
    }
    let members: Vec<&RawValue> = serde_json::from_slice(bytes)
        .map_err(|_| Fault::with_status(400, code::PARSE, "not JSON"))?;
    if members.is_empty() || members.len() > MAX_BATCH {
        return Err(refused("a batch has 1 to 100 messages"));
    }
    Ok(members)
}

/// Whether bytes start a batch.
pub(crate) fn is_batch(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'[')
}

/// What bytes that are no message are answered with, and to whom.
pub(crate) fn unreadable(error: ParseError) -> (Option<Id>, Fault) {
    let text = error.to_string();
    match error {
        ParseError::Json(_) => (None, Fault::with_status(400, code::PARSE, text)),
        ParseError::Rpc { id, .. } => (id, Fault::with_status(400, code::INVALID_REQUEST, text)),
    }
}

/// A response as one line.
pub(crate) fn response(id: &Id, outcome: &Outcome) -> Pieces {
    match outcome {
        Ok(result) => envelope::answer(id, result),
        Err(fault) => envelope::error(Some(id), &fault.error).into(),
    }
}

/// What a client no longer wants, from `notifications/cancelled`.
pub(crate) fn cancelled_request(params: Option<&RawValue>) -> Option<Id> {
    Object::read(params?)?.typed("requestId")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_that_a_message_names_decides_its_era() {
        let modern = RawValue::from_string(
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#.to_owned(),
        )
        .unwrap();
        let mentions = RawValue::from_string(
            r#"{"arguments":{"q":"io.modelcontextprotocol/protocolVersion"}}"#.to_owned(),
        )
        .unwrap();
        let call = Some(method::TOOLS_CALL);
        for (header, method, params, expected) in [
            (None, Some(method::INITIALIZE), Some(&modern), Era::Modern),
            (Some("2026-07-28"), Some(method::INITIALIZE), None, Era::Legacy),
            (Some("2026-07-28"), call, None, Era::Modern),
            (Some("2099-01-01"), call, None, Era::Modern),
            (Some("2025-11-25"), call, None, Era::Legacy),
            (Some("2025-11-25"), call, Some(&modern), Era::Modern),
            (None, call, Some(&modern), Era::Modern),
            (None, call, Some(&mentions), Era::Legacy),
            (None, Some(method::DISCOVER), None, Era::Modern),
            (None, Some(method::PING), None, Era::Legacy),
            (Some("2026-07-28"), None, None, Era::Modern),
            (None, None, None, Era::Legacy),
        ] {
            assert_eq!(
                era(header, method, params.map(|raw| &**raw)),
                expected,
                "{header:?} {method:?} {params:?}"
            );
        }
    }
}
