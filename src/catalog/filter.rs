//! Which tools are shown: globs of names.
//!
//! A filter is configuration; its matcher is the filter made ready once. Neither knows whose
//! names it is asked about.

use globset::{GlobBuilder, GlobMatcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest glob, in bytes: far more than any name, far less than a compiler would refuse.
const MAX_GLOB: usize = 1024;

/// Globs of names that pass and that do not; a denied name never passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolFilter {
    /// Names that pass. Default: all.
    pub allow: Vec<String>,
    /// Names that do not.
    pub deny: Vec<String>,
}

impl Default for ToolFilter {
    fn default() -> Self {
        Self { allow: vec!["*".to_owned()], deny: Vec::new() }
    }
}

impl ToolFilter {
    /// Makes the filter ready to match. Globs know `*`, `?`, `[…]` and `{a,b}`, and `\` before a
    /// character that means itself; they are case-sensitive, and `*` matches any characters.
    ///
    /// # Errors
    /// [`FilterError`] names the first glob that is none.
    pub fn matcher(&self) -> Result<ToolMatcher, FilterError> {
        Ok(ToolMatcher {
            everything: self.allow.iter().any(|glob| glob == "*"),
            allow: compile("allow", &self.allow)?,
            deny: compile("deny", &self.deny)?,
        })
    }
}

fn compile(list: &'static str, globs: &[String]) -> Result<Vec<GlobMatcher>, FilterError> {
    let mut matchers = Vec::with_capacity(globs.len());
    for glob in globs {
        if glob.len() > MAX_GLOB {
            return Err(FilterError::TooLong { list });
        }
        let built = GlobBuilder::new(glob).backslash_escape(true).build();
        let built =
            built.map_err(|source| FilterError::Syntax { list, glob: glob.clone(), source })?;
        matchers.push(built.compile_matcher());
    }
    Ok(matchers)
}

/// A glob that was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FilterError {
    /// Its brackets, braces or escapes do not fit together.
    #[error(
        "{list} has {glob:?}, which is no glob; close its brackets and braces, or put \\ before them"
    )]
    Syntax {
        /// `allow` or `deny`.
        list: &'static str,
        /// The glob.
        glob: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// No name is that long.
    #[error("{list} has a glob of more than {MAX_GLOB} bytes; split it into several")]
    TooLong {
        /// `allow` or `deny`.
        list: &'static str,
    },
}

/// A filter that is ready to match.
#[derive(Clone, Debug)]
pub struct ToolMatcher {
    /// Saves most filters a regular expression for each name.
    everything: bool,
    allow: Vec<GlobMatcher>,
    deny: Vec<GlobMatcher>,
}

impl PartialEq for ToolMatcher {
    fn eq(&self, other: &Self) -> bool {
        fn same(these: &[GlobMatcher], those: &[GlobMatcher]) -> bool {
            these.iter().map(GlobMatcher::glob).eq(those.iter().map(GlobMatcher::glob))
        }
        same(&self.allow, &other.allow) && same(&self.deny, &other.deny)
    }
}

impl Default for ToolMatcher {
    /// Passes everything.
    fn default() -> Self {
        Self { everything: true, allow: Vec::new(), deny: Vec::new() }
    }
}

impl ToolMatcher {
    /// Whether a name is shown: some glob allows it and none denies it.
    pub fn passes(&self, name: &str) -> bool {
        (self.everything || self.allow.iter().any(|glob| glob.is_match(name)))
            && !self.deny.iter().any(|glob| glob.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(allow: &[&str], deny: &[&str]) -> Result<ToolMatcher, FilterError> {
        let owned = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect();
        let filter = ToolFilter { allow: owned(allow), deny: owned(deny) };
        filter.matcher()
    }

    #[test]
    fn the_default_passes_everything() {
        for matcher in [ToolFilter::default().matcher().unwrap(), ToolMatcher::default()] {
            for name in ["a", "a/b.c", ".hidden", "..", "line\nbreak", "größe"] {
                assert!(matcher.passes(name), "{name:?}");
            }
        }
        assert!(!matcher(&[], &[]).unwrap().passes("a"), "nothing is allowed");
    }

    #[test]
    fn deny_wins_and_stars_cross_separators() {
        let matcher = matcher(&["get_*", "*.read", "{a,b}[0-9]"], &["*secret*", "*."]).unwrap();
        for name in ["get_x", "get_a/b/c", "fs/file.read", "a1", "b2"] {
            assert!(matcher.passes(name), "{name:?}");
        }
        for name in ["Get_x", "forget_x", "c1", "get_the_secret", "get_a/secret/b", "get_."] {
            assert!(!matcher.passes(name), "{name:?}");
        }
    }

    #[test]
    fn a_bad_glob_is_named() {
        assert_eq!(
            matcher(&["*"], &["ok", "x[a"]).unwrap_err().to_string(),
            r#"deny has "x[a", which is no glob; close its brackets and braces, or put \ before them"#
        );
        let long = "a".repeat(MAX_GLOB + 1);
        assert!(matches!(matcher(&[&long], &[]), Err(FilterError::TooLong { list: "allow" })));
        assert!(matcher(&[r"x\[a"], &[]).unwrap().passes("x[a"));
    }
}
