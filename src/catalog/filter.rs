//! Allow and deny globs over names.
//!
//! `*` matches any characters, `?` one, `[ab]` one of a set, `{a,b}` either (globset). Case counts.

use globset::{Glob, GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Globs of names that pass and that do not; a denied name never passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolFilter {
    /// Names that pass. Default: all.
    pub allow: Vec<String>,
    /// Names that do not. Default: none.
    pub deny: Vec<String>,
}

impl Default for ToolFilter {
    fn default() -> Self {
        Self { allow: vec!["*".to_owned()], deny: Vec::new() }
    }
}

/// A glob that does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(#[from] globset::Error);

impl ToolFilter {
    /// Compiles the globs.
    ///
    /// # Errors
    /// [`FilterError`] names the glob and what is wrong with it.
    pub fn matcher(&self) -> Result<ToolMatcher, FilterError> {
        Ok(ToolMatcher { allow: Some(set(&self.allow)?), deny: set(&self.deny)? })
    }
}

fn set(globs: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(Glob::new(glob)?);
    }
    set.build()
}

/// Compiled globs. The default passes everything.
#[derive(Clone, Debug, Default)]
pub struct ToolMatcher {
    allow: Option<GlobSet>,
    deny: GlobSet,
}

impl ToolMatcher {
    /// Whether a name passes.
    pub fn passes(&self, name: &str) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.is_match(name)) && !self.deny.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_wins_over_allow_and_a_bad_glob_is_named() {
        let filter = |allow: &[&str], deny: &[&str]| ToolFilter {
            allow: allow.iter().map(ToString::to_string).collect(),
            deny: deny.iter().map(ToString::to_string).collect(),
        };
        let matcher = filter(&["get_*", "a/b"], &["get_secret*"]).matcher().unwrap();
        for (name, passes) in [
            ("get_x", true),
            ("get_a/b", true),
            ("a/b", true),
            ("get_secrets", false),
            ("Get_x", false),
        ] {
            assert_eq!(matcher.passes(name), passes, "{name}");
        }
        assert!(!filter(&[], &[]).matcher().unwrap().passes("x"));
        assert!(ToolFilter::default().matcher().unwrap().passes("x"));
        assert!(ToolMatcher::default().passes("x"));
        let error = filter(&["a["], &[]).matcher().unwrap_err().to_string();
        assert!(error.contains("a["), "{error}");
    }
}
