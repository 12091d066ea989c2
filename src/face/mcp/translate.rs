//! What a server's result or definition becomes for the client's revision: the rows of the table
//! of changes (`wire::change`) that are about them, walked in order.
//!
//! Everything that no row names leaves as the server sent it.

use std::{borrow::Cow, sync::LazyLock};

use serde::Serialize;

use super::{Outcome, fault::Fault};
use crate::{
    access::Subject,
    wire::{
        Era, Needle, Object, Pieces, Primitive, RawValue, Revision,
        change::{self, Change},
        envelope::code,
        into_text, method, raw,
        result::{INPUT_REQUIRED, RESULT_TYPE},
        task::TASK,
    },
};

mod steps;

const COMPLETE: &str = "complete";
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

/// Who carries out a row of the table.
struct Step {
    row: &'static Change,
    /// Whether answers about this have anything of it.
    concerns: fn(&Subject) -> bool,
    /// What stands in every result that it changes, so that most need not be read.
    needle: Option<&'static Needle>,
    /// Says whether it changed anything.
    carry_out: fn(&mut Object<'_>) -> bool,
}

static TYPE: Needle = Needle::new(RESULT_TYPE);
static OUTPUT: Needle = Needle::new(OUTPUT_SCHEMA);
static STRUCTURED: Needle = Needle::new(steps::STRUCTURED);

/// In the order in which they are carried out.
const STEPS: [Step; 7] = [
    Step { row: &change::TYPED, concerns: any, needle: None, carry_out: steps::typed },
    Step { row: &change::FRESHNESS, concerns: resource, needle: None, carry_out: steps::fresh },
    Step { row: &change::ANSWERER, concerns: any, needle: None, carry_out: steps::answered },
    Step { row: &change::UNTYPED, concerns: any, needle: Some(&TYPE), carry_out: steps::untyped },
    Step {
        row: &change::LATER_BLOCKS,
        concerns: blocks,
        needle: None,
        carry_out: steps::later_blocks,
    },
    Step { row: &change::AUDIO, concerns: blocks, needle: None, carry_out: steps::audio },
    Step {
        row: &change::LOOSE_CONTENT,
        concerns: tool,
        needle: Some(&STRUCTURED),
        carry_out: steps::loose_content,
    },
];

fn any(_: &Subject) -> bool {
    true
}

fn tool(subject: &Subject) -> bool {
    // What came of a task is the result of its call.
    matches!(subject, Subject::Tool(_) | Subject::Task { method: method::TASKS_RESULT, .. })
}

fn resource(subject: &Subject) -> bool {
    matches!(subject, Subject::Resource(_))
}

fn blocks(subject: &Subject) -> bool {
    tool(subject) || matches!(subject, Subject::Prompt(_))
}

/// What a server answered about something of a kind, for a client of any revision.
pub(crate) fn result(subject: &Subject, result: Box<RawValue>, revision: Revision) -> Outcome {
    let is_due = |step: &&Step| {
        step.row.is_for(revision)
            && (step.concerns)(subject)
            && step.needle.is_none_or(|needle| needle.is_in(&result))
    };
    let due: Vec<&Step> = STEPS.iter().filter(is_due).collect();
    if due.is_empty() {
        return Ok(into_text(result).into());
    }
    let unusable = || {
        let text =
            "the server's result is of a type, or has so many members, that it cannot be passed on";
        Fault::new(code::INTERNAL, text)
    };
    let result = Pieces::from(into_text(result));
    let mut object = result.object().ok_or_else(unusable)?;
    // Only an extension knows which types of results it has.
    let is_open = revision.era() == Era::Legacy || matches!(subject, Subject::Extension { .. });
    if !is_open && !is_of_known_type(&object) {
        return Err(unusable());
    }
    let mut changed = false;
    for step in due {
        changed |= (step.carry_out)(&mut object);
    }
    let edited = changed.then(|| object.to_pieces(&result));
    Ok(edited.unwrap_or(result))
}

/// Whether a modern client can be given a result: it must not take one for complete that is not.
fn is_of_known_type(result: &Object<'_>) -> bool {
    result.get(RESULT_TYPE).is_none()
        || matches!(result.text(RESULT_TYPE).as_deref(), Some(COMPLETE | INPUT_REQUIRED | TASK))
}

/// A definition for a client of any revision; only those of tools differ.
pub(crate) fn definition(
    primitive: Primitive,
    definition: &RawValue,
    revision: Revision,
) -> Cow<'_, RawValue> {
    let is_told = primitive != Primitive::Tool || !change::LOOSE_SCHEMA.is_for(revision);
    if is_told || !OUTPUT.is_in(definition) {
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
        of_tool(value, revision).unwrap()
    }

    fn modern(value: &str) -> Result<String, Fault> {
        of_tool(value, Revision::LATEST)
    }

    fn of_tool(value: &str, revision: Revision) -> Result<String, Fault> {
        written(&Subject::Tool("t".to_owned()), value, revision)
    }

    fn written(subject: &Subject, value: &str, revision: Revision) -> Result<String, Fault> {
        result(subject, text(value), revision).map(|it| it.whole().unwrap().to_owned())
    }

    #[test]
    fn a_legacy_servers_result_becomes_complete_for_a_modern_client() {
        let result = modern(r#"{"content":[],"_meta":{"x":1.0}}"#);
        let expected = format!(
            r#"{{"content":[],"_meta":{{"x":1.0,"io.modelcontextprotocol/serverInfo":{}}},"resultType":"complete"}}"#,
            IMPLEMENTATION.get()
        );
        assert_eq!(result.unwrap(), expected);
        for refused in [r#"{"resultType":"odd"}"#, r#"{"resultType":1}"#, "[]"] {
            assert!(modern(refused).is_err());
        }
    }

    #[test]
    fn a_resource_says_in_full_how_long_it_may_be_kept() {
        let read = |value: &str| {
            let subject = Subject::Resource("x:y".to_owned());
            let result = text(&written(&subject, value, Revision::LATEST).unwrap());
            let result = Object::read(&result).unwrap();
            (result.typed::<u64>("ttlMs").unwrap(), result.typed::<String>("cacheScope").unwrap())
        };
        for (said, (ttl, scope)) in [
            (r#"{"contents":[],"ttlMs":9,"cacheScope":"public"}"#, (9, "public")),
            ("{}", (0, "private")),
            (r#"{"ttlMs":9}"#, (9, "private")),
            (r#"{"ttlMs":-1,"cacheScope":"public"}"#, (0, "public")),
            (r#"{"ttlMs":9,"cacheScope":"all"}"#, (9, "private")),
        ] {
            assert_eq!(read(said), (ttl, scope.to_owned()), "{said}");
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
        let escaped = text(r#"{"output\u0053chema":{"type":"array"},"x":1}"#);
        assert_eq!(tool(&escaped, Revision::LATEST_LEGACY).get(), r#"{"x":1}"#);
        let object = text(r#"{"name":"t","outputSchema":{"type":"object"}}"#);
        assert_eq!(tool(&object, Revision::LATEST_LEGACY).get(), object.get());
    }
}
