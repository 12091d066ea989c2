//! How each change of a result is carried out.
//!
//! For whom, and on what, the table above says; here is only what happens to the body.

use std::borrow::Cow;

use serde_json::Value;

use super::{COMPLETE, IMPLEMENTATION};
use crate::wire::{
    Object, RawValue,
    meta::{META, SERVER_INFO},
    result::RESULT_TYPE,
};

const CONTENT: &str = "content";
const MESSAGES: &str = "messages";
const TTL: &str = "ttlMs";
const CACHE_SCOPE: &str = "cacheScope";
pub(super) const STRUCTURED: &str = "structuredContent";

pub(super) fn typed(result: &mut Object<'_>) -> bool {
    let lacks = result.get(RESULT_TYPE).is_none();
    if lacks {
        result.put(RESULT_TYPE, COMPLETE);
    }
    lacks
}

/// Only what is complete can be kept.
pub(super) fn fresh(result: &mut Object<'_>) -> bool {
    let is_complete = result.text(RESULT_TYPE).as_deref() == Some(COMPLETE);
    let is_duration = result.typed::<f64>(TTL).is_some_and(|ttl| ttl >= 0.0);
    let lacks_ttl = is_complete && !is_duration;
    if lacks_ttl {
        result.put(TTL, &0);
    }
    let known = matches!(result.text(CACHE_SCOPE).as_deref(), Some("public" | "private"));
    let lacks_scope = is_complete && !known;
    if lacks_scope {
        result.put(CACHE_SCOPE, "private");
    }
    lacks_ttl || lacks_scope
}

pub(super) fn answered(result: &mut Object<'_>) -> bool {
    let mut meta = result.object(META).unwrap_or_default();
    meta.set(SERVER_INFO, Cow::Borrowed(&**IMPLEMENTATION));
    let meta = meta.to_json();
    result.set_json(META, Cow::Owned(meta));
    true
}

pub(super) fn untyped(result: &mut Object<'_>) -> bool {
    let had = result.get(RESULT_TYPE).is_some();
    result.remove(RESULT_TYPE);
    had
}

pub(super) fn loose_content(result: &mut Object<'_>) -> bool {
    let loose = result.get(STRUCTURED).filter(|structured| !Object::is(structured));
    let Some(structured) = loose.map(ToOwned::to_owned) else { return false };
    result.remove(STRUCTURED);
    let mut blocks: Vec<Box<RawValue>> = result.typed(CONTENT).unwrap_or_default();
    if !blocks.iter().any(|block| says(block, &structured)) {
        blocks.push(text_block(structured.get()));
        result.put(CONTENT, &blocks);
    }
    true
}

pub(super) fn later_blocks(result: &mut Object<'_>) -> bool {
    reworded(result, |kind| !matches!(kind, Some("text" | "image" | "resource" | "audio")))
}

pub(super) fn audio(result: &mut Object<'_>) -> bool {
    reworded(result, |kind| kind == Some("audio"))
}

/// Has blocks of some types become text: those of a tool's result, and that of each message of a
/// prompt's.
fn reworded(result: &mut Object<'_>, is_unknown: fn(Option<&str>) -> bool) -> bool {
    let in_message = |message: &RawValue| {
        let mut object = Object::read(message)?;
        let block = as_text(object.get(CONTENT)?, is_unknown)?;
        object.set(CONTENT, Cow::Owned(block));
        Some(object.to_raw())
    };
    let blocks = each(result, CONTENT, |block| as_text(block, is_unknown));
    let messages = each(result, MESSAGES, in_message);
    blocks || messages
}

/// Replaces what it can of a list's entries; says whether there was any.
fn each(
    result: &mut Object<'_>,
    member: &'static str,
    change: impl Fn(&RawValue) -> Option<Box<RawValue>>,
) -> bool {
    let mut entries: Vec<Box<RawValue>> = result.typed(member).unwrap_or_default();
    let mut changed = false;
    for entry in &mut entries {
        if let Some(new) = change(entry) {
            *entry = new;
            changed = true;
        }
    }
    if changed {
        result.put(member, &entries);
    }
    changed
}

/// The text block that stands for one of an unknown type; `None` where it is known.
fn as_text(block: &RawValue, is_unknown: fn(Option<&str>) -> bool) -> Option<Box<RawValue>> {
    let mut object = Object::read(block)?;
    if !is_unknown(object.text("type").as_deref()) {
        return None;
    }
    object.remove("data");
    Some(text_block(object.to_raw().get()))
}

fn text_block(text: &str) -> Box<RawValue> {
    let mut block = Object::default();
    block.put("type", "text");
    block.put("text", text);
    block.to_raw()
}

fn says(block: &RawValue, structured: &RawValue) -> bool {
    let text = Object::read(block).and_then(|block| block.typed::<String>("text"));
    let (Some(text), Ok(structured)) = (text, serde_json::from_str::<Value>(structured.get()))
    else {
        return false;
    };
    serde_json::from_str::<Value>(&text).is_ok_and(|value| value == structured)
}
