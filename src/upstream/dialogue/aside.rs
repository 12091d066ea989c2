//! What a server tells without wanting to know anything: log messages, and notifications of
//! extensions.
//!
//! Passed on to the call that it belongs to, if that wants it. Never blocks: what a slow reader
//! leaves no room for is dropped.

use std::sync::Arc;

use serde_json::Value;

use super::{Party, Told};
use crate::{
    upstream::{Notice, StderrRing},
    wire::{Level, Object, RawValue, extension},
};

/// Passes a log message on if its call wants it; what belongs to no call goes to the ring.
pub(in crate::upstream) fn log(
    party: Option<&Party>,
    params: Option<&RawValue>,
    ring: &StderrRing,
) {
    let Some(params) = params else { return };
    let Some(Party { dialogue, .. }) = party else {
        let data = Object::read(params).and_then(|params| params.typed::<Value>("data"));
        let mut words = String::new();
        spell(&data.unwrap_or_default(), &mut words);
        return ring.push(&words);
    };
    let level = Level::of_message(params);
    if dialogue.level.is_some_and(|least| level.is_some_and(|level| level >= least))
        && let Some(sink) = &dialogue.sink
    {
        sink.aside(params.get().len(), |room| Told::Logged(params.to_owned(), room));
    }
}

/// Tells the party of a call what an extension notifies; gives whether it is told.
pub(in crate::upstream) fn notice(
    party: Option<&Party>,
    method: &str,
    params: Option<&RawValue>,
) -> bool {
    let Some(Party { dialogue, .. }) = party else { return false };
    let (Some(hears), Some(sink)) = (&dialogue.hears, &dialogue.sink) else { return false };
    if !hears.iter().any(|extension| extension::owns(extension, method)) {
        return false;
    }
    let params = params.map(|params| Arc::from(params.to_owned()));
    let notice = Notice { method: method.into(), params, heard: true };
    sink.aside(notice.size(), |room| Told::Notified(notice, room))
}

/// The texts of a value one after the other. The ring masks secrets as they are, not as JSON
/// writes them.
fn spell(value: &Value, words: &mut String) {
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => {
            words.push_str(&value.to_string());
            words.push(' ');
        }
        Value::String(text) => {
            words.push_str(text);
            words.push(' ');
        }
        Value::Array(items) => items.iter().for_each(|item| spell(item, words)),
        Value::Object(members) => {
            for (key, value) in members {
                words.push_str(key);
                words.push_str(": ");
                spell(value, words);
            }
        }
    }
}
