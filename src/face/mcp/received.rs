//! One request that we received, as it is traced and measured: a server span in OpenTelemetry's
//! words, and how it ended.
//!
//! Continues the trace that the request names, in its `_meta` or in HTTP headers. Never holds an
//! argument or a result.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{Span, field::Empty};

use super::{Caller, Fault, Outcome, Reply};
use crate::{
    access::Gate,
    trace::{self, Context, Operation, TARGET, Telemetry},
    wire::{Id, Object, RawValue, Revision, envelope::code, method, result},
};

/// One request under way. Dropped before its end, it was cancelled.
#[derive(Debug)]
pub(crate) struct Received {
    telemetry: Arc<dyn Telemetry>,
    method: &'static str,
    revision: Revision,
    started: Instant,
    ended: bool,
    pub(crate) span: Span,
}

impl Received {
    /// A request begins.
    pub(crate) fn begin(
        gate: &Gate,
        caller: &Caller,
        id: &Id,
        method: &str,
        params: Option<&RawValue>,
        revision: Revision,
    ) -> Self {
        let method = method::known(method).unwrap_or("other");
        let span = tracing::info_span!(
            target: TARGET,
            "mcp.server",
            otel.name = Empty,
            otel.kind = "server",
            otel.status_code = Empty,
            mcp.method.name = method,
            mcp.protocol.version = revision.as_str(),
            mcp.session.id = caller.session.as_ref().map(|lease| lease.key().as_str()),
            jsonrpc.request.id = Empty,
            gen_ai.operation.name = Empty,
            gen_ai.tool.name = Empty,
            gen_ai.prompt.name = Empty,
            mcp.resource.uri = Empty,
            switchboard.owner = caller.owner.as_str(),
            "error.type" = Empty,
        );
        let telemetry = Arc::clone(gate.telemetry());
        if !span.is_disabled() {
            describe(&span, id, method, params);
            let own = Context::of_params(params);
            telemetry.adopt(&span, if own.is_empty() { &caller.trace } else { &own });
        }
        Self { telemetry, method, revision, started: Instant::now(), ended: false, span }
    }

    /// The request has its outcome.
    pub(crate) fn end(mut self, outcome: &Outcome) {
        self.ended = true;
        self.tell(match outcome {
            Ok(result) => result.whole().is_some_and(result::is_error).then_some("tool_error"),
            Err(fault) => Some(kind(fault.error.code())),
        });
    }

    /// The request has what it asked for, and goes on without us measuring it.
    fn opened(mut self) {
        self.ended = true;
        self.tell(None);
    }

    /// Measures what a request is answered with.
    pub(crate) fn observe<S>(self, reply: Result<Reply<S>, Fault>) -> Reply<S> {
        match reply.unwrap_or_else(|fault| Reply::Now(Err(fault))) {
            Reply::Now(outcome) => {
                self.end(&outcome);
                Reply::Now(outcome)
            }
            Reply::Call(exchange) => Reply::Call(exchange.observed(self)),
            Reply::Listen(stream) => {
                self.opened();
                Reply::Listen(stream)
            }
        }
    }

    fn tell(&self, error: Option<&'static str>) {
        if let Some(error) = error {
            self.span.record("error.type", error);
            self.span.record("otel.status_code", "ERROR");
        }
        self.telemetry.received(&Operation {
            method: self.method,
            server: None,
            revision: self.revision.as_str(),
            error,
            took: self.started.elapsed(),
        });
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(Some("cancelled"));
        }
    }
}

fn describe(span: &Span, id: &Id, method: &str, params: Option<&RawValue>) {
    match id {
        Id::Written(id) | Id::String(id) => span.record("jsonrpc.request.id", &**id),
    };
    let params = Object::read_optional(params).unwrap_or_default();
    let target = method::routed_parameter(method).and_then(|key| params.text(key));
    trace::describe(span, method, target.as_deref());
}

/// A name for what went wrong, from a fixed set: the codes that the protocol and we define.
const fn kind(code: i64) -> &'static str {
    match code {
        code::PARSE => "-32700",
        code::INVALID_REQUEST => "-32600",
        code::METHOD_NOT_FOUND => "-32601",
        code::INVALID_PARAMS => "-32602",
        code::INTERNAL => "-32603",
        code::HEADER_MISMATCH => "-32020",
        code::MISSING_CAPABILITY => "-32021",
        code::UNSUPPORTED_VERSION => "-32022",
        code::UNAVAILABLE => "unavailable",
        code::TIMEOUT => "timeout",
        code::OVERLOADED => "overloaded",
        code::OUTCOME_UNKNOWN => "outcome_unknown",
        _ => "upstream",
    }
}
