//! Traces and measurements as the parts below see them: a context that is passed on, and somebody
//! who is told.
//!
//! Nothing here names an exporter, and nothing is global: a runtime is given its [`Telemetry`]
//! when it is spawned. Spans are `tracing`'s, with the target [`TARGET`] and the names of
//! OpenTelemetry's semantic conventions for MCP; nobody who does not ask for that target pays for
//! them.

use std::{borrow::Cow, fmt, time::Duration};

use tracing::Span;

use crate::wire::{Needle, Object, RawValue, meta::META, method};

/// The target of every span and span event that is meant for traces.
pub const TARGET: &str = "switchboard::trace";

/// The keys of a context in `_meta` and in HTTP headers (W3C Trace Context and Baggage; MCP
/// SEP-414).
pub const KEYS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// A trace context as it travels: raw values of [`KEYS`], unread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context([Option<Box<str>>; 3]);

impl Context {
    /// What `find` has for each key.
    pub fn read<'v>(find: impl Fn(&'static str) -> Option<&'v str>) -> Self {
        Self(KEYS.map(|key| find(key).map(Into::into)))
    }

    /// What stands in the `_meta` of a request's parameters.
    pub fn of_params(params: Option<&RawValue>) -> Self {
        static TRACED: Needle = Needle::new("\"traceparent\"");
        if !params.is_some_and(|params| TRACED.is_in(params)) {
            return Self::default();
        }
        let params = Object::read_optional(params).unwrap_or_default();
        let meta = params.object(META).unwrap_or_default();
        Self(KEYS.map(|key| meta.typed::<Box<str>>(key)))
    }

    /// Whether there is no trace to continue.
    pub const fn is_empty(&self) -> bool {
        let [parent, ..] = &self.0;
        parent.is_none()
    }

    /// The keys that have a value.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &str)> {
        KEYS.into_iter().zip(&self.0).filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }

    /// The value of one key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries().find_map(|(known, value)| (known == key).then_some(value))
    }
}

/// One operation that ended, to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// The MCP method; one that is not known to us is `other`.
    pub method: &'static str,
    /// The server that it went to; `None` for one that we received.
    pub server: Option<&'a str>,
    /// The protocol's revision on that leg.
    pub revision: &'static str,
    /// What went wrong, from a fixed set; `None` if nothing did.
    pub error: Option<&'static str>,
    /// How long it took.
    pub took: Duration,
}

/// Whoever traces and measures one runtime.
pub trait Telemetry: Send + Sync + fmt::Debug {
    /// The span continues the trace of a caller.
    fn adopt(&self, span: &Span, context: &Context);

    /// The context to be passed on by who works within the span; `None` passes the caller's own on.
    fn context(&self, span: &Span) -> Option<Context>;

    /// An operation that we received ended.
    fn received(&self, operation: &Operation<'_>);

    /// An operation that we sent ended.
    fn sent(&self, operation: &Operation<'_>);

    /// A server's tools were listed; whether they differ from those before.
    fn listed(&self, server: &str, changed: bool);
}

/// Tells nobody anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Telemetry for Silent {
    fn adopt(&self, _: &Span, _: &Context) {}

    fn context(&self, _: &Span) -> Option<Context> {
        None
    }

    fn received(&self, _: &Operation<'_>) {}

    fn sent(&self, _: &Operation<'_>) {}

    fn listed(&self, _: &str, _: bool) {}
}

/// Says what a request is about in a span of it, in OpenTelemetry's words: its method, and what it
/// names. Tools and prompts stand in the span's name; URIs do not, because there is no end of them.
pub fn describe(span: &Span, method: &str, target: Option<&str>) {
    // Whoever has the name of a task has the task.
    let target = target.filter(|_| method::of_tasks(method).is_none());
    let field = match method {
        method::TOOLS_CALL => "gen_ai.tool.name",
        method::PROMPTS_GET => "gen_ai.prompt.name",
        _ => "mcp.resource.uri",
    };
    if method == method::TOOLS_CALL {
        span.record("gen_ai.operation.name", "execute_tool");
    }
    match target {
        Some(name) if matches!(method, method::TOOLS_CALL | method::PROMPTS_GET) => {
            span.record("otel.name", format_args!("{method} {name}").to_string());
        }
        _ => {
            span.record("otel.name", method);
        }
    }
    if let Some(target) = target {
        let is_uri = field == "mcp.resource.uri";
        let told = if is_uri { bare(target) } else { target.into() };
        span.record(field, &*told);
    }
}

/// A URI without what may be secret in it: user, query and fragment.
fn bare(uri: &str) -> Cow<'_, str> {
    let end = uri.find(['?', '#']).unwrap_or(uri.len());
    let (address, _) = uri.split_at(end);
    let Some((scheme, rest)) = address.split_once("://") else { return address.into() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{path}").into(),
        None => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_told_without_its_secrets() {
        for (uri, told) in [
            ("https://me:hush@host:1/a@b?key=hush#hush", "https://host:1/a@b"),
            ("file:///a/b", "file:///a/b"),
            ("note:plain?x", "note:plain"),
            ("db://hush@host", "db://host"),
        ] {
            assert_eq!(bare(uri), told);
        }
    }

    #[test]
    fn a_context_is_read_from_metadata_and_only_there() {
        let params = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let full = params(r#"{"name":"x","_meta":{"traceparent":"00-a-b-01","tracestate":"v=1"}}"#);
        let context = Context::of_params(Some(&full));
        assert_eq!(context.get("traceparent"), Some("00-a-b-01"));
        assert_eq!(context.entries().count(), 2);
        for none in
            [r#"{"arguments":{"traceparent":"00-a-b-01"}}"#, r#"{"_meta":{"traceparent":1}}"#]
        {
            assert!(Context::of_params(Some(&params(none))).is_empty(), "{none}");
        }
    }
}
