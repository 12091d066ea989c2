//! Texts that are looked for in raw JSON, so that nearly no body has to be read: a member that is
//! named nowhere is not there.
//!
//! Finding one proves nothing: it may stand in a string.

use std::sync::OnceLock;

use memchr::memmem::Finder;

use super::RawValue;

/// A text that is looked for often.
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

    /// Whether it stands anywhere in a value.
    pub fn is_in(&self, json: &RawValue) -> bool {
        self.finder().find(json.get().as_bytes()).is_some()
    }

    /// What follows each place where it stands.
    pub(super) fn after<'t>(&'t self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let found = self.finder().find_iter(text.as_bytes());
        found.filter_map(|at| text.get(at + self.text.len()..))
    }

    fn finder(&self) -> &Finder<'static> {
        self.finder.get_or_init(|| Finder::new(self.text))
    }
}
