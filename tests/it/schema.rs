//! The published schemas and examples: the validator tells right from wrong, and every example
//! passes through the wire's own types unharmed.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use switchboard::wire::{Message, Object, RawValue, Revision, envelope};

use crate::support::schema::{definitions, folder, validate};

/// One published example message of 2026-07-28.
struct Example {
    path: PathBuf,
    type_name: String,
    text: String,
    value: Value,
}

fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    for entry in fs::read_dir(folder().join("examples-2026-07-28")).unwrap() {
        let folder = entry.unwrap().path();
        let type_name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            examples.push(Example {
                value: serde_json::from_str(&text).unwrap(),
                type_name: type_name.clone(),
                path,
                text,
            });
        }
    }
    assert!(examples.len() >= 129, "only {} examples: are the files there?", examples.len());
    examples
}

#[test]
fn every_published_example_is_valid_against_its_own_type() {
    let broken: Vec<String> = examples()
        .iter()
        .filter_map(|example| {
            validate(Revision::V2026_07_28, &example.type_name, &example.value)
                .err()
                .map(|why| format!("{}: {why}", example.path.display()))
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn an_example_without_one_of_its_required_members_is_invalid() {
    let definitions = definitions(Revision::V2026_07_28);
    let mut tried = 0;
    for example in examples() {
        let required = definitions[&example.type_name].get("required");
        for member in required.and_then(Value::as_array).into_iter().flatten() {
            let mut broken = example.value.clone();
            let members = broken.as_object_mut().unwrap();
            assert!(members.remove(member.as_str().unwrap()).is_some());
            assert!(
                validate(Revision::V2026_07_28, &example.type_name, &broken).is_err(),
                "{} is valid without {member}",
                example.path.display()
            );
            tried += 1;
        }
    }
    assert!(tried > 100, "only {tried} members were tried");
}

#[test]
fn each_revision_is_checked_by_its_own_rules() {
    let tool = json!({"name": "x", "inputSchema": {"type": "object"}});
    let modern = json!({
        "resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [tool],
    });
    let legacy = json!({ "tools": [tool] });
    for revision in Revision::ALL {
        let (right, wrong) = if revision == Revision::V2026_07_28 {
            (&modern, json!({"tools": [tool]}))
        } else {
            (&legacy, json!({"tools": [{"name": "x"}]}))
        };
        assert_eq!(validate(revision, "ListToolsResult", right), Ok(()));
        let why = validate(revision, "ListToolsResult", &wrong).unwrap_err();
        assert!(why.contains(revision.as_str()), "{why}");
        assert_eq!(
            validate(
                revision,
                "JSONRPCMessage",
                &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
            ),
            Ok(())
        );
        assert!(validate(revision, "JSONRPCMessage", &json!({"id": 1, "method": "x"})).is_err());
    }
}

#[test]
fn every_example_passes_through_an_object_unharmed() {
    let mut objects = 0;
    for example in examples() {
        let raw = RawValue::from_string(example.text.trim().to_owned()).unwrap();
        if !example.value.is_object() {
            assert!(Object::read(&raw).is_none(), "{}", example.path.display());
            continue;
        }
        let out = Object::read(&raw).unwrap().to_raw();
        assert_same(&example, out.get());
        objects += 1;
    }
    assert!(objects >= 120, "only {objects} examples are objects");
}

#[test]
fn every_example_message_passes_through_an_envelope_unharmed() {
    let mut messages = 0;
    for example in examples() {
        if example.value.get("jsonrpc").is_none() {
            continue;
        }
        let line = match Message::parse(example.text.as_bytes()).unwrap() {
            Message::Request { id, method, params } => envelope::request(&id, &method, params),
            Message::Notification { method, params } => envelope::notification(&method, params),
            Message::Response { id: Some(id), outcome: Ok(result) } => {
                envelope::result(&id, result)
            }
            Message::Response { id, outcome: Err(error) } => envelope::error(id.as_ref(), &error),
            Message::Response { id: None, .. } => {
                panic!("{}: a result without an id", example.path.display())
            }
        };
        let text = String::from_utf8(line).unwrap();
        assert!(!text.contains(['\n', '\r']), "{text}");
        assert_same(&example, &text);
        messages += 1;
    }
    assert!(messages >= 32, "only {messages} examples are messages");
}

/// Equal in content and in the order of all members.
fn assert_same(example: &Example, text: &str) {
    let after: Value = serde_json::from_str(text).unwrap();
    assert_eq!(after.to_string(), example.value.to_string(), "{}", example.path.display());
}
