//! What is measured, for Prometheus: text that somebody above gives on request.
//!
//! For this machine only, until callers can be told apart: it names servers.

use std::{fmt, sync::Arc};

use axum::{
    Extension, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};

use super::IsLocal;

/// Text in Prometheus' exposition format (0.0.4), made anew each time that it is asked for.
#[derive(Clone)]
pub struct Metrics(Arc<dyn Fn() -> String + Send + Sync>);

impl Metrics {
    /// Metrics that a function gives.
    pub fn new(text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(text))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

pub(super) fn routes(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(metrics)
}

async fn scrape(
    State(metrics): State<Metrics>,
    Extension(IsLocal(is_local)): Extension<IsLocal>,
) -> Response {
    if !is_local {
        return StatusCode::FORBIDDEN.into_response();
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (metrics.0)()).into_response()
}
