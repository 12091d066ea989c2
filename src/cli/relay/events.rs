//! Reading `text/event-stream`: bytes in, the data of whole events out.
//!
//! Only what our own instance sends is needed: data. Ids and retries are for those who resume.

use bytes::{Buf as _, BytesMut};

/// A stream that is being read.
#[derive(Debug, Default)]
pub(super) struct Events {
    unread: BytesMut,
    data: Option<Vec<u8>>,
}

impl Events {
    /// Adds what came in.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.unread.extend_from_slice(piece);
    }

    /// The data of the next whole event that has any.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line = self.unread.split_to(end);
            self.unread.advance(1);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                match self.data.take() {
                    Some(data) if !data.is_empty() => return Some(data),
                    Some(_) | None => {}
                }
            } else if let Some(data) = line.strip_prefix(b"data:") {
                let data = data.strip_prefix(b" ").unwrap_or(data);
                match &mut self.data {
                    Some(before) => {
                        before.push(b'\n');
                        before.extend_from_slice(data);
                    }
                    None => self.data = Some(data.to_vec()),
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = ": hello\n\nid: 1_0\nretry: 3000\ndata: \n\nid: 1_1\nevent: message\n\
                          data: {\"größe\":1}\n\ndata:a\r\ndata: b\r\n\r\ndata: unfinished\n";

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        let mut read = Vec::new();
        for piece in pieces {
            events.push(piece);
            while let Some(data) = events.next() {
                read.push(String::from_utf8(data).unwrap());
            }
        }
        read
    }

    #[test]
    fn only_data_of_whole_events_comes_out() {
        assert_eq!(read(&[STREAM.as_bytes()]), ["{\"größe\":1}", "a\nb"]);
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_changes_nothing(at in 0..=STREAM.len(), then in 0..=STREAM.len()) {
            let (first, last) = (at.min(then), at.max(then));
            let bytes = STREAM.as_bytes();
            let pieces = [&bytes[..first], &bytes[first..last], &bytes[last..]];
            prop_assert_eq!(read(&pieces), ["{\"größe\":1}", "a\nb"]);
        }
    }
}
