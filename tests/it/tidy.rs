//! The rules of the house that a compiler does not know, checked by reading the sources.
//!
//! Floors (DESIGN.md 11), introductions, sizes, where `anyhow` may stand. It reads text, not
//! syntax: comments and strings are blanked first, and what is left is searched for paths.

mod rules;
mod text;

use std::{fmt, fs, path::Path};

/// One broken rule, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    file: String,
    line: usize,
    rule: String,
    remedy: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rule, remedy } = self;
        write!(f, "{file}:{line}: {rule}; {remedy}")
    }
}

#[test]
fn the_sources_keep_the_rules_of_the_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "examples", "bench"] {
        collect(root, &root.join(folder), &mut files);
    }
    assert!(files.len() > 30, "only {} files were found", files.len());
    let violations: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| rules::violations(path, text))
        .map(|violation| violation.to_string())
        .collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Every Rust file below a folder, by its path from the root; `tests/env` holds other people's.
fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests/env" {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Path, text, and the one violation that must be found: its line and rule.
#[rustfmt::skip]
const BROKEN: [(&str, &str, usize, &str); 19] = [
    ("src/catalog/diff.rs", "//! D.\nuse crate::actor::server::X;", 2, "`catalog` imports `actor`"),
    ("src/face/mcp.rs", "//! F.\n\nfn f(x: crate::runtime::X) {}", 3, "`face` imports `runtime`"),
    ("src/face/mcp.rs", "//! F.\nuse crate::{\n    access::Gate,\n    upstream::Link,\n};", 4, "`face` imports `upstream`"),
    ("src/face.rs", "//! F.\nuse super::store::Store;", 2, "`face` imports `store`"),
    ("src/access.rs", "//! A.\npub use crate::catalog::View;", 2, "`access` imports `catalog`"),
    ("src/upstream/http.rs", "//! U.\nuse crate::store;", 2, "`upstream` imports `store`"),
    ("src/config/load.rs", "//! C.\nuse crate::cli::X;", 2, "`config` imports `cli`"),
    ("src/secret.rs", "//! S.\nuse crate::wire::X;", 2, "`secret` imports `wire`"),
    ("src/novel.rs", "//! N.", 1, "`novel` has no floor"),
    ("src/actor/root.rs", "//! R.\nuse crate::novel::X;", 2, "`actor` imports `novel`"),
    ("src/restart/ladder.rs", "//! L.\nlet now = Instant::now();", 2, "a decision reads a clock"),
    ("src/restart/ladder.rs", "//! L.\nuse tokio::time::Instant;", 2, "a decision uses `tokio`"),
    ("src/catalog.rs", "//! L.\nuse ractor::ActorRef;", 2, "a decision uses `ractor`"),
    ("src/id.rs", "use std::fmt;\n//! Late.", 1, "no introduction"),
    ("tests/it/x.rs", "", 1, "no introduction"),
    ("src/actor/root.rs", "//! R.\nuse super::super::id;", 2, "`super::super`"),
    ("src/actor/root.rs", "//! R.\nActor::spawn_linked(a, b);", 2, "`spawn_linked` without `handle_supervisor_evt`"),
    ("src/actor/root.rs", "//! R.\nuse anyhow::Result;", 2, "`anyhow` below the application"),
    ("src/face/mod.rs", "//! F.", 1, "a `mod.rs`"),
];

/// Path and text of what must be left alone.
#[rustfmt::skip]
const KEPT: [(&str, &str); 11] = [
    ("src/catalog.rs", "//! See [`crate::actor`].\nuse crate::{id::X, wire::Y};\n// crate::actor"),
    ("src/catalog.rs", "//! C.\nconst T: &str = \"crate::actor tokio::spawn\";\nlet c = '\"'; // anyhow"),
    ("src/catalog.rs", "//! C.\nconst T: &str = r#\"x \" crate::actor\"#; /* crate::face /* */ crate::cli */"),
    ("src/wire/meta.rs", "//! W.\nuse super::Object;\nuse crate::wire::raw;\nfn f<'a>(x: &'a str) {}"),
    ("src/runtime.rs", "//! R.\npub use crate::actor::server::*;\nuse crate::catalog::X;"),
    ("src/access.rs", "//! A.\nuse crate::runtime::X;\nuse crate::store::Y;"),
    ("src/cli/serve.rs", "//! S.\nuse anyhow::Context;\nuse crate::{app, config::Config};"),
    ("src/actor/root.rs", "//! R.\nspawn_linked(x);\nasync fn handle_supervisor_evt() {}"),
    ("tests/it/x.rs", "//! T.\nuse anyhow::Result;\nuse crate::support::x;"),
    ("src/main.rs", "//! M.\nuse switchboard::cli;"),
    ("src/lib.rs", "//! L.\npub mod access;\npub use runtime::Runtime;"),
];

#[test]
fn each_rule_finds_what_breaks_it() {
    let long = format!("//! Long.\n{}", "\n".repeat(400));
    let too_long = ("src/actor.rs", long.as_str(), 401, "401 lines");
    for (path, text, line, rule) in BROKEN.into_iter().chain([too_long]) {
        let found = rules::violations(path, text);
        assert!(
            matches!(&found[..], [one] if one.line == line && one.rule.contains(rule)),
            "{path} should break {rule:?} in line {line} and nothing else: {found:?}"
        );
    }
}

#[test]
fn what_keeps_the_rules_is_left_alone() {
    for (path, text) in KEPT {
        assert_eq!(rules::violations(path, text), [], "{path}");
    }
}
