//! An exporter whose failures name the collector, so that a line of the log says what to look at.
//!
//! Passes everything on. Credentials and the query of the collector's URL are never told.

use std::time::Duration;

use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter},
};

/// An exporter and the place that it exports to.
#[derive(Debug)]
pub(super) struct Named<E> {
    exporter: E,
    place: String,
}

impl<E> Named<E> {
    /// `endpoint` is the collector's URL.
    pub(super) fn new(exporter: E, endpoint: &str) -> Self {
        Self { exporter, place: bare(endpoint) }
    }

    fn named(&self, outcome: OTelSdkResult) -> OTelSdkResult {
        outcome.map_err(|error| match error {
            OTelSdkError::AlreadyShutdown => error,
            OTelSdkError::Timeout(after) => self.failure(&format!("no answer within {after:?}")),
            OTelSdkError::InternalFailure(why) => self.failure(&why),
        })
    }

    fn failure(&self, why: &str) -> OTelSdkError {
        OTelSdkError::InternalFailure(format!("{why} (telemetry.otlp at {})", self.place))
    }
}

/// A URL without what may be secret in it.
fn bare(endpoint: &str) -> String {
    let address = endpoint.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    // A password may hold a slash that should have been written as `%2F`.
    let rest = rest.rsplit('@').next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let joint = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}{joint}{path}")
}

impl<E: SpanExporter> SpanExporter for Named<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.named(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Named<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.named(self.exporter.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_collector_without_its_secrets() {
        for (endpoint, told) in [
            ("http://localhost:4318", "http://localhost:4318"),
            ("https://me:hush@otel.example/otlp/?key=hush#hush", "https://otel.example/otlp"),
            ("https://me:hu@sh/hush@[::1]:4317", "https://[::1]:4317"),
            ("collector:4317", "http://collector:4317"),
        ] {
            let named = Named::new((), endpoint);
            for error in [
                OTelSdkError::InternalFailure("refused".to_owned()),
                OTelSdkError::Timeout(Duration::from_secs(1)),
            ] {
                let text = named.named(Err(error)).unwrap_err().to_string();
                assert!(text.contains(&format!("(telemetry.otlp at {told})")), "{text}");
                assert!(!text.contains("hush"), "{text}");
            }
        }
        let over = Named::new((), "").named(Err(OTelSdkError::AlreadyShutdown)).unwrap_err();
        assert!(matches!(over, OTelSdkError::AlreadyShutdown));
    }
}
