//! `resources/subscribe` and `resources/unsubscribe` of a legacy session, and how changes of
//! what is watched are told in both eras.
//!
//! The session's lease holds what it watches; the transports tell it.

use std::{borrow::Cow, sync::Arc};

use super::{Caller, Exchange, Fault, Reply, fault, legacy::pong};
use crate::{
    access::News,
    wire::{Era, Id, Object, RawValue, envelope, meta, method, raw},
};

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

/// What a client is told of what it watches, as one line: a session, or in a subscription.
pub(crate) fn line(news: &News, subscription: Option<&Id>) -> Vec<u8> {
    let (method, params) = match news {
        News::Resource(uri) => {
            let mut params = Object::default();
            params.put("uri", uri);
            (method::RESOURCE_UPDATED, Some(params.to_raw()))
        }
        News::Task(params) if subscription.is_some() => {
            (method::TASK_CHANGED, Some(params.clone()))
        }
        News::Task(params) => (method::TASK_STATUS, Some(params.clone())),
        News::Extension { method, params } => {
            return envelope::notification(method, params.as_deref());
        }
    };
    let params = match (params, subscription) {
        (Some(params), Some(id)) => Some(meta::with_key(&params, meta::SUBSCRIPTION_ID, &raw(id))),
        (params, _) => params,
    };
    envelope::notification(method, params.as_deref())
}
