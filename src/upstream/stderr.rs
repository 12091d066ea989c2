//! The last lines of a server's error output, bounded in number and bytes.
//!
//! Outlives incarnations: made by the supervisor, written by the connector, read by whoever
//! explains a failure. Known secrets are masked before a line is stored; nothing of it is ever
//! sent to a caller.

use std::{borrow::Cow, collections::VecDeque, fmt};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use crate::{
    id::Incarnation,
    secret::{MASK, Secret},
};

/// Lines kept at most.
const LINES: usize = 500;
/// Bytes of text kept at most.
const BYTES: usize = 128 * 1024;
/// Characters kept of one line.
const LINE: usize = 2000;
/// Bytes read of one line; the rest of a longer one is skipped.
const READ: usize = 16 * 1024;
/// A shorter value is no secret worth hiding, and hiding it would riddle the text.
const SHORTEST_SECRET: usize = 4;

/// One line of error output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StderrLine {
    /// The life that wrote it.
    pub incarnation: Incarnation,
    /// Its text, secrets masked, without the line's end.
    pub text: String,
}

/// A bounded ring of lines.
#[derive(Default)]
pub struct StderrRing(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    lines: VecDeque<StderrLine>,
    bytes: usize,
    incarnation: Incarnation,
    /// Longest first, so that a secret within a secret does not spoil the longer one.
    secrets: Vec<Secret>,
}

impl StderrRing {
    /// A new life begins: later lines are its own, and these values are masked in them. Each
    /// line of a value counts for itself, because output is read by lines.
    pub fn begin<'a>(
        &self,
        incarnation: Incarnation,
        secrets: impl IntoIterator<Item = &'a Secret>,
    ) {
        let mut secrets: Vec<Secret> = secrets
            .into_iter()
            .flat_map(|secret| secret.expose().lines())
            .filter(|line| line.chars().count() >= SHORTEST_SECRET)
            .map(Secret::from)
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        let mut ring = self.0.lock();
        ring.incarnation = incarnation;
        ring.secrets = secrets;
    }

    /// Adds a line of the current life; the oldest lines make room.
    pub fn push(&self, line: &str) {
        self.0.lock().push(line);
    }

    /// The last lines of the current life, at most `n`, oldest first.
    pub fn last(&self, n: usize) -> Vec<String> {
        let ring = self.0.lock();
        let mut last: Vec<String> = ring
            .lines
            .iter()
            .rev()
            .take_while(|line| line.incarnation == ring.incarnation)
            .take(n)
            .map(|line| line.text.clone())
            .collect();
        last.reverse();
        last
    }

    /// The last lines of one life, oldest first: at most so many, and so many bytes of text.
    pub fn tail(&self, incarnation: Incarnation, lines: usize, bytes: usize) -> Vec<String> {
        let ring = self.0.lock();
        let mut room = bytes;
        let mut tail = Vec::new();
        let of_life = ring.lines.iter().rev().filter(|line| line.incarnation == incarnation);
        for line in of_life.take(lines) {
            let end = line.text.floor_char_boundary(room);
            let part = &line.text[..end];
            if part.is_empty() && !line.text.is_empty() {
                break;
            }
            room -= part.len();
            tail.push(part.to_owned());
        }
        tail.reverse();
        tail
    }

    /// Every line that is kept, of earlier lives too, oldest first.
    pub fn lines(&self) -> Vec<StderrLine> {
        self.0.lock().lines.iter().cloned().collect()
    }

    /// Other words of the same server for a person to read: secrets masked, at most so many
    /// characters.
    pub(crate) fn quote(&self, words: &[u8], characters: usize) -> String {
        let ring = self.0.lock();
        let start = words.get(..READ).unwrap_or(words);
        let text = String::from_utf8_lossy(start);
        let text =
            if start.len() < words.len() { ring.without_half_a_secret(&text) } else { &text };
        cut(&ring.mask(text), characters)
    }

    /// Reads lines to the end of a stream, however long or broken they are.
    pub(super) async fn drain(&self, stream: impl AsyncRead + Unpin) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        let mut skipping = false;
        loop {
            line.clear();
            match (&mut stream).take(READ as u64).read_until(b'\n', &mut line).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
            let whole = line.last() == Some(&b'\n') || line.len() < READ;
            if !skipping {
                let text = String::from_utf8_lossy(&line);
                let mut ring = self.0.lock();
                let text = if whole { text.trim_end() } else { ring.without_half_a_secret(&text) };
                ring.push(text);
            }
            skipping = !whole;
        }
    }
}

impl Ring {
    fn push(&mut self, line: &str) {
        let text = cut(&self.mask(line), LINE);
        self.bytes += text.len();
        self.lines.push_back(StderrLine { incarnation: self.incarnation, text });
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.text.len();
        }
    }

    fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.secrets {
            if text.contains(secret.expose()) {
                text = Cow::Owned(text.replace(secret.expose(), MASK));
            }
        }
        text
    }

    /// A line that was cut while it was read may end inside a secret.
    fn without_half_a_secret<'t>(&self, text: &'t str) -> &'t str {
        let half = |secret: &Secret| {
            let secret = secret.expose();
            (1..secret.len())
                .rev()
                .filter(|end| secret.is_char_boundary(*end))
                .find(|end| text.ends_with(&secret[..*end]))
        };
        let longest = self.secrets.iter().filter_map(half).max().unwrap_or(0);
        &text[..text.len() - longest]
    }
}

impl fmt::Debug for StderrRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StderrRing")
            .field("lines", &self.0.lock().lines.len())
            .finish_non_exhaustive()
    }
}

/// At most so many characters of a text, and a sign if there were more.
pub(super) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::from(text)
    }

    #[tokio::test]
    async fn secrets_are_masked_before_a_line_is_stored() {
        let ring = StderrRing::default();
        let secrets = [
            secret("hunter2"),
            secret("hunter2-and-more"),
            secret("yes"),
            secret("-----BEGIN\nline one\n"),
        ];
        ring.begin(Incarnation(1), &secrets);
        ring.drain(&b"key hunter2-and-more, yes\nhunter2hunter2\n-----BEGIN line one\n"[..]).await;
        assert_eq!(ring.last(9), ["key ***, yes", "******", "*** ***"]);
        assert_eq!(ring.quote(b"hunter2!", 3), "***…");
    }

    #[tokio::test]
    async fn a_line_that_is_cut_inside_a_secret_shows_no_part_of_it() {
        let ring = StderrRing::default();
        ring.begin(Incarnation(1), &[secret("hunter2")]);
        let mut flood = b"hunter2".repeat(3000);
        flood.extend(b"\nnext\n");
        ring.drain(&*flood).await;
        let lines = ring.last(9);
        assert!(!ring.quote(&flood, READ).contains('h'));
        assert!(lines[0].chars().all(|c| c == '*' || c == '…'), "{lines:?}");
        assert_eq!(lines[1..], ["next"]);
    }

    #[tokio::test]
    async fn lines_are_bounded_and_belong_to_a_life() {
        let ring = StderrRing::default();
        ring.begin(Incarnation(1), []);
        ring.push("before");
        ring.begin(Incarnation(2), []);
        assert!(ring.last(3).is_empty());
        assert_eq!(ring.tail(Incarnation(1), 3, 4), ["befo"]);
        for _ in 0..2 * LINES {
            ring.push(&"é".repeat(2 * LINE));
        }
        let kept = ring.lines();
        assert!(kept.len() <= LINES);
        assert!(kept.iter().map(|line| line.text.len()).sum::<usize>() <= BYTES);
        ring.drain(&b"\xff bad\r\nno end"[..]).await;
        assert_eq!(ring.last(2), ["\u{fffd} bad", "no end"]);
    }
}
