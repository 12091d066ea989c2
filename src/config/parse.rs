//! Text to trees: TOML, YAML and JSON (with comments and trailing commas) mean the same.
//!
//! Errors name the line and never quote it, because a secret may stand there.

use std::{collections::BTreeSet, path::Path};

use figment::providers::{Format as _, Toml};
use jsonc_parser::{CollectOptions, ParseOptions, ast, common::Ranged as _};
use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

use super::{path::KeyPath, problem::Problem};

/// A table as every format gives it.
pub(crate) type Tree = Map<String, Value>;

/// Reads a text in the format that the file's name says.
pub(crate) fn parse(file: &str, text: &str) -> Result<Tree, Problem> {
    let text = text.trim_start_matches('\u{feff}');
    let extension = Path::new(file)
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
        .to_lowercase();
    let value = match extension.as_str() {
        "toml" => toml(text),
        "yaml" | "yml" => yaml(text),
        "json" | "jsonc" => json(text),
        _ => Err((
            String::new(),
            "the file's name does not end in .toml, .yaml, .yml, .json or .jsonc".to_owned(),
        )),
    };
    match value {
        Ok(Value::Object(mut tree)) => {
            tree.retain(|_, value| prune(value));
            Ok(tree)
        }
        Ok(Value::Null) => Ok(Tree::new()),
        Ok(_) => Err((String::new(), "the root is not a table of keys".to_owned())),
        Err(error) => Err(error),
    }
    .map_err(|(path, message)| Problem {
        file: Some(file.to_owned()),
        path,
        message,
        remedy: String::new(),
    })
}

/// Takes out what is null: `key:` without a value says nothing. False for null itself.
fn prune(value: &mut Value) -> bool {
    if let Value::Object(tree) = value {
        tree.retain(|_, value| prune(value));
    }
    !value.is_null()
}

type Failure = (String, String);

fn toml(text: &str) -> Result<Value, Failure> {
    let value = Toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|char| *char != '\n').count() + 1;
        let message = error.message().replace('\n', ", ");
        (place(line, column), message)
    })?;
    // TOML has no null: it is what JSON makes of `nan` and `inf`.
    match null(&value, &KeyPath::default()) {
        Some(path) => Err(not_finite(&path)),
        None => Ok(value),
    }
}

fn null(value: &Value, path: &KeyPath) -> Option<KeyPath> {
    match value {
        Value::Null => Some(path.clone()),
        Value::Object(table) => table.iter().find_map(|(key, value)| null(value, &path.join(key))),
        Value::Array(list) => {
            let mut list = list.iter().enumerate();
            list.find_map(|(at, value)| null(value, &path.join(&at.to_string())))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn not_finite(path: &KeyPath) -> Failure {
    (path.to_string(), "is not a finite number".to_owned())
}

fn yaml(text: &str) -> Result<Value, Failure> {
    let failure = |error: serde_yaml_ng::Error| match error.location() {
        Some(at) => {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            (place(at.line(), at.column()), message.to_owned())
        }
        None => (String::new(), error.to_string()),
    };
    let mut value: Yaml = serde_yaml_ng::from_str(text).map_err(failure)?;
    value.apply_merge().map_err(failure)?;
    if let Some(path) = infinite(&value, &KeyPath::default()) {
        return Err(not_finite(&path));
    }
    serde_json::to_value(value).map_err(|error| (String::new(), error.to_string()))
}

/// The first `.nan` or `.inf`, which JSON would take for nothing.
fn infinite(value: &Yaml, path: &KeyPath) -> Option<KeyPath> {
    match value {
        Yaml::Number(number) => (!number.is_finite()).then(|| path.clone()),
        Yaml::Mapping(table) => table.iter().find_map(|(key, value)| {
            infinite(value, &path.join(key.as_str().unwrap_or("(not a text)")))
        }),
        Yaml::Sequence(list) => {
            let mut list = list.iter().enumerate();
            list.find_map(|(at, value)| infinite(value, &path.join(&at.to_string())))
        }
        Yaml::Tagged(tagged) => infinite(&tagged.value, path),
        Yaml::Null | Yaml::Bool(_) | Yaml::String(_) => None,
    }
}

fn json(text: &str) -> Result<Value, Failure> {
    // Comments and trailing commas are how clients write; a missing comma is a mistake.
    let options = ParseOptions {
        allow_missing_commas: false,
        allow_loose_object_property_names: false,
        ..ParseOptions::default()
    };
    let parsed = jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &options).map_err(
        |error| {
            (
                place(error.line_display(), error.column_display()),
                error.kind().to_string().to_lowercase(),
            )
        },
    )?;
    let Some(value) = parsed.value else { return Ok(Value::Null) };
    if let Some((path, start)) = repeated(&value, &KeyPath::default()) {
        let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
        return Err((path.to_string(), format!("stands here again, in line {line}; keep one")));
    }
    Ok(Value::from(value))
}

/// The first key that its table has already, of which only one would count, and where it starts.
fn repeated(value: &ast::Value<'_>, path: &KeyPath) -> Option<(KeyPath, usize)> {
    match value {
        ast::Value::Object(table) => {
            let mut known = BTreeSet::new();
            table.properties.iter().find_map(|property| {
                let key = property.name.as_str();
                let path = path.join(key);
                if known.insert(key) {
                    repeated(&property.value, &path)
                } else {
                    Some((path, property.start()))
                }
            })
        }
        ast::Value::Array(list) => {
            let mut list = list.elements.iter().enumerate();
            list.find_map(|(at, value)| repeated(value, &path.join(&at.to_string())))
        }
        ast::Value::StringLit(_)
        | ast::Value::NumberLit(_)
        | ast::Value::BooleanLit(_)
        | ast::Value::NullKeyword(_) => None,
    }
}

fn place(line: usize, column: usize) -> String {
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_three_formats_mean_the_same() {
        let toml = "[limits]\nconnects = 3 # three\n[mcpServers.a]\nargs = [\"-y\"]\n";
        let yaml = "limits: {connects: 3} # three\nmcpServers:\n  a:\n    args: [-y]\n";
        let json = "\u{feff}{\"limits\": {\"connects\": 3,}, // three\n \
                    \"mcpServers\": {\"a\": {\"args\": [\"-y\",]}}}";
        let expected = json!({"limits": {"connects": 3}, "mcpServers": {"a": {"args": ["-y"]}}});
        for (file, text) in [("a.toml", toml), ("a.yml", yaml), (".mcp.json", json)] {
            assert_eq!(Value::Object(parse(file, text).unwrap()), expected, "{file}");
        }
    }

    #[test]
    fn a_text_without_keys_is_an_empty_tree() {
        for file in ["a.toml", "a.yaml", "a.json"] {
            assert!(parse(file, "").unwrap().is_empty(), "{file}");
        }
        assert!(parse("a.yaml", "monitoring:\nlimits: {}").unwrap().len() == 1);
    }

    #[test]
    fn a_text_that_cannot_be_read_names_its_line_and_not_its_words() {
        for (file, text, place) in [
            ("a.toml", "[limits]\ntoken = \"hunter2\n", "a.toml: line 2"),
            ("a.yaml", "limits:\n  token: \"hunter2\n", "a.yaml: line "),
            ("a.json", "{\n \"token\": \"hunter2\n}", "a.json: line 2"),
        ] {
            let problem = parse(file, text).unwrap_err().to_string();
            assert!(problem.starts_with(place), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
            assert!(!problem.contains('\n'), "{problem}");
        }
        assert_eq!(
            parse("notes.txt", "").unwrap_err().to_string(),
            "notes.txt: the file's name does not end in .toml, .yaml, .yml, .json or .jsonc"
        );
        assert!(parse("a.json", "[1]").is_err());
    }

    #[test]
    fn a_key_that_stands_twice_in_its_table_is_named() {
        let text = "{\"mcpServers\": {\n \"a\": {\"url\": \"x\"},\n \"a\": {}}}";
        assert_eq!(
            parse("a.json", text).unwrap_err().to_string(),
            "a.json: mcpServers.a: stands here again, in line 3; keep one"
        );
        for (file, text) in [("a.yaml", "a: 1\na: 2\n"), ("a.toml", "a = 1\na = 2\n")] {
            assert!(parse(file, text).is_err(), "{file}");
        }
        assert!(parse("a.json", "{\"a\": {\"x\": 1}, \"b\": {\"x\": 1}}").is_ok());
    }

    #[test]
    fn a_number_that_is_not_finite_is_refused_and_an_absent_value_is_not() {
        for (file, text) in [
            ("a.yaml", "monitoring: {cleanup_hours: .nan}"),
            ("a.yaml", "monitoring: {cleanup_hours: -.inf}"),
            ("a.toml", "monitoring.cleanup_hours = nan"),
            ("a.toml", "monitoring.cleanup_hours = -inf"),
        ] {
            assert_eq!(
                parse(file, text).unwrap_err().to_string(),
                format!("{file}: monitoring.cleanup_hours: is not a finite number"),
                "{text}"
            );
        }
        assert!(parse("a.yaml", "monitoring: {cleanup_hours: }").is_ok());
    }
}
