//! Reading `text/event-stream`: bytes in, the data of whole events out.
//!
//! Bounded by the length of one event; time is linear in the bytes received, wherever they are
//! cut. Event types do not matter in MCP. (WHATWG HTML, 9.2.6.)

use std::{sync::Arc, time::Duration};

use bytes::{Buf as _, BytesMut};
use memchr::memchr2;

const MARK: &[u8] = "\u{feff}".as_bytes();
/// Bytes of an id. After an event with a longer one a stream cannot be resumed, as after one that
/// has none.
const LONGEST_ID: usize = 1024;

/// An event that is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// A stream that is being read.
#[derive(Debug)]
pub struct Events {
    unread: BytesMut,
    /// Bytes of `unread` that were searched for a line's end already.
    searched: usize,
    /// The last line ended in a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    at_start: bool,
    data: Option<Vec<u8>>,
    id: Option<Arc<str>>,
    last_id: Option<Arc<str>>,
    retry: Option<Duration>,
    limit: usize,
}

impl Events {
    /// A stream whose events have at most so many bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            unread: BytesMut::new(),
            searched: 0,
            after_return: false,
            at_start: true,
            data: None,
            id: None,
            last_id: None,
            retry: None,
            limit,
        }
    }

    /// A stream that goes on after the last whole event of another.
    #[must_use]
    pub fn resuming(before: &Self) -> Self {
        Self {
            id: before.last_id.clone(),
            last_id: before.last_id.clone(),
            retry: before.retry,
            ..Self::new(before.limit)
        }
    }

    /// Adds what came in. Ask for all that is whole by [`next`](Self::next) before adding more.
    ///
    /// # Errors
    /// [`TooLong`] when the event that is not yet whole exceeds the limit.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        let held = self.searched + self.data.as_ref().map_or(0, Vec::len);
        if held > self.limit {
            return Err(TooLong);
        }
        self.unread.extend_from_slice(piece);
        Ok(())
    }

    /// The data of the next whole event that has any.
    #[allow(clippy::should_implement_trait, reason = "more may come after a `None`")]
    pub fn next(&mut self) -> Option<Vec<u8>> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                self.last_id.clone_from(&self.id);
                match self.data.take() {
                    Some(data) if !data.is_empty() => return Some(data),
                    Some(_) | None => {}
                }
            } else {
                self.field(&line);
            }
        }
        None
    }

    /// The id of the last whole event, to resume after.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the sender wants a reader to wait before it comes again.
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn line(&mut self) -> Option<BytesMut> {
        if std::mem::take(&mut self.after_return) {
            match self.unread.first() {
                Some(b'\n') => {
                    self.unread.advance(1);
                    self.searched = self.searched.saturating_sub(1);
                }
                Some(_) => {}
                None => {
                    self.after_return = true;
                    return None;
                }
            }
        }
        let unsearched = self.unread.get(self.searched..).unwrap_or_default();
        let Some(end) = memchr2(b'\n', b'\r', unsearched) else {
            self.searched = self.unread.len();
            return None;
        };
        let mut line = self.unread.split_to(self.searched + end);
        self.searched = 0;
        self.after_return = self.unread.get_u8() == b'\r';
        if std::mem::take(&mut self.at_start) && line.starts_with(MARK) {
            line.advance(MARK.len());
        }
        Some(line)
    }

    fn field(&mut self, line: &[u8]) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => match &mut self.data {
                Some(before) => {
                    before.push(b'\n');
                    before.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            b"id" if !value.contains(&0) => {
                let is_kept = (1..=LONGEST_ID).contains(&value.len());
                let id = std::str::from_utf8(value).ok().filter(|_| is_kept);
                self.id = id.map(Into::into);
            }
            b"retry" => {
                let millis = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.retry = millis.map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = ": hello\n\nid: 1_0\nretry: 3000\ndata: \n\nid: 1_1\nevent: message\n\
                          data: {\"größe\":1}\n\ndata:a\r\ndata: b\r\n\r\ndata: unfinished\n";

    fn read(pieces: &[&[u8]]) -> (Vec<String>, Events) {
        let mut events = Events::new(1000);
        let mut read = Vec::new();
        for piece in pieces {
            events.push(piece).unwrap();
            while let Some(data) = events.next() {
                read.push(String::from_utf8(data).unwrap());
            }
        }
        (read, events)
    }

    #[test]
    fn only_data_of_whole_events_comes_out() {
        let (read, events) = read(&[STREAM.as_bytes()]);
        assert_eq!(read, ["{\"größe\":1}", "a\nb"]);
        assert_eq!(events.last_id(), Some("1_1"));
        assert_eq!(events.retry(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn every_line_end_and_a_byte_order_mark_are_understood() {
        let bytes = "\u{feff}data: a\r\rid: 7\rdata: b\rdata: c\n\nid\ndata: d\r\n\r\n";
        let (read, events) = read(&[bytes.as_bytes()]);
        assert_eq!(read, ["a", "b\nc", "d"]);
        assert_eq!(events.last_id(), None, "an empty id forgets the one before");
    }

    #[test]
    fn an_id_that_is_too_long_is_none() {
        let of = |length| format!("id: 1\ndata: a\n\nid: {}\n\n", "x".repeat(length));
        let mut events = Events::new(10_000);
        events.push(of(LONGEST_ID).as_bytes()).unwrap();
        while events.next().is_some() {}
        assert_eq!(events.last_id().map(str::len), Some(LONGEST_ID));
        events.push(of(LONGEST_ID + 1).as_bytes()).unwrap();
        while events.next().is_some() {}
        assert_eq!(events.last_id(), None);
    }

    #[test]
    fn an_event_has_a_longest_length() {
        for unfinished in ["data: 12345678901", "data: 12345\ndata: 678901\n", ": 123456789012345"]
        {
            let mut events = Events::new(10);
            let pushed = events.push(unfinished.as_bytes());
            assert!(
                pushed.is_err() || {
                    while events.next().is_some() {}
                    events.push(b"").is_err()
                }
            );
        }
        let mut events = Events::new(10);
        events.push(b"data: 12\n\ndata: 34\n\n").unwrap();
        assert_eq!(events.next().unwrap(), b"12");
        assert_eq!(events.next().unwrap(), b"34");
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_changes_nothing(at in 0..=STREAM.len(), then in 0..=STREAM.len()) {
            let (first, last) = (at.min(then), at.max(then));
            let bytes = STREAM.as_bytes();
            let pieces = [&bytes[..first], &bytes[first..last], &bytes[last..]];
            prop_assert_eq!(read(&pieces).0, ["{\"größe\":1}", "a\nb"]);
        }
    }
}
