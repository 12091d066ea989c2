//! `_meta`: the protocol's reserved keys, reading and rewriting them.
//!
//! Keys that nobody reserved pass untouched. A caller's identity and capabilities are never
//! passed on blindly: each leg states its own.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Id, Level, Object, Revision, change};

/// The parameter and result member that holds metadata.
pub const META: &str = "_meta";
/// The revision of a modern request.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Who sends a modern request.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// What the sender of a modern request can do.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The log level that a modern request wants.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Who answered.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// The listen request that a notification belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// What progress notifications of a request carry.
pub const PROGRESS_TOKEN: &str = "progressToken";
/// Which server asks for input (ours).
pub const ORIGIN: &str = "io.switchboard/origin";
/// Why a call failed, for a program to read.
pub const FAILURE: &str = "io.switchboard/failure";

/// What a modern client states about itself to a server.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The revision that the request follows.
    pub revision: Revision,
    /// Raw `Implementation` of the sender.
    pub client: Box<RawValue>,
    /// Raw `ClientCapabilities` of the sender.
    pub capabilities: Box<RawValue>,
    /// The log messages that it wants; `None` for none.
    pub level: Option<Level>,
}

/// The listen request that a notification's parameters name.
pub fn subscription(params: &RawValue) -> Option<Id> {
    Object::read(params)?.object(META)?.typed(SUBSCRIPTION_ID)
}

/// Rewrites a request's parameters for the next leg: the member that names what it is about is set
/// to the name there, keys of the leg before are dropped, the stamp of a modern leg, the leg's own progress token
/// and trace context are set, everything else stays.
///
/// Gives JSON text. Parameters that are no object are returned as they are: only an object can carry
/// metadata.
pub fn for_next_leg<'p, 't>(
    params: Option<&'p RawValue>,
    name: Option<(&'static str, &str)>,
    stamp: Option<&Stamp>,
    progress_token: Option<u64>,
    trace: impl IntoIterator<Item = (&'static str, &'t str)>,
) -> Option<Cow<'p, str>> {
    let Some(mut object) = Object::read_optional(params) else {
        return params.map(|params| Cow::Borrowed(params.get()));
    };
    if let Some((member, name)) = name {
        object.set_text(member, name);
    }
    let mut meta = object.object(META).unwrap_or_default();
    let keys = meta.len();
    meta.retain(|key| !change::OF_ONE_LEG.has_meta(key) && !change::PROGRESS_TOKEN.has_meta(key));
    if let Some(stamp) = stamp {
        meta.set_text(PROTOCOL_VERSION, stamp.revision.as_str());
        meta.set(CLIENT_INFO, Cow::Borrowed(&*stamp.client));
        meta.set(CLIENT_CAPABILITIES, Cow::Borrowed(&*stamp.capabilities));
        if let Some(level) = &stamp.level {
            meta.put(LOG_LEVEL, level);
        }
    }
    if let Some(token) = progress_token {
        meta.put(PROGRESS_TOKEN, &token);
    }
    for (key, value) in trace {
        meta.set_text(key, value);
    }
    if !meta.is_empty() {
        let meta = meta.to_json();
        object.set_json(META, Cow::Owned(meta));
    } else if keys > 0 {
        object.remove(META);
    }
    if params.is_none() && object.is_empty() {
        return None;
    }
    Some(Cow::Owned(object.to_json()))
}

/// Adds or replaces one key of a body's `_meta`. A body that is no object stays as it is.
pub fn with_key(body: &RawValue, key: &str, value: &RawValue) -> Box<RawValue> {
    let Some(mut object) = Object::read(body) else {
        return body.to_owned();
    };
    let mut meta = object.object(META).unwrap_or_default();
    meta.set(key, Cow::Borrowed(value));
    let meta = meta.to_raw();
    object.set(META, Cow::Owned(meta));
    object.to_raw()
}

/// The raw value of one `_meta` key of a body.
pub fn key(body: Option<&RawValue>, key: &str) -> Option<Box<RawValue>> {
    let body = Object::read(body?)?;
    body.object(META)?.get(key).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::raw;

    fn text(value: &str) -> Box<RawValue> {
        RawValue::from_string(value.to_owned()).unwrap()
    }

    #[test]
    fn the_next_leg_states_itself_and_keeps_what_is_nobodys() {
        let params = text(
            r#"{"name":"x","_meta":{"progressToken":"t","io.modelcontextprotocol/clientInfo":{"name":"c"},"traceparent":"00-a-b-01","n":1.50}}"#,
        );
        let legacy = for_next_leg(Some(&params), Some(("name", "y")), None, Some(9), []).unwrap();
        assert_eq!(
            legacy,
            r#"{"name":"y","_meta":{"traceparent":"00-a-b-01","n":1.50,"progressToken":9}}"#
        );
        let traced = for_next_leg(Some(&params), None, None, None, [("traceparent", "00-c-d-01")]);
        assert_eq!(traced.unwrap(), r#"{"name":"x","_meta":{"traceparent":"00-c-d-01","n":1.50}}"#);
        let stamp = Stamp {
            revision: Revision::LATEST,
            client: raw("us"),
            capabilities: text("{}"),
            level: None,
        };
        let modern = for_next_leg(None, None, Some(&stamp), None, []).unwrap();
        assert!(modern.contains(r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#));
        assert!(for_next_leg(None, None, None, None, []).is_none());
        assert_eq!(for_next_leg(Some(&text("[1]")), None, None, None, []).unwrap(), "[1]");
    }

    #[test]
    fn one_key_is_set_beside_the_others() {
        let body = text(r#"{"a":1,"_meta":{"x":1}}"#);
        let out = with_key(&body, "y", &text("2"));
        assert_eq!(out.get(), r#"{"a":1,"_meta":{"x":1,"y":2}}"#);
        assert_eq!(key(Some(&out), "y").unwrap().get(), "2");
    }
}
