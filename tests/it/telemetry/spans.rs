//! What a tracer of an embedding program gets: spans that end, and none that grows with restarts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::{Context, metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::SdkMeterProvider,
    trace::{SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use parking_lot::Mutex;
use serde_json::json;
use switchboard::{
    runtime::{CallRequest, Runtime, RuntimeConfig},
    telemetry::otel::{Observer, follow, layer},
};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::{
    flaky::{Attempt, Flaky},
    script::Script,
    wait::PATIENCE,
};

/// Counts what begins, and keeps what ended.
#[derive(Clone, Debug, Default)]
struct Spans {
    begun: Arc<AtomicUsize>,
    ended: Arc<Mutex<Vec<SpanData>>>,
}

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn on_end(&self, span: SpanData) {
        self.ended.lock().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_restarts_leave_no_span_open() {
    const RESTARTS: usize = 100;
    let spans = Spans::default();
    let tracers = SdkTracerProvider::builder().with_span_processor(spans.clone()).build();
    let subscriber = tracing_subscriber::registry().with(layer(tracers.tracer("test")));
    let _subscribed = tracing::subscriber::set_default(subscriber);
    let meter = SdkMeterProvider::builder().build().meter("test");
    let observer = Arc::new(Observer::new(&meter));
    let runtime =
        Runtime::builder().telemetry(observer).spawn(RuntimeConfig::default()).await.unwrap();
    follow(&meter, &runtime);

    let script = Script::new().echo();
    let server = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, PATIENCE).await.unwrap();
    for restart in 0..RESTARTS {
        store.restart(&server).await.unwrap();
        // It waits for the next life, which a span may tell but not outlive.
        store.call(CallRequest::new("a_echo", &json!({ "n": restart }))).await.unwrap();
    }
    assert!(script.lives() > RESTARTS, "{} lives", script.lives());
    let ended = spans.ended.lock();
    assert_eq!(spans.begun.load(Ordering::Relaxed), ended.len(), "one is still open");
    // One for each leg of a call, and none for actors, lives or events.
    assert!((RESTARTS..=2 * RESTARTS).contains(&ended.len()), "{} spans", ended.len());
    assert!(ended.iter().all(|span| span.name == "tools/call echo" && span.events.len() <= 2));
}
