//! Event stream framing: messages, primers and keep-alives as `text/event-stream` bytes.
//!
//! What we send stands here, what we read in [`Events`]. It knows no message and no connection.

use std::time::Duration;

use bytes::Bytes;

mod events;

pub use events::{Events, TooLong};

use super::{Pieces, pieces};

/// A comment, which every reader skips and every idle proxy counts as traffic.
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// One message, which is on one line, as an event; an id must have no line break either.
pub fn message(id: Option<&str>, message: &Pieces) -> Pieces {
    let mut head = Vec::with_capacity(64 + message.len().min(pieces::LONG));
    if let Some(id) = id {
        head.extend_from_slice(b"id: ");
        head.extend_from_slice(id.as_bytes());
        head.push(b'\n');
    }
    head.extend_from_slice(b"event: message\ndata: ");
    message.between(head, b"\n\n")
}

/// An event without data: gives the reader an id to resume from before anything happened, and
/// tells how long to wait before it reconnects (MCP 2025-11-25, streamable HTTP).
pub fn primer(id: &str, retry: Duration) -> Bytes {
    format!("id: {id}\nretry: {}\ndata: \n\n", retry.as_millis()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_can_end_its_own_event() {
        let event = message(Some("1_2"), &"{}".to_owned().into());
        assert_eq!(event.whole(), Some("id: 1_2\nevent: message\ndata: {}\n\n"));
        let event = message(None, &"[1,\n\nid: 9\r\n]".to_owned().into());
        assert_eq!(event.whole(), Some("event: message\ndata: [1,  id: 9  ]\n\n"));
    }

    #[test]
    fn a_primer_carries_an_id_and_no_data() {
        assert_eq!(primer("1_0", Duration::from_secs(3)), "id: 1_0\nretry: 3000\ndata: \n\n");
    }
}
