//! Bytes that leave in pieces: what is long shares the memory that it came in and is never copied on
//! its way.
//!
//! Owned by whoever answers. JSON of which pieces are made is put on one line, because the framing of
//! lines and events forbids line breaks; bytes stay as they are.

use std::mem;

use bytes::Bytes;

use super::{Object, envelope};

/// Texts from so many bytes on are passed on without a copy: a few more pieces to write cost
/// less.
pub const LONG: usize = 64 * 1024;

/// Bytes that leave one piece after the other. There is one piece where nothing is long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Pieces {
    /// All bytes together.
    pub fn len(&self) -> usize {
        self.first.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, where it is in one piece.
    pub fn whole(&self) -> Option<&str> {
        if self.rest.is_empty() { std::str::from_utf8(&self.first).ok() } else { None }
    }

    /// An object that is in one piece of checked JSON, read one level deep.
    pub fn object(&self) -> Option<Object<'_>> {
        Object::of(self.whole()?)
    }

    /// The pieces in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// The one piece, or all of them.
    ///
    /// # Errors
    /// There are several.
    pub fn only(self) -> Result<Bytes, Self> {
        if self.rest.is_empty() { Ok(self.first) } else { Err(self) }
    }

    /// One piece of all bytes: a copy, unless it is one already.
    pub fn join(&self) -> Bytes {
        if self.rest.is_empty() {
            return self.first.clone();
        }
        let mut joined = Vec::with_capacity(self.len());
        self.iter().for_each(|piece| joined.extend_from_slice(piece));
        joined.into()
    }

    /// These with something before and behind. What is short is copied into one piece.
    #[must_use]
    pub fn between(&self, mut head: Vec<u8>, tail: &[u8]) -> Self {
        if self.len() < LONG {
            self.iter().for_each(|piece| head.extend_from_slice(piece));
            head.extend_from_slice(tail);
            return Bytes::from(head).into();
        }
        let tail = Bytes::copy_from_slice(tail);
        Self { first: head.into(), rest: self.iter().cloned().chain([tail]).collect() }
    }

    /// What was found long in the first piece, without a copy of it.
    fn share(&self, part: &str) -> Option<Bytes> {
        let start = part.as_ptr().addr().checked_sub(self.first.as_ptr().addr())?;
        let end = start + part.len();
        (part.len() >= LONG && end <= self.first.len()).then(|| self.first.slice(start..end))
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(mut json: Vec<u8>) -> Self {
        envelope::on_one_line(&mut json);
        Bytes::from(json).into()
    }
}

impl From<String> for Pieces {
    fn from(json: String) -> Self {
        json.into_bytes().into()
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        Self { first: bytes, rest: Vec::new() }
    }
}

impl IntoIterator for Pieces {
    type Item = Bytes;
    type IntoIter = std::iter::Chain<std::iter::Once<Bytes>, std::vec::IntoIter<Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.rest)
    }
}

/// Writes text that shares what it repeats of another.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    source: &'a Pieces,
    done: Vec<Bytes>,
    open: String,
}

impl<'a> Writer<'a> {
    pub(super) fn new(source: &'a Pieces) -> Self {
        Self { source, done: Vec::new(), open: String::new() }
    }

    /// The text that is being written.
    pub(super) const fn open(&mut self) -> &mut String {
        &mut self.open
    }

    /// Adds a value that may be of the source.
    pub(super) fn push(&mut self, value: &str) {
        match self.source.share(value) {
            Some(shared) => self.done.extend([mem::take(&mut self.open).into(), shared]),
            None => self.open.push_str(value),
        }
    }

    pub(super) fn end(self) -> Pieces {
        let mut pieces = self.done.into_iter();
        match pieces.next() {
            Some(first) => Pieces { first, rest: pieces.chain([self.open.into()]).collect() },
            None => Bytes::from(self.open).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(pieces: &Pieces) -> String {
        String::from_utf8(pieces.join().to_vec()).unwrap()
    }

    #[test]
    fn what_is_long_is_shared_and_not_copied() {
        let long = "x".repeat(LONG);
        let source = Pieces::from(format!("{{\"a\":1,\n\"b\":\"{long}\",\"c\":2}}"));
        let held = source.iter().next().unwrap().clone();
        let mut object = source.object().unwrap();
        object.put("c", &3);
        object.put("d", &4);
        let edited = object.to_pieces(&source);
        assert_eq!(joined(&edited), format!("{{\"a\":1,\"b\":\"{long}\",\"c\":3,\"d\":4}}"));
        let whole = edited.between(b"<".to_vec(), b">");
        assert_eq!(whole.len(), edited.len() + 2);
        assert_eq!(joined(&whole), format!("<{}>", joined(&edited)));
        let is_shared = |piece: &Bytes| held.as_ptr_range().contains(&piece.as_ptr());
        assert_eq!(whole.iter().filter(|piece| is_shared(piece)).count(), 1);
        assert!(whole.iter().all(|piece| is_shared(piece) || piece.len() < LONG));
    }

    #[test]
    fn what_is_short_is_in_one_piece() {
        let source = Pieces::from("{\"a\":1}".to_owned());
        let object = source.object().unwrap();
        let whole = object.to_pieces(&source).between(b"<".to_vec(), b">");
        assert_eq!(whole.whole(), Some("<{\"a\":1}>"));
    }

    #[test]
    fn what_is_long_has_no_line_breaks() {
        let long = format!("[\n{}\r\n]", " ".repeat(LONG));
        let pieces = Pieces::from(long.clone());
        assert_eq!(joined(&pieces), long.replace(['\n', '\r'], " "));
    }
}
