//! The one writer of standard output and standard error.
//!
//! A reader that has seen enough (`| head`) is no failure. What came from a server is shown on a
//! terminal without the control characters that could rewrite it.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
};

use serde::Serialize;

/// Writes a line, or lines, of data.
pub(crate) fn data(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = write!(out, "{text}{end}").and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a value as JSON, indented.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    data(&serde_json::to_string_pretty(value)?)
}

/// Writes text that a server or a tool chose.
pub(super) fn foreign(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() { data(&printable(text)) } else { data(text) }
}

/// Says what failed.
pub(super) fn error(text: &str) {
    complain("error", text);
}

/// Says what may be wrong.
pub(super) fn warning(text: &str) {
    complain("warning", text);
}

fn complain(what: &str, text: &str) {
    // There is nowhere left to say that this failed.
    writeln!(io::stderr().lock(), "{what}: {}", printable(text)).ok();
}

/// Writes what steers a terminal, as it is.
pub(super) fn screen(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Columns and lines of the terminal, if standard output is one.
pub(super) fn size() -> Option<(usize, usize)> {
    let (width, height) = terminal_size::terminal_size_of(io::stdout())?;
    Some((usize::from(width.0), usize::from(height.0)))
}

/// Its columns.
pub(super) fn width() -> Option<usize> {
    size().map(|(width, _)| width)
}

/// Text without control characters other than line breaks and tabs.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    let harmful = |found: char| found.is_control() && !matches!(found, '\n' | '\t');
    if text.contains(harmful) {
        Cow::Owned(text.replace(harmful, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_a_terminal() {
        assert_eq!(printable("größe\n\tok"), "größe\n\tok");
        assert_eq!(printable("a\u{1b}[2Jb\r"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
