//! What a received line means, and who learns of it.
//!
//! Never blocks and never queues without a bound: answers go to those who wait for them,
//! everything else is a hint that may be lost. Content is never logged.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Shared, peek};
use crate::{
    upstream::{
        RequestError,
        dialogue::{log, notice},
        progress::Said,
    },
    wire::{
        ErrorObject, Id, Message, Object, ParseError, RawValue,
        envelope::{self, code},
        extension, meta, method, raw,
    },
};

/// Characters kept of the first line that was no message.
const GARBAGE: usize = 200;

/// What a server sent that had no use, in numbers.
#[derive(Debug, Default)]
pub(super) struct Oddities {
    /// Lines that were no message.
    pub(super) garbage: AtomicU64,
    /// Lines beyond the limit.
    pub(super) too_long: AtomicU64,
    /// Answers and progress that nobody waited for.
    pub(super) unmatched: AtomicU64,
    /// Notifications that mean nothing here.
    pub(super) ignored: AtomicU64,
    /// Requests that found no room for an answer, and what was to be told about one.
    pub(super) unanswered: AtomicU64,
}

/// Takes in one line, which may be emptied.
pub(super) fn line(shared: &Arc<Shared>, line: &mut Vec<u8>) {
    if line.len() >= envelope::TAKEN
        && let Some((id, result)) = envelope::take_result(line)
    {
        shared.vital.hear();
        return response(shared, id.as_ref(), || Ok(result));
    }
    let line = line.trim_ascii();
    match line.first() {
        None => {}
        Some(b'[') => match serde_json::from_slice::<Vec<&RawValue>>(line) {
            Ok(messages) => {
                for message in messages {
                    one(shared, message.get().as_bytes());
                }
            }
            Err(_) => garbage(shared, line),
        },
        Some(_) => one(shared, line),
    }
}

fn one(shared: &Arc<Shared>, bytes: &[u8]) {
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) => return broken(shared, bytes, &error),
    };
    shared.vital.hear();
    match message {
        Message::Response { id, outcome } => response(shared, id.as_ref(), || {
            outcome.map(ToOwned::to_owned).map_err(RequestError::Server)
        }),
        Message::Notification { method, params } => notification(shared, &method, params),
        Message::Request { id, method, params } => request(shared, &id, &method, params),
    }
}

fn response(
    shared: &Shared,
    id: Option<&Id>,
    outcome: impl FnOnce() -> Result<Box<RawValue>, RequestError>,
) {
    if !number(id).is_some_and(|id| shared.pending.answer(id, outcome)) {
        count(&shared.oddities.unmatched);
    }
}

fn notification(shared: &Shared, method: &str, params: Option<&RawValue>) {
    match method {
        method::PROGRESS => {
            let passed = params.is_some_and(|raw| {
                Said::read(raw).is_some_and(|said| {
                    shared.pending.progress(said.progress_token, said.progress, raw)
                })
            });
            if !passed {
                count(&shared.oddities.unmatched);
            }
        }
        method::LISTEN_ACKNOWLEDGED => {
            let awaited = params.is_some_and(|raw| {
                meta::subscription(raw).is_some_and(|id| {
                    number(Some(&id)).is_some_and(|id| shared.pending.acknowledge(id, raw))
                })
            });
            if !awaited {
                count(&shared.oddities.unmatched);
            }
        }
        method::MESSAGE => log(shared.pending.addressee().as_ref(), params, &shared.stderr),
        method::CANCELLED => shared.inquiries.withdraw(params),
        method::VISITED => {
            let taken = params.is_some_and(|params| {
                shared.news.visited(shared.inquiries.visited(params), params)
            });
            if !taken {
                count(&shared.oddities.ignored);
            }
        }
        _ => {
            let heard = extension::may_own(method)
                && notice(shared.pending.addressee().as_ref(), method, params);
            if shared.news.take(method, params, heard) {
                return;
            }
            count(&shared.oddities.ignored);
            tracing::trace!("notification without use");
        }
    }
}

/// What a server's own request is answered with that is not for a caller.
pub(in crate::upstream) fn reply(id: &Id, method: &str) -> Vec<u8> {
    if method == method::PING {
        return envelope::result(id, &raw(&Object::default()));
    }
    let error = ErrorObject::new(code::METHOD_NOT_FOUND, "method not found");
    envelope::error(Some(id), &error)
}

fn request(shared: &Arc<Shared>, id: &Id, method: &str, params: Option<&RawValue>) {
    if let Some(method) = method::of_servers(method) {
        let party = shared.pending.addressee();
        let peer = Arc::downgrade(shared);
        return shared.inquiries.ask(&shared.stderr, party, id, method, params, move |back| {
            if let Some(shared) = peer.upgrade() {
                let room = shared.pending.tell_server(back);
                queued(&shared, room);
            }
        });
    }
    let mut line = reply(id, method);
    line.push(b'\n');
    queued(shared, shared.pending.reply(line));
}

/// Has what was queued written; counts what found no room.
fn queued(shared: &Shared, room: bool) {
    if room {
        shared.wake.notify_one();
    } else {
        count(&shared.oddities.unanswered);
    }
}

/// A line that is no message, although it may have been meant for somebody who waits.
fn broken(shared: &Shared, bytes: &[u8], error: &ParseError) {
    let named = match error {
        ParseError::Rpc { id, .. } => number(id.as_ref()),
        ParseError::Json(_) => None,
    };
    let meant = named.or_else(|| peek::id(bytes, bytes)).is_some_and(|id| {
        shared
            .pending
            .answer(id, || Err(RequestError::Malformed(format!("the server's answer is {error}"))))
    });
    if !meant {
        garbage(shared, bytes);
    }
}

fn garbage(shared: &Shared, bytes: &[u8]) {
    count(&shared.oddities.garbage);
    shared.first_garbage.get_or_init(|| shared.stderr.quote(bytes, GARBAGE));
}

/// Takes in the two ends of a line that was longer than allowed.
pub(super) fn too_long(shared: &Shared, head: &[u8], tail: &[u8], limit: usize) {
    let answered =
        peek::id(head, tail).is_some_and(|id| shared.pending.answer(id, || Err(beyond(limit))));
    if answered {
        shared.vital.hear();
    }
    count(&shared.oddities.too_long);
}

/// Why an answer was not taken that was longer than allowed.
pub(in crate::upstream) fn beyond(limit: usize) -> RequestError {
    RequestError::Malformed(format!(
        "the server's answer exceeds the limit of {} for one message (limits.message_bytes)",
        bytesize::ByteSize(limit as u64).display().iec()
    ))
}

/// The number that an id is, also where the server made a string of it.
fn number(id: Option<&Id>) -> Option<u64> {
    match id? {
        Id::Written(text) | Id::String(text) => text.parse().ok(),
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
