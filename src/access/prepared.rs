//! Texts that faces make from views, kept for whoever asks next: a whole fleet gets the one text.
//!
//! Owned by the gate. They are found by content, so that a list which changed finds nothing old and
//! agents with equal views share. Bounded in bytes: when they would be more, they are made anew.

use std::{collections::HashMap, fmt};

use parking_lot::Mutex;

use crate::{
    runtime::ContentHash,
    wire::{Pieces, Primitive, Revision},
};

/// Bytes of all texts that are kept.
const KEPT: usize = 32 * 1024 * 1024;

/// What a text was made from and for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// The entries of a view's list.
    pub content: ContentHash,
    /// Of which kind they are.
    pub primitive: Primitive,
    /// The name after which the part starts; `None` for the first entry.
    pub after: Option<String>,
    /// Entries at most.
    pub limit: usize,
    /// For clients of which revision.
    pub revision: Revision,
}

/// The texts of one gate.
#[derive(Default)]
pub(super) struct Prepared(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    texts: HashMap<Part, Pieces>,
    bytes: usize,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("bytes", &self.0.lock().bytes).finish_non_exhaustive()
    }
}

impl Prepared {
    /// The text of a part, made where there is none. Several may make the same at a time.
    pub(super) fn text(&self, part: Part, make: impl FnOnce() -> String) -> Pieces {
        if let Some(text) = self.0.lock().texts.get(&part) {
            return text.clone();
        }
        let text = Pieces::from(make());
        let mut kept = self.0.lock();
        if kept.bytes + text.len() > KEPT {
            *kept = Kept::default();
        }
        if text.len() <= KEPT && kept.texts.insert(part, text.clone()).is_none() {
            kept.bytes += text.len();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::View;

    fn part(after: &str) -> Part {
        Part {
            content: View::default().hash(),
            primitive: Primitive::Tool,
            after: Some(after.to_owned()),
            limit: 10,
            revision: Revision::LATEST,
        }
    }

    #[test]
    fn a_text_is_made_once_and_their_bytes_are_bounded() {
        let prepared = Prepared::default();
        let text = prepared.text(part("a"), || "first".to_owned());
        assert_eq!(text.whole(), Some("first"));
        assert_eq!(prepared.text(part("a"), || unreachable!("it is there")), text);
        let legacy = Part { revision: Revision::LATEST_LEGACY, ..part("a") };
        assert_eq!(prepared.text(legacy, || "other".to_owned()).whole(), Some("other"));
        let half = "x".repeat(KEPT / 2 + 1);
        for name in ["b", "c", "d"] {
            assert_eq!(prepared.text(part(name), || half.clone()).len(), half.len());
            assert!(prepared.0.lock().bytes <= KEPT);
        }
        assert_eq!(prepared.text(part("a"), || "anew".to_owned()).whole(), Some("anew"));
        let long = prepared.text(part("e"), || half.repeat(2));
        assert_eq!(long.len(), half.len() * 2, "it is given, and not kept");
        assert!(prepared.0.lock().bytes <= KEPT);
    }
}
