//! Texts that are looked for in raw JSON, so that nearly no body has to be read: a member that is
//! named nowhere is not there.
//!
//! Finding one proves nothing: it may stand in a string. Nor does it stand there as it is looked
//! for where its characters were written as escapes, so such a text counts as found.

use std::sync::{LazyLock, OnceLock};

use memchr::{memchr, memmem::Finder};

use super::RawValue;

/// How any character may be written that our texts consist of, which are ASCII.
static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r"\u00"));
/// How a slash may be written also, which some encoders do to every one.
static SLASH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r"\/"));

/// A text that is looked for often: of printable ASCII, without a backslash.
#[derive(Debug)]
pub struct Needle {
    text: &'static str,
    finder: OnceLock<Finder<'static>>,
}

impl Needle {
    /// What is prepared once for all searches.
    pub const fn new(text: &'static str) -> Self {
        Self { text, finder: OnceLock::new() }
    }

    /// Whether it may stand anywhere in a value; `false` is certain, `true` is not.
    pub fn is_in(&self, json: &RawValue) -> bool {
        self.is_in_text(json.get())
    }

    /// The same for JSON text.
    pub fn is_in_text(&self, json: &str) -> bool {
        self.finder().find(json.as_bytes()).is_some() || self.may_hide_in(json)
    }

    /// Whether some of its characters are written as escapes, so that searching for it as it is
    /// says nothing.
    pub(super) fn may_hide_in(&self, json: &str) -> bool {
        // Most texts have no escape at all.
        let Some(json) = memchr(b'\\', json.as_bytes()).and_then(|first| json.get(first..)) else {
            return false;
        };
        let is_ours = |at: usize| {
            let digits = json.get(at + 4..at + 6);
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            byte.is_some_and(|byte| self.text.as_bytes().contains(&byte))
        };
        ESCAPE.find_iter(json.as_bytes()).any(is_ours)
            || (self.text.contains('/') && SLASH.find(json.as_bytes()).is_some())
    }

    /// What follows each place where it stands as it is.
    pub(super) fn after<'t>(&'t self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let found = self.finder().find_iter(text.as_bytes());
        found.filter_map(|at| text.get(at + self.text.len()..))
    }

    fn finder(&self) -> &Finder<'static> {
        self.finder.get_or_init(|| Finder::new(self.text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_that_cannot_hide_it_do_not_count() {
        let needle = Needle::new("\"task/id\"");
        for absent in [
            r#"{"text":"a\nb\"c\\d\t\u00e9\u003c\u2028"}"#,
            r#"{"text":"\ud83d\ude00"}"#,
            r#"{"text":"task"}"#,
        ] {
            assert!(!needle.is_in_text(absent), "{absent}");
        }
        assert!(needle.is_in_text(r#"{"task/id":1}"#));
        assert!(!Needle::new("task").is_in_text(r#"{"a\/b":1}"#), "a slash hides no other text");
    }

    proptest! {
        /// However a key is written, it is found.
        #[test]
        fn no_escape_hides_a_key(ways in proptest::collection::vec(0_u8..4, 29)) {
            static KEY: &str = "io.switchboard/idempotencyKey";
            static BARE: Needle = Needle::new(KEY);
            static QUOTED: Needle = Needle::new("\"io.switchboard/idempotencyKey\"");
            let written: String = KEY.chars().zip(ways).map(|(letter, way)| match (letter, way) {
                (_, 1) => format!("\\u{:04x}", u32::from(letter)),
                (_, 2) => format!("\\u{:04X}", u32::from(letter)),
                ('/', 3) => "\\/".to_owned(),
                _ => letter.to_string(),
            }).collect();
            let json = format!("{{\"{written}\":1}}");
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert!(read[KEY] == 1);
            prop_assert!(BARE.is_in_text(&json) && QUOTED.is_in_text(&json), "{}", json);
        }
    }
}
