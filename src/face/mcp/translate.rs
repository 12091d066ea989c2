//! The published table of changes: what a result becomes for the client's revision.
//!
//! Everything that no row names leaves as the server sent it.
//!
//! | client | change |
//! |---|---|
//! | modern | `resultType: "complete"` where the server gave none; `serverInfo` in `_meta` is ours |
//! | modern | a resource's contents that do not say in full how long they may be kept, and for whom: `ttlMs: 0`, `cacheScope: "private"` |
//! | legacy | `resultType` is stripped |
//! | legacy | `structuredContent` that is no object becomes a text block, unless a block says the same |
//! | legacy | an `outputSchema` whose root is no object is dropped |
//! | before 2025-06-18 | `resource_link` blocks, of tools and of prompts, become text with their JSON |
//! | 2024-11-05 | `audio` blocks become text with their JSON, without `data` |

use std::{borrow::Cow, sync::LazyLock};

use serde::Serialize;
use serde_json::Value;

use super::fault::Fault;
use crate::{
    access::Subject,
    wire::{
        Era, Object, Primitive, RawValue, Revision,
        envelope::code,
        meta::{META, SERVER_INFO},
        raw,
        result::{INPUT_REQUIRED, RESULT_TYPE},
    },
};

const COMPLETE: &str = "complete";
const CONTENT: &str = "content";
const MESSAGES: &str = "messages";
const TTL: &str = "ttlMs";
const CACHE_SCOPE: &str = "cacheScope";
const STRUCTURED: &str = "structuredContent";
const OUTPUT_SCHEMA: &str = "outputSchema";

/// Who we are, as an `Implementation`.
pub(crate) static IMPLEMENTATION: LazyLock<Box<RawValue>> = LazyLock::new(|| {
    #[derive(Serialize)]
    struct Implementation {
        name: &'static str,
        title: &'static str,
        version: &'static str,
    }
    raw(&Implementation {
        name: "switchboard",
        title: "Switchboard",
        version: env!("CARGO_PKG_VERSION"),
    })
});

/// What a server answered about something of a kind, for a client of any revision.
pub(crate) fn result(
    subject: &Subject,
    result: Box<RawValue>,
    revision: Revision,
) -> Result<Box<RawValue>, Fault> {
    match (revision.era(), subject) {
        (Era::Modern, Subject::Extension { .. }) => extended_result(&result),
        (Era::Modern, _) => modern_result(&result, matches!(subject, Subject::Resource(_))),
        (Era::Legacy, Subject::Tool(_)) => Ok(tool_result(result, revision)),
        (Era::Legacy, Subject::Prompt(_)) => Ok(prompt_result(result, revision)),
        (
            Era::Legacy,
            Subject::Resource(_) | Subject::Completion(..) | Subject::Extension { .. },
        ) => Ok(untyped(result)),
    }
}

/// A result as a modern client wants it; one of a type that we cannot bridge is refused,
/// because its reader must not take it for complete.
fn modern_result(result: &RawValue, may_be_kept: bool) -> Result<Box<RawValue>, Fault> {
    let unusable =
        || Fault::new(code::INTERNAL, "the server's result has a type that cannot be passed on");
    let mut object = Object::read(result).ok_or_else(unusable)?;
    if object.get(RESULT_TYPE).is_none() {
        object.put(RESULT_TYPE, COMPLETE);
    } else if !matches!(object.text(RESULT_TYPE).as_deref(), Some(COMPLETE | INPUT_REQUIRED)) {
        return Err(unusable());
    }
    let is_complete = object.text(RESULT_TYPE).as_deref() == Some(COMPLETE);
    if may_be_kept && is_complete {
        let known = object.typed::<u64>(TTL).is_some();
        let scope = object.text(CACHE_SCOPE).map(Cow::into_owned);
        if !known || !matches!(scope.as_deref(), Some("public" | "private")) {
            object.put(TTL, &0);
            object.put(CACHE_SCOPE, "private");
        }
    }
    Ok(signed(object))
}

/// What an extension's method gave: only the extension knows which types of results there are.
fn extended_result(result: &RawValue) -> Result<Box<RawValue>, Fault> {
    let unusable = || Fault::new(code::INTERNAL, "the server's result is no object");
    let mut object = Object::read(result).ok_or_else(unusable)?;
    if object.get(RESULT_TYPE).is_none() {
        object.put(RESULT_TYPE, COMPLETE);
    }
    Ok(signed(object))
}

/// A result that says who gave it.
fn signed(mut object: Object<'_>) -> Box<RawValue> {
    let had_meta = object.get(META).map(ToOwned::to_owned);
    let mut meta = had_meta.as_deref().and_then(Object::read).unwrap_or_default();
    meta.set(SERVER_INFO, Cow::Borrowed(&**IMPLEMENTATION));
    object.set(META, Cow::Owned(meta.to_raw()));
    object.to_raw()
}

/// A result without the member that only modern ones have.
fn untyped(result: Box<RawValue>) -> Box<RawValue> {
    if !result.get().contains(RESULT_TYPE) {
        return result;
    }
    let Some(mut object) = Object::read(&result) else {
        return result;
    };
    object.remove(RESULT_TYPE);
    object.to_raw()
}

/// What a prompt was filled in to; each of its messages has one block.
fn prompt_result(result: Box<RawValue>, revision: Revision) -> Box<RawValue> {
    let result = untyped(result);
    if !lacks_blocks(revision) {
        return result;
    }
    let readable = |message: &RawValue| {
        let mut object = Object::read(message)?;
        let block = as_known_block(object.get(CONTENT)?, revision)?;
        object.set(CONTENT, Cow::Owned(block));
        Some(object.to_raw())
    };
    let Some(mut object) = Object::read(&result) else {
        return result;
    };
    let mut messages: Vec<Box<RawValue>> = object.typed(MESSAGES).unwrap_or_default();
    let mut changed = false;
    for message in &mut messages {
        if let Some(new) = readable(message) {
            *message = new;
            changed = true;
        }
    }
    if !changed {
        return result;
    }
    object.put(MESSAGES, &messages);
    object.to_raw()
}

/// Whether a revision lacks types of blocks that others have.
fn lacks_blocks(revision: Revision) -> bool {
    revision < Revision::V2025_06_18
}

fn tool_result(result: Box<RawValue>, revision: Revision) -> Box<RawValue> {
    let lacks_blocks = lacks_blocks(revision);
    let text = result.get();
    if !lacks_blocks && !text.contains(RESULT_TYPE) && !text.contains(STRUCTURED) {
        return result;
    }
    let Some(mut object) = Object::read(&result) else {
        return result;
    };
    object.remove(RESULT_TYPE);
    let mut blocks: Vec<Box<RawValue>> = object.typed(CONTENT).unwrap_or_default();
    let mut changed = false;
    if lacks_blocks {
        for block in &mut blocks {
            if let Some(readable) = as_known_block(block, revision) {
                *block = readable;
                changed = true;
            }
        }
    }
    let loose =
        object.get(STRUCTURED).filter(|structured| !is_object(structured)).map(ToOwned::to_owned);
    if let Some(structured) = loose {
        object.remove(STRUCTURED);
        if !blocks.iter().any(|block| says(block, &structured)) {
            blocks.push(text_block(structured.get()));
            changed = true;
        }
    }
    if changed {
        object.put(CONTENT, &blocks);
    }
    object.to_raw()
}

/// The text block that stands for one of a type that the revision lacks; `None` where it has it.
fn as_known_block(block: &RawValue, revision: Revision) -> Option<Box<RawValue>> {
    let mut object = Object::read(block)?;
    let known = match object.text("type").as_deref() {
        Some("text" | "image" | "resource") => true,
        Some("audio") => revision >= Revision::V2025_03_26,
        _ => false,
    };
    if known {
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

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// A definition for a client of any revision; only those of tools differ.
pub(crate) fn definition(
    primitive: Primitive,
    definition: &RawValue,
    revision: Revision,
) -> Cow<'_, RawValue> {
    let is_told = primitive != Primitive::Tool || revision.era() == Era::Modern;
    if is_told || !definition.get().contains(OUTPUT_SCHEMA) {
        return Cow::Borrowed(definition);
    }
    let Some(mut object) = Object::read(definition) else {
        return Cow::Borrowed(definition);
    };
    let is_legacy_schema = object.get(OUTPUT_SCHEMA).is_none_or(|schema| {
        Object::read(schema).and_then(|schema| schema.typed::<String>("type"))
            == Some("object".to_owned())
    });
    if is_legacy_schema {
        return Cow::Borrowed(definition);
    }
    object.remove(OUTPUT_SCHEMA);
    Cow::Owned(object.to_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Box<RawValue> {
        RawValue::from_string(value.to_owned()).unwrap()
    }

    fn legacy(value: &str, revision: Revision) -> String {
        tool_result(text(value), revision).get().to_owned()
    }

    fn modern(value: &str) -> Result<Box<RawValue>, Fault> {
        result(&Subject::Tool("t".to_owned()), text(value), Revision::LATEST)
    }

    #[test]
    fn a_legacy_servers_result_becomes_complete_for_a_modern_client() {
        let result = modern(r#"{"content":[],"_meta":{"x":1.0}}"#);
        let expected = format!(
            r#"{{"content":[],"_meta":{{"x":1.0,"io.modelcontextprotocol/serverInfo":{}}},"resultType":"complete"}}"#,
            IMPLEMENTATION.get()
        );
        assert_eq!(result.unwrap().get(), expected);
        for refused in [r#"{"resultType":"odd"}"#, r#"{"resultType":1}"#, "[]"] {
            assert!(modern(refused).is_err());
        }
    }

    #[test]
    fn a_resource_says_in_full_how_long_it_may_be_kept() {
        let read = |value: &str| {
            let subject = Subject::Resource("x:y".to_owned());
            let result = result(&subject, text(value), Revision::LATEST).unwrap();
            let result = Object::read(&result).unwrap();
            (result.typed::<u64>(TTL).unwrap(), result.typed::<String>(CACHE_SCOPE).unwrap())
        };
        let never = (0, "private".to_owned());
        let full = r#"{"contents":[],"ttlMs":9,"cacheScope":"public"}"#;
        assert_eq!(read(full), (9, "public".to_owned()));
        for partial in [
            "{}",
            r#"{"ttlMs":9}"#,
            r#"{"ttlMs":-1,"cacheScope":"public"}"#,
            r#"{"ttlMs":9,"cacheScope":"all"}"#,
        ] {
            assert_eq!(read(partial), never, "{partial}");
        }
    }

    #[test]
    fn a_legacy_client_gets_what_its_revision_knows() {
        let newest = Revision::LATEST_LEGACY;
        for untouched in [
            r#"{ "content" : [{"type":"novel"}] }"#,
            r#"{"content":[],"structuredContent":{"n":1.50}}"#,
        ] {
            assert_eq!(legacy(untouched, newest), untouched);
        }
        assert_eq!(
            legacy(r#"{"resultType":"complete","content":[]}"#, newest),
            r#"{"content":[]}"#
        );
        assert_eq!(
            legacy(r#"{"content":[],"structuredContent":[1]}"#, newest),
            r#"{"content":[{"type":"text","text":"[1]"}]}"#
        );
        assert_eq!(
            legacy(
                r#"{"content":[{"type":"text","text":"[ 1 ]"}],"structuredContent":[1]}"#,
                newest
            ),
            r#"{"content":[{"type":"text","text":"[ 1 ]"}]}"#
        );
        let audio = r#"{"content":[{"type":"audio","mimeType":"a/b","data":"AAAA"}]}"#;
        assert_eq!(legacy(audio, Revision::V2025_03_26), audio);
        assert_eq!(
            legacy(audio, Revision::V2024_11_05),
            r#"{"content":[{"type":"text","text":"{\"type\":\"audio\",\"mimeType\":\"a/b\"}"}]}"#
        );
        let link = r#"{"content":[{"type":"resource_link","uri":"x:y"}]}"#;
        assert_eq!(legacy(link, Revision::V2025_06_18), link);
        assert!(legacy(link, Revision::V2025_03_26).contains(r#""type":"text""#));
    }

    #[test]
    fn an_output_schema_without_an_object_root_is_for_modern_clients() {
        let list = text(r#"{"name":"t","outputSchema":{"type":"array"},"x":1}"#);
        let tool = |raw, revision| definition(Primitive::Tool, raw, revision);
        assert_eq!(tool(&list, Revision::LATEST).get(), list.get());
        assert_eq!(tool(&list, Revision::LATEST_LEGACY).get(), r#"{"name":"t","x":1}"#);
        let object = text(r#"{"name":"t","outputSchema":{"type":"object"}}"#);
        assert_eq!(tool(&object, Revision::LATEST_LEGACY).get(), object.get());
    }
}
