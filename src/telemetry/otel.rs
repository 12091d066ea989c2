//! Traces and metrics by OpenTelemetry: the one place that names it.
//!
//! [`Export`] is the binary's: providers from a configuration and the `OTEL_*` variables. An
//! embedding program with providers of its own takes [`layer`], [`Observer`] and [`follow`].

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{SdkTracer, SdkTracerProvider},
};
use prometheus::{Registry, TextEncoder};
use tokio::time::Instant;
use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    registry::LookupSpan,
};

use super::{OtlpConfig, OtlpProtocol, TelemetryError};
use crate::{
    face::http::Metrics,
    runtime::RuntimeHandle,
    trace::{TARGET, Telemetry},
};

mod gauges;
mod named;
mod observer;

pub use gauges::follow;
use named::Named;
pub use observer::Observer;

/// What we are called in traces and metrics, unless a variable says otherwise.
const SERVICE: &str = "switchboard";

/// The layer that turns our spans into OpenTelemetry's, and no others: an actor's own span lives
/// as long as the actor and would grow with it.
///
/// ```
/// use opentelemetry::trace::TracerProvider as _;
/// use opentelemetry_sdk::trace::SdkTracerProvider;
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// let provider = SdkTracerProvider::builder().build();
/// let layer = switchboard::telemetry::otel::layer(provider.tracer("switchboard"));
/// let subscriber = tracing_subscriber::registry().with(layer);
/// # drop(subscriber);
/// ```
pub fn layer<S>(tracer: SdkTracer) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
}

/// What the binary exports.
#[derive(Debug)]
pub struct Export {
    traces: Option<SdkTracerProvider>,
    meters: SdkMeterProvider,
    registry: Registry,
    observer: Arc<Observer>,
}

impl Export {
    /// Providers as the configuration and the `OTEL_*` variables say. Metrics are always there for
    /// Prometheus; traces and OTLP only where a collector is named.
    ///
    /// # Errors
    /// [`TelemetryError::Export`].
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, TelemetryError> {
        let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value == "true");
        let named = |signal: &str| !disabled && !collector(config, signal).is_empty();
        let resource = resource();
        let mut traces = None;
        if named("TRACES") {
            let exporter = spans(config).map_err(|error| failed(&error))?;
            let provider = SdkTracerProvider::builder().with_resource(resource.clone());
            let exporter = Named::new(exporter, &collector(config, "TRACES"));
            traces = Some(provider.with_batch_exporter(exporter).build());
        }
        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .build()
            .map_err(|error| TelemetryError::Export(error.to_string()))?;
        let mut meters =
            SdkMeterProvider::builder().with_resource(resource).with_reader(prometheus);
        if named("METRICS") {
            let exporter = metrics(config).map_err(|error| failed(&error))?;
            let exporter = Named::new(exporter, &collector(config, "METRICS"));
            meters = meters.with_reader(PeriodicReader::builder(exporter).build());
        }
        let meters = meters.build();
        let observer = Arc::new(Observer::new(&meters.meter(SERVICE)));
        Ok(Self { traces, meters, registry, observer })
    }

    /// Nothing where no collector is named: spans then cost nothing.
    pub(super) fn layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        self.traces.as_ref().map(|provider| layer(provider.tracer(SERVICE)))
    }

    pub(super) fn telemetry(&self) -> Arc<dyn Telemetry> {
        Arc::<Observer>::clone(&self.observer)
    }

    pub(super) fn follow(&self, runtime: &RuntimeHandle) {
        follow(&self.meters.meter(SERVICE), runtime);
    }

    pub(super) fn metrics(&self) -> Metrics {
        let registry = self.registry.clone();
        Metrics::new(move || {
            // Our own names encode; a text that did not would be an empty one.
            TextEncoder::new().encode_to_string(&registry.gather()).unwrap_or_default()
        })
    }
}

impl Drop for Export {
    /// What is still in the queues goes out, if the collector takes it soon. Each part waits in a
    /// thread of its own, because not every reader keeps to the time that it is given; one that is
    /// left behind ends with the process.
    fn drop(&mut self) {
        let (done, ended) = mpsc::channel();
        if let Some(traces) = self.traces.clone() {
            end("spans", &done, move || traces.shutdown_with_timeout(LAST));
        }
        let meters = self.meters.clone();
        end("measurements", &done, move || meters.shutdown_with_timeout(LAST));
        drop(done);
        let until = Instant::now() + LAST;
        while ended.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
    }
}

/// Ends one part in a thread, which says when it is done.
fn end(
    what: &'static str,
    done: &mpsc::Sender<()>,
    shutdown: impl FnOnce() -> OTelSdkResult + Send + 'static,
) {
    let done = done.clone();
    thread::spawn(move || {
        if let Err(error) = shutdown() {
            tracing::debug!("the last {what} were not exported: {error}");
        }
        // Nobody waits any more where it took too long.
        done.send(()).ok();
    });
}

/// How long the last spans and measurements may take at the end.
const LAST: Duration = Duration::from_secs(2);

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The collector's URL for a signal: the configuration's, else a variable's; empty for none.
fn collector(config: &OtlpConfig, signal: &str) -> String {
    if !config.endpoint.is_empty() {
        return config.endpoint.clone();
    }
    variable(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))
        .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))
        .unwrap_or_default()
}

/// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win over our own name.
fn resource() -> Resource {
    let builder = Resource::builder();
    let named = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|it| it.contains("service.name"));
    let builder = if named { builder } else { builder.with_service_name(SERVICE) };
    builder.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

/// The protocol: the configuration's where it names a collector, else the variable's.
fn is_grpc(config: &OtlpConfig) -> bool {
    if config.endpoint.is_empty() {
        return variable("OTEL_EXPORTER_OTLP_PROTOCOL").is_some_and(|name| name == "grpc");
    }
    config.protocol == OtlpProtocol::Grpc
}

/// An exporter's builder with the place that the configuration names, if it does. Over HTTP each
/// signal has its path at the collector.
fn aimed<B: WithExportConfig>(builder: B, config: &OtlpConfig, path: &str) -> B {
    match config.endpoint.trim_end_matches('/') {
        "" => builder,
        place if is_grpc(config) => builder.with_endpoint(place),
        place => builder.with_endpoint(format!("{place}{path}")),
    }
}

/// What is wrong, without the value: an endpoint may hold a password.
fn failed(error: &ExporterBuildError) -> TelemetryError {
    TelemetryError::Export(match error {
        ExporterBuildError::InvalidConfiguration(text) => {
            let setting = text.split(": ").next().unwrap_or_default();
            format!("what its {setting} says is not valid")
        }
        ExporterBuildError::InternalFailure(_) => "the exporter does not start".to_owned(),
    })
}

fn spans(config: &OtlpConfig) -> Result<SpanExporter, ExporterBuildError> {
    let (builder, path) = (SpanExporter::builder(), "/v1/traces");
    if is_grpc(config) {
        return aimed(builder.with_tonic(), config, path).build();
    }
    aimed(builder.with_http().with_protocol(Protocol::HttpBinary), config, path).build()
}

fn metrics(config: &OtlpConfig) -> Result<MetricExporter, ExporterBuildError> {
    let (builder, path) = (MetricExporter::builder(), "/v1/metrics");
    if is_grpc(config) {
        return aimed(builder.with_tonic(), config, path).build();
    }
    aimed(builder.with_http().with_protocol(Protocol::HttpBinary), config, path).build()
}
