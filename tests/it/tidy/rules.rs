//! The rules themselves: a path and a text in, violations out.

use super::{
    Violation,
    text::{code_only, first_segments, line_of, words},
};

/// Floor 0, in the order in which they may use each other.
const VOCABULARY: &[&str] = &["error", "id", "secret", "unit", "registry", "wire", "trace"];
const DECISIONS: &[&str] = &["restart", "catalog"];
/// Processes and their ends; beside the decisions, and used by those who start processes.
const GUARD: &[&str] = &["guard"];
const EDGES: &[&str] = &["upstream", "store"];
const KERNEL: &[&str] = &["actor"];
const DOOR: &[&str] = &["runtime"];
const ACCESS: &[&str] = &["access"];
const FACES: &[&str] = &["face"];
const TELEMETRY: &[&str] = &["telemetry"];
const CONFIG: &[&str] = &["config"];
const APP: &[&str] = &["app", "cli"];

/// Who may import whom, from the ground up. A module may always name itself.
#[rustfmt::skip]
const FLOORS: &[(&[&str], &[&[&str]])] = &[
    (DECISIONS, &[VOCABULARY]),
    (GUARD, &[]),
    (EDGES, &[VOCABULARY, GUARD]),
    (KERNEL, &[VOCABULARY, DECISIONS, GUARD, EDGES]),
    (DOOR, &[VOCABULARY, DECISIONS, GUARD, EDGES, KERNEL]),
    (ACCESS, &[VOCABULARY, &["store"], DOOR]),
    (FACES, &[VOCABULARY, ACCESS]),
    (TELEMETRY, &[VOCABULARY, DECISIONS, GUARD, EDGES, KERNEL, DOOR, ACCESS, FACES]),
    (CONFIG, &[VOCABULARY, DECISIONS, GUARD, EDGES, KERNEL, DOOR, ACCESS, FACES, TELEMETRY]),
    (APP, &[VOCABULARY, DECISIONS, GUARD, EDGES, KERNEL, DOOR, ACCESS, FACES, TELEMETRY, CONFIG, APP]),
];

/// Lines of a source file at most.
const MAX_LINES: usize = 400;

/// Everything that a file breaks.
pub fn violations(path: &str, source: &str) -> Vec<Violation> {
    let file = File { path, source, code: code_only(source) };
    let mut found = file.shape();
    found.extend(file.supervision());
    if let Some(module) = file.module() {
        found.extend(file.floors(module));
        found.extend(file.applications_errors(module));
        if DECISIONS.contains(&module) {
            found.extend(file.purity());
        }
    }
    found
}

struct File<'a> {
    path: &'a str,
    source: &'a str,
    code: String,
}

impl File<'_> {
    /// The top-level module that a library file belongs to; `lib.rs` and `main.rs` are of none.
    fn module(&self) -> Option<&str> {
        let name = self.path.strip_prefix("src/")?;
        let module = name.split(['/', '.']).next()?;
        (module != "lib" && module != "main").then_some(module)
    }

    fn violation(&self, line: usize, rule: impl Into<String>, remedy: &'static str) -> Violation {
        Violation { file: self.path.to_owned(), line, rule: rule.into(), remedy }
    }

    /// Violations wherever a word stands by itself in the code.
    fn each(&self, word: &str, rule: &str, remedy: &'static str) -> Vec<Violation> {
        words(&self.code, word)
            .map(|at| self.violation(line_of(&self.code, at), rule, remedy))
            .collect()
    }

    fn shape(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if !self.source.starts_with("//!") {
            found.push(self.violation(
                1,
                "no introduction in line one",
                "say in a `//!` what the file is, who owns it and what it never does",
            ));
        }
        if self.path.ends_with("/mod.rs") {
            found.push(self.violation(1, "a `mod.rs`", "put `foo.rs` beside `foo/`"));
        }
        let lines = self.source.lines().count();
        if self.path.starts_with("src/") && lines > MAX_LINES {
            found.push(self.violation(
                lines,
                format!("{lines} lines, {MAX_LINES} is the limit"),
                "look for the second concept and give it a file of its own",
            ));
        }
        found.extend(self.each(
            "super::super",
            "a path through `super::super`",
            "name the module from `crate::`",
        ));
        found
    }

    fn supervision(&self) -> Vec<Violation> {
        if self.code.contains("handle_supervisor_evt") {
            return Vec::new();
        }
        self.each(
            "spawn_linked",
            "`spawn_linked` without `handle_supervisor_evt`",
            "handle every supervision event: the framework's default stops the parent",
        )
    }

    fn applications_errors(&self, module: &str) -> Vec<Violation> {
        if APP.contains(&module) {
            return Vec::new();
        }
        self.each(
            "anyhow",
            "`anyhow` below the application",
            "give the module a `thiserror` enum that can be classified",
        )
    }

    fn purity(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for framework in ["tokio", "ractor"] {
            found.extend(self.each(
                framework,
                &format!("a decision uses `{framework}`"),
                "decide in a pure function and let an actor carry it out",
            ));
        }
        for clock in ["Instant::now", "SystemTime::now"] {
            found.extend(self.each(
                clock,
                "a decision reads a clock",
                "take the time as an argument",
            ));
        }
        found
    }

    fn floors(&self, module: &str) -> Vec<Violation> {
        const REMEDY: &str =
            "see the floors in DESIGN.md 11: go through the door below, or pass the value in";
        let Some(allowed) = imports_of(module) else {
            return vec![self.violation(
                1,
                format!("`{module}` has no floor"),
                "give it a row in tests/it/tidy/rules.rs and in DESIGN.md 11",
            )];
        };
        let mut paths = first_segments(&self.code, "crate::");
        // Directly under `src`, the parent is the crate; deeper down it is the module itself.
        if !self.path.trim_start_matches("src/").contains('/') {
            let known = |(_, name): &(usize, &str)| imports_of(name).is_some();
            paths.extend(first_segments(&self.code, "super::").into_iter().filter(known));
        }
        paths
            .into_iter()
            .filter(|(_, name)| *name != module && !allowed.contains(name))
            .map(|(at, name)| {
                let rule = format!("`{module}` imports `{name}`");
                self.violation(line_of(&self.code, at), rule, REMEDY)
            })
            .collect()
    }
}

/// What a module may import; `None` for one that has no floor.
fn imports_of(module: &str) -> Option<Vec<&'static str>> {
    if let Some(place) = VOCABULARY.iter().position(|name| *name == module) {
        return Some(VOCABULARY[..place].to_vec());
    }
    let (_, groups) = FLOORS.iter().find(|(modules, _)| modules.contains(&module))?;
    Some(groups.concat())
}
