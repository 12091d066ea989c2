//! Lines of bounded length from a byte stream.
//!
//! Used by the stdio face. A line that is too long is skipped and reported, never kept.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// As it came.
    Text(Vec<u8>),
    /// It exceeded the limit and was skipped.
    TooLong,
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    limit: usize,
    partial: Vec<u8>,
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most `limit` bytes.
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self { reader: BufReader::new(reader), limit, partial: Vec::new(), skipping: false }
    }

    /// The next line; `None` at the end. May be dropped and asked again without losing a byte.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                let rest = !self.partial.is_empty() || self.skipping;
                return Ok(rest.then(|| self.take()));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let (text, used) = match end {
                Some(at) => (chunk.get(..at).unwrap_or_default(), at + 1),
                None => (chunk, chunk.len()),
            };
            if self.skipping || self.partial.len() + text.len() > self.limit {
                self.skipping = true;
                self.partial = Vec::new();
            } else {
                self.partial.extend_from_slice(text);
            }
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        let text = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.skipping) { Line::TooLong } else { Line::Text(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_is_too_long_is_skipped_and_the_next_one_is_read() {
        let bytes: &[u8] = b"one\n\n1234567890\n12345678\nrest";
        let mut lines = Lines::new(tokio::io::BufReader::with_capacity(3, bytes), 8);
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            read.push(match line {
                Line::Text(text) => String::from_utf8(text).unwrap(),
                Line::TooLong => "too long".to_owned(),
            });
        }
        assert_eq!(read, ["one", "", "too long", "12345678", "rest"]);
    }
}
