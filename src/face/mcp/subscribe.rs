//! `resources/subscribe` and `resources/unsubscribe` of a legacy session, and how a change of a
//! resource is told in both eras.
//!
//! The session's lease holds what it watches; the transports tell it.

use std::{borrow::Cow, sync::Arc};

use super::{Caller, Exchange, Fault, Reply, fault, legacy::pong};
use crate::wire::{Era, Object, RawValue, envelope, method};

/// Answers a request of a session: a subscription waits for its server.
pub(super) fn answer(
    caller: &Caller,
    method: &str,
    params: Option<&RawValue>,
) -> Result<Reply, Fault> {
    let Some(session) = caller.session.clone() else {
        return Err(Fault::invalid("there is no session that could be told of changes"));
    };
    let uri = Object::read_optional(params)
        .and_then(|params| params.text("uri").map(Cow::into_owned))
        .ok_or_else(|| Fault::invalid("`params.uri` is not a text"))?;
    if method == method::UNSUBSCRIBE {
        session.watching().leave(&uri);
        return Ok(Reply::Now(Ok(pong())));
    }
    let watching = Arc::clone(session.watching());
    Ok(Reply::Call(Exchange::of(async move {
        // The session stays as long as it waits.
        let _session = session;
        let watched = watching.watch(&uri).await;
        watched.map(|()| pong()).map_err(|error| fault::of_request(error, Era::Legacy))
    })))
}

/// A resource changed, as one line; `meta` is set first.
pub(crate) fn updated(uri: &str, mut params: Object<'_>) -> Vec<u8> {
    params.put("uri", uri);
    envelope::notification(method::RESOURCE_UPDATED, Some(&params.to_raw()))
}
