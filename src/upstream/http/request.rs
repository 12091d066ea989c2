//! One message as an HTTP request: its method, its headers and its body.
//!
//! Built from scratch: headers come from the configuration, the session and the message itself.
//! Of a caller's there is nothing but parameters of its call. Sends nothing.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{ACCEPT, CONTENT_TYPE},
};

use super::{
    client::Body,
    legs::{Legs, SESSION_ID},
};
use crate::{
    trace::Context,
    wire::{
        Object, RawValue, Revision,
        header::{self, Unexplained},
        method,
    },
};

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static(header::PROTOCOL_VERSION);
const METHOD: HeaderName = HeaderName::from_static(header::METHOD);
const NAME: HeaderName = HeaderName::from_static(header::NAME);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_OR_EVENTS: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// One message to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg<'a> {
    /// What its answer names; `None` where none is expected.
    pub(super) id: Option<u64>,
    pub(super) method: &'a str,
    /// What a modern message is about, such as a tool.
    pub(super) name: Option<&'a str>,
    pub(super) params: Option<&'a RawValue>,
    /// The revision that a modern message names.
    pub(super) revision: Option<Revision>,
    /// The trace that it belongs to.
    pub(super) trace: Option<&'a Context>,
    /// Headers of the caller's that belong to the call.
    pub(super) headers: Option<&'a Unexplained>,
}

impl<'a> Leg<'a> {
    /// A message beside the requests: a notification, or a reply, of which `method` is empty.
    pub(super) const fn aside(method: &'a str) -> Self {
        Self {
            id: None,
            method,
            name: None,
            params: None,
            revision: None,
            trace: None,
            headers: None,
        }
    }
}

impl Legs {
    /// A request with everything that the target and the session want.
    pub(super) fn request(&self, verb: Method, body: Bytes) -> Request<Body> {
        let mut request = Request::new(Body::new(body));
        *request.method_mut() = verb;
        *request.uri_mut() = self.target.uri.clone();
        let mut headers = self.target.headers.clone();
        if let Some(session) = self.session.get() {
            headers.insert(SESSION_ID, session.clone());
        }
        if let Some(revision) = self.revision.get() {
            headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(revision.as_str()));
        }
        *request.headers_mut() = headers;
        request
    }

    /// A request that carries one message, with its headers (MCP 2026-07-28, streamable HTTP:
    /// standard request headers).
    pub(super) fn posted(&self, leg: Leg<'_>, body: Bytes) -> Request<Body> {
        let mut request = self.request(Method::POST, body);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(ACCEPT, JSON_OR_EVENTS);
        for (key, value) in leg.trace.into_iter().flat_map(Context::entries) {
            put(headers, HeaderName::from_static(key), value);
        }
        let Some(revision) = leg.revision else {
            return request;
        };
        headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(revision.as_str()));
        put(headers, METHOD, leg.method);
        let Some(name) = leg.name else {
            return request;
        };
        put(headers, NAME, &header::encode(name));
        for (name, value) in leg.headers.into_iter().flat_map(|headers| headers.iter()) {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                put(headers, name, value);
            }
        }
        if leg.method == method::TOOLS_CALL
            && let Some(annotated) = self.annotated.read().get(name)
        {
            let params = Object::read_optional(leg.params);
            let arguments = params.as_ref().and_then(|params| params.get("arguments"));
            for (name, value) in header::params(annotated, arguments) {
                if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                    put(headers, name, &value);
                }
            }
        }
        request
    }
}

/// Sets a header to a value that was encoded for one.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
