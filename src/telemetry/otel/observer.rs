//! Measures what passes, and joins our spans with the traces of others.

use std::{collections::HashMap, fmt};

use opentelemetry::{
    KeyValue,
    metrics::{BoundHistogram, Counter, Histogram, Meter},
    propagation::TextMapPropagator as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use parking_lot::RwLock;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::trace::{Context, Operation, Telemetry};

/// Bounds of durations in seconds, as OpenTelemetry's conventions for MCP recommend.
const SECONDS: [f64; 12] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

/// Traces and measures a runtime with OpenTelemetry.
pub struct Observer {
    propagator: TraceContextPropagator,
    received: Durations,
    sent: Durations,
    listed: Counter<u64>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    /// Measures with instruments of this meter:
    /// `mcp.server.operation.duration`, `mcp.client.operation.duration`, `switchboard.listings`.
    pub fn new(meter: &Meter) -> Self {
        let duration = |name: &'static str, description: &'static str| {
            let histogram = meter
                .f64_histogram(name)
                .with_description(description)
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .build();
            Durations { histogram, bound: RwLock::default() }
        };
        Self {
            propagator: TraceContextPropagator::new(),
            received: duration(
                "mcp.server.operation.duration",
                "Requests that were received, until their answers",
            ),
            sent: duration(
                "mcp.client.operation.duration",
                "Requests that were sent to servers, until their answers",
            ),
            listed: meter
                .u64_counter("switchboard.listings")
                .with_description("Times that a server's tools were listed again")
                .build(),
        }
    }
}

/// How long operations took, with the labels of each looked up once.
struct Durations {
    histogram: Histogram<f64>,
    /// By server; nothing is the name of what we received.
    bound: RwLock<HashMap<String, Vec<Bound>>>,
}

/// The histogram for operations of one kind.
struct Bound {
    method: &'static str,
    revision: &'static str,
    error: Option<&'static str>,
    histogram: BoundHistogram<f64>,
}

impl Durations {
    fn record(&self, operation: &Operation<'_>) {
        let Operation { method, revision, error, .. } = *operation;
        let server = operation.server.unwrap_or_default();
        let took = operation.took.as_secs_f64();
        let same = |bound: &&Bound| {
            bound.method == method && bound.revision == revision && bound.error == error
        };
        if let Some(known) = self.bound.read().get(server)
            && let Some(bound) = known.iter().find(same)
        {
            return bound.histogram.record(took);
        }
        let histogram = self.histogram.bind(&labels(operation));
        histogram.record(took);
        let bound = Bound { method, revision, error, histogram };
        let mut all = self.bound.write();
        let known = all.entry(server.to_owned()).or_default();
        // Somebody else may have looked it up meanwhile.
        if !known.iter().any(|bound| same(&bound)) {
            known.push(bound);
        }
    }
}

/// Labels come from fixed sets and from the configuration: their number is bounded.
fn labels(operation: &Operation<'_>) -> Vec<KeyValue> {
    let mut labels = vec![
        KeyValue::new("mcp.method.name", operation.method),
        KeyValue::new("mcp.protocol.version", operation.revision),
    ];
    if let Some(server) = operation.server {
        labels.push(KeyValue::new("switchboard.server", server.to_owned()));
    }
    if let Some(error) = operation.error {
        labels.push(KeyValue::new("error.type", error));
    }
    labels
}

impl Telemetry for Observer {
    fn adopt(&self, span: &Span, context: &Context) {
        if context.is_empty() {
            return;
        }
        let carrier: HashMap<String, String> =
            context.entries().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        // It fails only where nobody exports the span.
        span.set_parent(self.propagator.extract(&carrier)).ok();
    }

    fn context(&self, span: &Span) -> Option<Context> {
        if span.is_disabled() {
            return None;
        }
        let mut carrier = HashMap::new();
        self.propagator.inject_context(&span.context(), &mut carrier);
        let context = Context::read(|key| carrier.get(key).map(String::as_str));
        (!context.is_empty()).then_some(context)
    }

    fn received(&self, operation: &Operation<'_>) {
        self.received.record(operation);
    }

    fn sent(&self, operation: &Operation<'_>) {
        self.sent.record(operation);
    }

    fn listed(&self, server: &str, changed: bool) {
        let labels = [
            KeyValue::new("switchboard.server", server.to_owned()),
            KeyValue::new("switchboard.changed", changed),
        ];
        self.listed.add(1, &labels);
    }
}
