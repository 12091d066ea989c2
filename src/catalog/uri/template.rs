//! Which URIs a template (RFC 6570) may give.
//!
//! Servers write the templates and the URIs, and everybody waits while they are matched: all of it
//! has bounds.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};

/// Bytes of a template that is matched.
const LONGEST: usize = 1024;
/// Expressions of a template that is matched.
const EXPRESSIONS: usize = 8;
/// Bytes of a compiled template.
const REGEX_BYTES: usize = 64 * 1024;
/// Bytes of URIs that are matched before somebody else's turn comes: a tenth of a second at worst,
/// and thousands of links that few templates look alike to.
const EFFORT: usize = 4 * 1024 * 1024;
/// What the shortest match costs.
const LEAST: usize = 64;

/// More was to be matched than anybody may make others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

/// What is left of the bytes that may be matched: more than any one URI takes.
#[derive(Debug)]
pub struct Effort(usize);

impl Default for Effort {
    fn default() -> Self {
        Self(EFFORT)
    }
}

/// What matches every URI that a template can expand to, and little else.
#[derive(Clone, Debug)]
pub struct Template {
    /// What all of them begin with.
    prefix: String,
    expands: Regex,
}

impl Template {
    /// Prepares a template; `None` for one that is too big to be worth it.
    pub fn new(template: &str) -> Option<Self> {
        static EXPRESSION: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"\{([+#./;?&]?)[^{}]*\}").ok());
        if template.len() > LONGEST {
            return None;
        }
        let mut prefix = template;
        let mut pattern = "^".to_owned();
        let mut rest = 0;
        for (place, found) in EXPRESSION.as_ref()?.captures_iter(template).enumerate() {
            if place == EXPRESSIONS {
                return None;
            }
            let whole = found.get(0)?;
            let before = template.get(rest..whole.start())?;
            if place == 0 {
                prefix = before;
            }
            pattern.push_str(&regex::escape(before));
            pattern.push_str(match found.get(1)?.as_str() {
                "+" => ".*",
                "#" => "(#.*)?",
                "." => r"(\.[^/?#]*)?",
                "/" => "(/[^?#]*)?",
                ";" => "(;[^/?#]*)?",
                "?" => r"(\?[^#]*)?",
                "&" => "(&[^#]*)?",
                _ => "[^/?#]*",
            });
            rest = whole.end();
        }
        pattern.push_str(&regex::escape(template.get(rest..)?));
        pattern.push('$');
        let expands = RegexBuilder::new(&pattern).size_limit(REGEX_BYTES).build().ok()?;
        Some(Self { prefix: prefix.to_owned(), expands })
    }

    /// Whether it may give a URI.
    ///
    /// # Errors
    /// [`Exhausted`] where too little of the effort is left to say.
    pub fn may_give(&self, uri: &str, effort: &mut Effort) -> Result<bool, Exhausted> {
        if !uri.starts_with(&self.prefix) {
            return Ok(false);
        }
        effort.0 = effort.0.checked_sub(uri.len().max(LEAST)).ok_or(Exhausted)?;
        Ok(self.expands.is_match(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_matches_what_it_expands_to() {
        let matches = |text: &str, uri: &str| {
            Template::new(text).unwrap().may_give(uri, &mut Effort::default()).unwrap()
        };
        assert!(matches("demo://resource/{kind}/{id}", "demo://resource/text/1"));
        assert!(!matches("demo://resource/{kind}/{id}", "demo://resource/text/1/2"));
        assert!(!matches("demo://resource/{id}", "xdemo://resource/1"));
        assert!(matches("file:///{+path}", "file:///a/b?c"));
        assert!(matches("db://t{/schema,table}{?limit,offset}", "db://t/a/b?limit=1&offset=2"));
        assert!(matches("db://t{/schema}{?limit}", "db://t"));
        assert!(matches("{+anything}", "a:b") && matches("a:b", "a:b") && !matches("a:b", "a:bc"));
        assert!(!matches("a.b/{x}", "axb/1"), "what stands outside of braces is literal");
        for (big, at) in [("x".repeat(LONGEST + 1), 0), ("{+x}".repeat(EXPRESSIONS + 1), 1)] {
            assert!(Template::new(&big).is_none(), "{at}");
        }
    }

    #[test]
    fn only_what_begins_alike_takes_effort() {
        let template = Template::new("file:///{+path}").unwrap();
        let mut effort = Effort(LEAST);
        assert_eq!(template.may_give("https://a.test/", &mut effort), Ok(false));
        assert_eq!(template.may_give("file:///a", &mut effort), Ok(true));
        assert_eq!(template.may_give("file:///a", &mut effort), Err(Exhausted));
        assert_eq!(template.may_give("https://a.test/", &mut effort), Ok(false));
    }
}
