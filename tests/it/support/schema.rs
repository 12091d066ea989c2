//! The published schemas of every revision, as a validator of single types.
//!
//! Knows the files in `tests/schema` and nothing of Switchboard beyond its revisions.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use switchboard::wire::Revision;

/// Where the schemas stand.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema")
}

/// The definitions of a revision, by type.
pub fn definitions(revision: Revision) -> Map<String, Value> {
    let (_, definitions) = read(revision);
    definitions
}

/// Whether a revision has a type.
pub fn has_type(revision: Revision, type_name: &str) -> bool {
    type Names = Mutex<HashMap<Revision, HashSet<String>>>;
    static NAMES: LazyLock<Names> = LazyLock::new(Names::default);
    let mut names = NAMES.lock().unwrap();
    let of_revision = || definitions(revision).into_iter().map(|(name, _)| name).collect();
    names.entry(revision).or_insert_with(of_revision).contains(type_name)
}

/// Checks a value against one type of a revision, such as `ListToolsResult`.
///
/// # Errors
/// Every violation, with its place in the value, one a line.
pub fn validate(revision: Revision, type_name: &str, value: &Value) -> Result<(), String> {
    let validator = validator(revision, type_name);
    let violations: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{revision} {type_name}{}: {error}", error.instance_path()))
        .collect();
    if violations.is_empty() { Ok(()) } else { Err(violations.join("\n")) }
}

/// Fails the test with every violation and the value.
#[track_caller]
pub fn assert_valid(revision: Revision, type_name: &str, value: &Value) {
    if let Err(violations) = validate(revision, type_name, value) {
        panic!("{violations}\nin {value:#}");
    }
}

/// The key of the definitions (`definitions` until 2025-06-18, `$defs` since) and themselves.
fn read(revision: Revision) -> (&'static str, Map<String, Value>) {
    let path = folder().join(format!("{revision}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let mut schema: Value = serde_json::from_str(&text).expect("a published schema is JSON");
    for key in ["$defs", "definitions"] {
        if let Some(Value::Object(definitions)) = schema.get_mut(key).map(Value::take) {
            return (key, definitions);
        }
    }
    panic!("{} has no definitions", path.display());
}

type Cache = Mutex<HashMap<(Revision, String), Arc<Validator>>>;

/// Compiled once for each type, because the files are large.
fn validator(revision: Revision, type_name: &str) -> Arc<Validator> {
    static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);
    let mut cache = CACHE.lock().unwrap();
    let entry = cache.entry((revision, type_name.to_owned()));
    Arc::clone(entry.or_insert_with(|| Arc::new(compile(revision, type_name))))
}

fn compile(revision: Revision, type_name: &str) -> Validator {
    let (key, definitions) = read(revision);
    assert!(definitions.contains_key(type_name), "{revision} has no type {type_name}");
    let draft = if key == "$defs" {
        "https://json-schema.org/draft/2020-12/schema"
    } else {
        "http://json-schema.org/draft-07/schema#"
    };
    let schema = json!({
        "$schema": draft,
        "$ref": format!("#/{key}/{type_name}"),
        key: definitions,
    });
    jsonschema::validator_for(&schema)
        .unwrap_or_else(|why| panic!("{revision} {type_name} does not compile: {why}"))
}
