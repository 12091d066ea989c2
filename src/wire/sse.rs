//! Event stream framing: messages, primers and keep-alives as `text/event-stream` bytes.
//!
//! What we send stands here, what we read in [`Events`]. It knows no message and no connection.

use std::time::Duration;

use bytes::Bytes;

mod events;

pub use events::{Events, TooLong};

/// A comment, which every reader skips and every idle proxy counts as traffic.
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// One message as an event. Line breaks in the data become further `data` lines, so that
/// nothing in a message can end its event; an id must have none.
pub fn message(id: Option<&str>, data: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(data.len() + 64);
    if let Some(id) = id {
        field(&mut event, "id", id.as_bytes());
    }
    event.extend_from_slice(b"event: message\n");
    let mut rest = data;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let (line, tail) = rest.split_at(at);
        field(&mut event, "data", line);
        rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..)).unwrap_or_default();
    }
    field(&mut event, "data", rest);
    event.push(b'\n');
    event.into()
}

/// An event without data: gives the reader an id to resume from before anything happened, and
/// tells how long to wait before it reconnects (MCP 2025-11-25, streamable HTTP).
pub fn primer(id: &str, retry: Duration) -> Bytes {
    format!("id: {id}\nretry: {}\ndata: \n\n", retry.as_millis()).into()
}

fn field(event: &mut Vec<u8>, name: &str, value: &[u8]) {
    event.extend_from_slice(name.as_bytes());
    event.extend_from_slice(b": ");
    event.extend_from_slice(value);
    event.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_can_end_its_own_event() {
        assert_eq!(message(Some("1_2"), b"{}"), "id: 1_2\nevent: message\ndata: {}\n\n");
        assert_eq!(
            message(None, b"a\n\nid: 9\r\nb\rc"),
            "event: message\ndata: a\ndata: \ndata: id: 9\ndata: b\ndata: c\n\n"
        );
    }

    #[test]
    fn a_primer_carries_an_id_and_no_data() {
        assert_eq!(primer("1_0", Duration::from_secs(3)), "id: 1_0\nretry: 3000\ndata: \n\n");
    }
}
