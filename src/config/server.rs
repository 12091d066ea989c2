//! Server entries to canonical definitions: variables, paths, files of variables, the transport.
//!
//! An entry that is disabled never fails: what is wrong with it becomes a warning.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    check, environment,
    expand::{Variables, expand, from_environment},
    parse::Tree,
    path::KeyPath,
    problem::{Report, nearest_key},
    read::read,
};
use crate::{
    actor::server::{ServerConfig, ToolRule},
    id::ServerName,
    secret::Secret,
    upstream::{
        TransportConfig,
        stdio::{InheritEnv, StdioConfig},
    },
};

/// What entries may refer to.
pub(crate) struct Places<'a> {
    /// The environment, with `.env` under it.
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// The running program.
    pub(crate) executable: &'a Path,
    /// The folder of each layer, by the layer's name.
    pub(crate) folders: BTreeMap<String, PathBuf>,
    /// The folder where the process runs.
    pub(crate) folder: &'a Path,
}

impl Places<'_> {
    fn folder(&self, path: &KeyPath, report: &Report) -> &Path {
        report
            .origins
            .nearest(path)
            .and_then(|layer| self.folders.get(layer))
            .map_or(self.folder, PathBuf::as_path)
    }
}

/// Text as it was written, where it holds variables: what may be shown instead of their values.
pub(crate) type Written = BTreeMap<KeyPath, String>;

/// Reads every server of a table.
pub(crate) fn servers(
    tree: &mut Tree,
    path: &KeyPath,
    places: &Places<'_>,
    written: &mut Written,
    report: &mut Report,
) -> BTreeMap<ServerName, ServerConfig> {
    let mut servers = BTreeMap::new();
    let names: Vec<String> = tree.keys().cloned().collect();
    for name in names {
        let path = path.join(&name);
        let mark = report.errors.len();
        let Some(Value::Object(mut entry)) = tree.remove(&name) else {
            report.error(&path, "must be a table of keys", "");
            continue;
        };
        let enabled = entry.get("enabled") != Some(&Value::Bool(false));
        let server = server(&mut entry, &path, places, written, report);
        check::server(&server, &path, report);
        match ServerName::new(&name) {
            Ok(name) => {
                servers.insert(name, server);
            }
            Err(error) => report.error(&path, error.to_string(), "choose another name"),
        }
        if !enabled {
            report.forgive(mark);
        }
    }
    servers
}

fn server(
    entry: &mut Tree,
    path: &KeyPath,
    places: &Places<'_>,
    written: &mut Written,
    report: &mut Report,
) -> ServerConfig {
    for (key, value) in entry.iter_mut() {
        variables(value, &path.join(key), places, written, report);
    }
    locate(entry, path, places, report);
    let mut transport = transport(entry, path, report);
    if let TransportConfig::Stdio(stdio) = &mut transport {
        stdio.secrets = secrets(&path.join("args"), written, places);
    }
    let rules = tool_rules(entry, path, report);
    let base = json!({"transport": {"type": "stdio", "command": ""}});
    let read = read::<ServerConfig>(&base, entry, path, report);
    let mut server = read.unwrap_or_else(|| ServerConfig::new(transport.clone()));
    server.transport = transport;
    server.tool_rules = rules;
    server
}

/// Replaces the variables of every text in a value.
fn variables(
    value: &mut Value,
    path: &KeyPath,
    places: &Places<'_>,
    written: &mut Written,
    report: &mut Report,
) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                variables(value, &path.join(key), places, written, report);
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter_mut().enumerate() {
                variables(value, &path.join(&at.to_string()), places, written, report);
            }
        }
        Value::String(text) => {
            let known = Variables {
                environment: places.environment,
                folder: places.folder(path, report),
                executable: places.executable,
            };
            match expand(text, known) {
                Ok(expanded) if expanded != *text => {
                    written.insert(path.clone(), std::mem::replace(text, expanded));
                }
                Ok(_) => bare_variable(text, path, report),
                Err(errors) => {
                    for error in errors {
                        report.error(path, error.to_string(), error.remedy());
                    }
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What variables gave to a command's arguments: nothing else marks it as secret.
fn secrets(args: &KeyPath, written: &Written, places: &Places<'_>) -> Vec<Secret> {
    let of_args = written.iter().filter(|(path, _)| path.parent().as_ref() == Some(args));
    let given = of_args.flat_map(|(_, text)| from_environment(text, places.environment));
    given.map(Secret::from).collect()
}

/// Gemini CLI expands `$NAME`; we do not, because arguments and passwords hold plain dollars.
fn bare_variable(text: &str, path: &KeyPath, report: &mut Report) {
    let is_name = text.strip_prefix('$').is_some_and(|name| {
        name.starts_with(|first: char| first.is_ascii_uppercase())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    });
    if is_name {
        report.warn(
            path,
            "is passed on as it stands, `$` included",
            "a variable is written `${NAME}`",
        );
    }
}

/// Makes `cwd` absolute, and reads `envFile` into `env`, where the entry's own values win.
fn locate(entry: &mut Tree, path: &KeyPath, places: &Places<'_>, report: &mut Report) {
    let cwd_path = path.join("cwd");
    if let Some(Value::String(cwd)) = entry.get_mut("cwd") {
        *cwd = absolute(places.folder(&cwd_path, report), cwd).display().to_string();
    }
    let file_path = path.join("envFile");
    let Some(file) = entry.shift_remove("envFile") else {
        return;
    };
    let Value::String(file) = file else {
        report.error(&file_path, "must be text", "");
        return;
    };
    let file = absolute(places.folder(&file_path, report), &file);
    let name = file.display().to_string();
    let variables = match report.files.read(&file) {
        Ok(text) => match environment::variables(&name, &text) {
            Ok(variables) => variables,
            Err(problem) => {
                report.error(&file_path, problem.to_string(), "");
                return;
            }
        },
        Err(error) => {
            report.error(
                &file_path,
                format!("cannot read {name}: {error}"),
                "relative paths start from the configuration file's folder",
            );
            return;
        }
    };
    let env = entry.entry("env").or_insert_with(|| json!({}));
    if let Value::Object(env) = env {
        for (name, value) in variables {
            env.entry(name).or_insert(Value::String(value));
        }
    }
}

fn absolute(folder: &Path, path: &str) -> PathBuf {
    // Taking it apart drops the `.` of `cwd = "."`.
    folder.join(path).components().collect()
}

/// Takes what belongs to the transport out of an entry.
fn transport(entry: &mut Tree, path: &KeyPath, report: &mut Report) -> TransportConfig {
    let mut part = |keys: &[&str]| -> Tree {
        let keys = keys.iter();
        keys.filter_map(|key| Some(((*key).to_owned(), entry.shift_remove(*key)?))).collect()
    };
    let stdio = part(&["command", "args", "env", "cwd", "inherit_env"]);
    let http = part(&["url", "headers"]);
    let kind = match part(&["type"]).remove("type") {
        Some(Value::String(kind)) => kind,
        Some(_) => String::new(),
        None if stdio.contains_key("command") => "stdio".to_owned(),
        None if http.contains_key("url") => "http".to_owned(),
        None => {
            report.error(path, "has neither a command nor a url", "give one of them");
            return nowhere();
        }
    };
    let kind = meant(kind, &stdio, &http, path, report);
    let (kind, required, own, other) = match kind.as_str() {
        "stdio" => ("stdio", "command", stdio, http),
        "http" => ("http", "url", http, stdio),
        "sse" | "ws" => {
            report.error(
                &path.join("type"),
                format!("switchboard {} has no {kind} transport", env!("CARGO_PKG_VERSION")),
                "use the server's streamable HTTP endpoint, with \"http\" as its type",
            );
            ("http", "url", http, stdio)
        }
        _ => {
            report.error(&path.join("type"), "must be stdio or http", "");
            return nowhere();
        }
    };
    if own.get(required).is_none_or(|value| *value == "") {
        report.error(
            &path.join(required),
            format!("a server of type {kind} needs a {required}"),
            "",
        );
    }
    for key in other.keys() {
        report.warn(&path.join(key), format!("not read by a server of type {kind}"), "take it out");
    }
    read(&json!({"type": kind, required: ""}), &own, path, report).unwrap_or_else(nowhere)
}

/// The transport that an entry's other keys mean, where its type contradicts them.
fn meant(kind: String, stdio: &Tree, http: &Tree, path: &KeyPath, report: &mut Report) -> String {
    let (has, lacks, right) = match kind.as_str() {
        "http" | "sse" | "ws" => ("command", "url", "stdio"),
        "stdio" => ("url", "command", "http"),
        _ => return kind,
    };
    let has_one = |key: &str| stdio.contains_key(key) || http.contains_key(key);
    if !has_one(has) || has_one(lacks) {
        return kind;
    }
    report.error(
        &path.join("type"),
        format!("is {kind}, but the server has a {has} and no {lacks}"),
        format!("take `type` out, or make it {right:?}"),
    );
    right.to_owned()
}

/// The transport of an entry that names none: such an entry is refused, or disabled.
const fn nowhere() -> TransportConfig {
    TransportConfig::Stdio(StdioConfig {
        command: String::new(),
        args: Vec::new(),
        env: BTreeMap::new(),
        cwd: None,
        inherit_env: InheritEnv::Defaults,
        secrets: Vec::new(),
    })
}

/// Takes the rules of single tools out of `tools`, which keeps its filter.
fn tool_rules(entry: &mut Tree, path: &KeyPath, report: &mut Report) -> BTreeMap<String, ToolRule> {
    let Some(Value::Object(tools)) = entry.get_mut("tools") else {
        return BTreeMap::new();
    };
    let (filter, rules): (Tree, Tree) =
        std::mem::take(tools).into_iter().partition(|(key, _)| key == "allow" || key == "deny");
    *tools = filter;
    let path = path.join("tools");
    let (rules, others): (Tree, Tree) = rules.into_iter().partition(|(_, rule)| rule.is_object());
    for key in others.keys() {
        let message = "must be a table with the settings of the tools that this names";
        report.error(&path.join(key), message, nearest_key(key, ["allow", "deny"]));
    }
    read(&json!({}), &rules, &path, report).unwrap_or_default()
}
