//! JSON-RPC 2.0 envelopes over raw bodies: request, notification, response.
//!
//! Borrowed from the bytes that were received. Nothing here looks into `params` or `result`.

use std::{borrow::Cow, sync::Arc};

use memchr::memchr2;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Id, Object, Pieces, pieces::LONG, scan::text};

mod frame;

use frame::Frame;

/// JSON-RPC error codes that this crate sends (specification, "Error object"; MCP 2026-07-28).
pub mod code {
    /// The text was not JSON.
    pub const PARSE: i64 = -32700;
    /// The JSON was not a message.
    pub const INVALID_REQUEST: i64 = -32600;
    /// Nobody knows the method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters fail their check.
    pub const INVALID_PARAMS: i64 = -32602;
    /// A bug of the answering side.
    pub const INTERNAL: i64 = -32603;
    /// Headers and body disagree (MCP 2026-07-28).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The client lacks a capability that the request needs (MCP 2026-07-28).
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// The revision is not supported (MCP 2026-07-28).
    pub const UNSUPPORTED_VERSION: i64 = -32022;
    /// A server is not available; nothing was sent (ours).
    pub const UNAVAILABLE: i64 = -31001;
    /// The deadline passed (ours).
    pub const TIMEOUT: i64 = -31002;
    /// A queue or capacity is full (ours).
    pub const OVERLOADED: i64 = -31003;
    /// Sent, connection lost, not safe to repeat (ours).
    pub const OUTCOME_UNKNOWN: i64 = -31005;
}

/// One received message, borrowed from its bytes.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// Wants a response with the same id.
    Request {
        /// Echoed in the response.
        id: Id,
        /// What is asked.
        method: Cow<'a, str>,
        /// Its raw parameters.
        params: Option<&'a RawValue>,
    },
    /// Wants nothing.
    Notification {
        /// What is told.
        method: Cow<'a, str>,
        /// Its raw parameters.
        params: Option<&'a RawValue>,
    },
    /// Answers a request.
    Response {
        /// The request's id; `None` where the peer could not read it.
        id: Option<Id>,
        /// The raw result, or the error.
        outcome: Result<&'a RawValue, ErrorObject>,
    },
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON at all.
    #[error("not JSON")]
    Json(#[source] serde_json::Error),
    /// JSON, but not a JSON-RPC 2.0 message.
    #[error("not a JSON-RPC 2.0 message: {why}")]
    Rpc {
        /// The id, where it could be read, so that the error reaches its request.
        id: Option<Id>,
        /// What is wrong.
        why: String,
    },
}

impl ParseError {
    fn rpc(id: Option<Id>, why: &str) -> Self {
        Self::Rpc { id, why: why.to_owned() }
    }
}

impl<'a> Message<'a> {
    /// Reads one message.
    ///
    /// # Errors
    /// [`ParseError::Json`] for text that is not JSON, [`ParseError::Rpc`] for JSON that is not
    /// a message.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let frame: Frame<'a> = match serde_json::from_slice(bytes) {
            Ok(frame) => frame,
            Err(error) if error.is_data() => return Err(ParseError::rpc(None, "no object")),
            Err(error) => return Err(ParseError::Json(error)),
        };
        let id =
            match frame.id {
                Some(raw) if raw.get() != "null" => Some(Id::read(raw).ok_or_else(|| {
                    ParseError::rpc(None, "`id` is neither a string nor a number")
                })?),
                _ => None,
            };
        let wrong = |id: &Option<Id>, why: &str| Err(ParseError::rpc(id.clone(), why));
        if let Some(name) = frame.twice {
            return wrong(&id, &format!("`{name}` stands there twice"));
        }
        if frame.jsonrpc.and_then(text).as_deref() != Some("2.0") {
            return wrong(&id, "`jsonrpc` is not \"2.0\"");
        }
        match (frame.method, frame.result, frame.error) {
            (Some(method), None, None) => {
                let Some(method) = text(method) else {
                    return wrong(&id, "`method` is no text");
                };
                let params = frame.params;
                match (id, frame.id) {
                    (Some(id), _) => Ok(Self::Request { id, method, params }),
                    (None, None) => Ok(Self::Notification { method, params }),
                    (None, Some(_)) => wrong(&None, "the `id` of a request is null"),
                }
            }
            (None, Some(result), None) => Ok(Self::Response { id, outcome: Ok(result) }),
            (None, None, Some(error)) => match ErrorObject::read(error) {
                Some(error) => Ok(Self::Response { id, outcome: Err(error) }),
                None => wrong(&id, "`error` lacks an integer `code`"),
            },
            (None, None, None) => wrong(&id, "no `method`, `result` or `error`"),
            _ => wrong(&id, "more than one of `method`, `result` and `error`"),
        }
    }
}

/// Responses from so many bytes on are taken out of what was read: the text is checked twice then,
/// where a copy would take as much memory again.
pub const TAKEN: usize = 1024 * 1024;

/// Takes the result of a response out of its bytes. `None` for anything else, and the bytes are as
/// they were.
pub fn take_result(bytes: &mut Vec<u8>) -> Option<(Option<Id>, Box<RawValue>)> {
    let Ok(Message::Response { id, outcome: Ok(result) }) = Message::parse(bytes) else {
        return None;
    };
    let start = result.get().as_ptr().addr() - bytes.as_ptr().addr();
    let end = start + result.get().len();
    let mut json = std::mem::take(bytes);
    json.truncate(end);
    json.drain(..start);
    let json = String::from_utf8(json).ok()?;
    Some((id, RawValue::from_string(json).ok()?))
}

/// A JSON-RPC error object, kept raw so that unknown members survive.
#[derive(Clone, Debug)]
pub struct ErrorObject {
    code: i64,
    raw: Arc<RawValue>,
}

impl ErrorObject {
    /// Builds an error of our own.
    pub fn new(code: i64, message: impl AsRef<str>) -> Self {
        Self::with_data(code, message, None)
    }

    /// Builds an error with `data`.
    pub fn with_data(code: i64, message: impl AsRef<str>, data: Option<&RawValue>) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            code: i64,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a RawValue>,
        }
        let raw = super::raw(&Body { code, message: message.as_ref(), data });
        Self { code, raw: raw.into() }
    }

    /// Reads a received error object; `None` without an integer `code`.
    pub fn read(raw: &RawValue) -> Option<Self> {
        let code = Object::read(raw)?.typed("code")?;
        Some(Self { code, raw: raw.to_owned().into() })
    }

    /// The error's code.
    pub const fn code(&self) -> i64 {
        self.code
    }

    /// The error's message; empty where the peer sent none.
    pub fn message(&self) -> String {
        Object::read(&self.raw).and_then(|error| error.typed("message")).unwrap_or_default()
    }

    /// The whole object as it was sent.
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }
}

/// A message to be written; its body is JSON text.
struct Out<'a, I: Serialize + ?Sized> {
    id: Option<&'a I>,
    method: Option<&'a str>,
    body: Option<(&'static str, &'a str)>,
}

impl<I: Serialize + ?Sized> Out<'_, I> {
    /// One line: raw bodies may hold line breaks between tokens, which line framing and event
    /// streams both forbid; between tokens a space means the same.
    #[allow(clippy::expect_used, reason = "the envelope is ours and writing to memory cannot fail")]
    fn line(&self) -> Vec<u8> {
        const WRITTEN: &str = "an envelope serialises";
        let size = self.body.map_or(0, |(_, json)| json.len());
        let mut line = Vec::with_capacity(size + 96);
        line.extend_from_slice(br#"{"jsonrpc":"2.0""#);
        if let Some(id) = self.id {
            line.extend_from_slice(br#","id":"#);
            serde_json::to_writer(&mut line, id).expect(WRITTEN);
        }
        if let Some(method) = self.method {
            line.extend_from_slice(br#","method":"#);
            serde_json::to_writer(&mut line, method).expect(WRITTEN);
        }
        if let Some((member, json)) = self.body {
            line.extend_from_slice(member.as_bytes());
            line.extend_from_slice(json.as_bytes());
        }
        line.push(b'}');
        on_one_line(&mut line);
        line
    }
}

/// Puts JSON text on one line. It has line breaks between its tokens alone, where spaces mean the
/// same.
pub(super) fn on_one_line(json: &mut [u8]) {
    let mut clean = 0;
    while let Some(rest) = json.get_mut(clean..)
        && let Some(found) = memchr2(b'\n', b'\r', rest)
    {
        rest.iter_mut().skip(found).take(1).for_each(|byte| *byte = b' ');
        clean += found + 1;
    }
}

const PARAMS: &str = r#","params":"#;
const RESULT: &str = r#","result":"#;
const ERROR: &str = r#","error":"#;

/// Writes a request as one line, without the line's end.
pub fn request<I: Serialize + ?Sized>(id: &I, method: &str, params: Option<&RawValue>) -> Vec<u8> {
    request_with(id, method, params.map(RawValue::get))
}

/// Writes a request whose parameters are JSON text.
pub fn request_with<I: Serialize + ?Sized>(id: &I, method: &str, params: Option<&str>) -> Vec<u8> {
    let body = params.map(|params| (PARAMS, params));
    Out { id: Some(id), method: Some(method), body }.line()
}

/// Writes a notification as one line.
pub fn notification(method: &str, params: Option<&RawValue>) -> Vec<u8> {
    notification_with(method, params.map(RawValue::get))
}

/// Writes a notification whose parameters are JSON text.
pub fn notification_with(method: &str, params: Option<&str>) -> Vec<u8> {
    let body = params.map(|params| (PARAMS, params));
    Out::<'_, Id> { id: None, method: Some(method), body }.line()
}

/// Writes a successful response as one line.
pub fn result<I: Serialize + ?Sized>(id: &I, result: &RawValue) -> Vec<u8> {
    Out { id: Some(id), method: None, body: Some((RESULT, result.get())) }.line()
}

/// Writes a successful response whose result is JSON text, which is not copied where it is long.
pub fn answer<I: Serialize + ?Sized>(id: &I, result: &Pieces) -> Pieces {
    if result.len() < LONG
        && let Some(json) = result.whole()
    {
        return Out { id: Some(id), method: None, body: Some((RESULT, json)) }.line().into();
    }
    let mut head = Out { id: Some(id), method: None, body: Some((RESULT, "")) }.line();
    head.pop();
    result.between(head, b"}")
}

/// Writes an error response as one line; without an id it goes to a request that could not be
/// read, with `id: null` (JSON-RPC 2.0, "Response object").
pub fn error(id: Option<&Id>, error: &ErrorObject) -> Vec<u8> {
    let body = Some((ERROR, error.raw().get()));
    match id {
        Some(id) => Out { id: Some(id), method: None, body }.line(),
        None => Out { id: Some(&()), method: None, body }.line(),
    }
}

#[cfg(test)]
mod tests;
