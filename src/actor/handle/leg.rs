//! The upstream leg of one call, as it is traced and measured: a client span in OpenTelemetry's
//! words, and how it ended.

use tokio::time::Instant;
use tracing::{Span, field::Empty};

use super::{ConnectionHandle, Live};
use crate::{
    actor::router::Target,
    error::Classify as _,
    trace::{self, Context, Operation, TARGET, Telemetry},
    upstream::RequestError,
    wire::{RawValue, envelope::code, method, result},
};

/// A wait that is shorter is none worth telling of.
const NOTEWORTHY: std::time::Duration = std::time::Duration::from_millis(1);

/// Tells the call's span that it waited, and until what.
pub(super) fn waited(until: &'static str, since: Instant) {
    let waited = since.elapsed();
    if waited >= NOTEWORTHY {
        tracing::info!(target: TARGET, waited_ms = waited.as_secs_f64() * 1000.0, "{until}");
    }
}

/// One attempt to carry a call to its server. Dropped before its end, it was cancelled.
pub(super) struct Leg<'a> {
    telemetry: &'a dyn Telemetry,
    method: &'static str,
    server: &'a str,
    revision: &'static str,
    started: Instant,
    ended: bool,
    pub(super) span: Span,
}

impl<'a> Leg<'a> {
    /// The attempt begins.
    pub(super) fn begin(
        telemetry: &'a dyn Telemetry,
        handle: &'a ConnectionHandle,
        live: &Live,
        target: &Target,
    ) -> Self {
        let server = handle.seat.server.as_str();
        let method = method::known(&target.method).unwrap_or("other");
        let revision = live.link.facts().revision.as_str();
        let span = tracing::info_span!(
            target: TARGET,
            "mcp.client",
            otel.name = Empty,
            otel.kind = "client",
            otel.status_code = Empty,
            mcp.method.name = method,
            mcp.protocol.version = revision,
            gen_ai.operation.name = Empty,
            gen_ai.tool.name = Empty,
            gen_ai.prompt.name = Empty,
            mcp.resource.uri = Empty,
            network.transport = handle.terms.load().transport,
            switchboard.server = server,
            switchboard.incarnation = live.incarnation.0,
            "error.type" = Empty,
        );
        if !span.is_disabled() {
            trace::describe(&span, method, target.name().as_deref());
        }
        Self { telemetry, method, server, revision, started: Instant::now(), ended: false, span }
    }

    /// What the server gets, so that its own spans belong to the trace.
    pub(super) fn context(&self) -> Option<Context> {
        self.telemetry.context(&self.span)
    }

    /// The attempt ended.
    pub(super) fn end(mut self, outcome: Result<&RawValue, &RequestError>) {
        self.ended = true;
        self.tell(match outcome {
            Ok(result) => result::is_error(result.get()).then_some("tool_error"),
            Err(error) => Some(kind(error)),
        });
    }

    fn tell(&self, error: Option<&'static str>) {
        if let Some(error) = error {
            self.span.record("error.type", error);
            self.span.record("otel.status_code", "ERROR");
        }
        self.telemetry.sent(&Operation {
            method: self.method,
            server: Some(self.server),
            revision: self.revision,
            error,
            took: self.started.elapsed(),
        });
    }
}

impl Drop for Leg<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(Some("cancelled"));
        }
    }
}

/// A name for what went wrong, from a fixed set.
fn kind(error: &RequestError) -> &'static str {
    match error {
        RequestError::Server(error) => match error.code() {
            code::INVALID_PARAMS => "-32602",
            code::METHOD_NOT_FOUND => "-32601",
            code::INTERNAL => "-32603",
            _ => "upstream",
        },
        RequestError::NotSent(_)
        | RequestError::Lost { .. }
        | RequestError::Timeout { .. }
        | RequestError::Busy { .. }
        | RequestError::Refused(_)
        | RequestError::Malformed(_) => error.kind().as_str(),
    }
}
