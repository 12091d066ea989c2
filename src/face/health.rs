//! Health over HTTP: is the process there, should traffic be sent here, how does it go.
//!
//! Reads the status that the gate gives and keeps nothing. What stands about single servers is
//! for this machine only, until callers can be told apart.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Extension, Json, Router,
    extract::State,
    http::{StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::http::IsLocal;
use crate::access::{Gate, Health, Phase, Principal, RuntimeStatus, ServerStatus};

/// The health routes.
pub(crate) fn routes(gate: Arc<Gate>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/detailed", get(detailed))
        .with_state(gate)
}

#[derive(Debug, Serialize)]
struct Report {
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    services_count: usize,
    tools_count: usize,
    active_connections: usize,
    total_requests: u64,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers: Option<Vec<ServerStatus>>,
}

fn report(status: &RuntimeStatus, now: SystemTime) -> Report {
    Report {
        status: verdict(status),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: status.uptime.as_secs(),
        services_count: status.servers.iter().filter(|server| server.session.is_none()).count(),
        tools_count: status.tools,
        active_connections: status.servers.iter().filter(|server| serves(server)).count(),
        total_requests: status.calls,
        timestamp: humantime::format_rfc3339_seconds(now).to_string(),
        state_problem: None,
        servers: None,
    }
}

/// One word for the whole: why it is not ready, or whether anything is amiss.
fn verdict(status: &RuntimeStatus) -> &'static str {
    let amiss = |server: &ServerStatus| {
        matches!(server.health, Health::Warning | Health::Reconnecting | Health::Unreachable)
    };
    match status.phase {
        Phase::Starting => "starting",
        Phase::Draining => "draining",
        Phase::Serving if !status.ready => "unready",
        Phase::Serving if status.servers.iter().any(amiss) => "degraded",
        Phase::Serving => "healthy",
    }
}

const fn serves(server: &ServerStatus) -> bool {
    matches!(server.health, Health::Healthy | Health::Warning)
}

async fn live() -> Response {
    #[derive(Serialize)]
    struct Alive {
        status: &'static str,
        version: &'static str,
    }
    let alive = Alive { status: "alive", version: env!("CARGO_PKG_VERSION") };
    fresh(StatusCode::OK, alive)
}

async fn health(State(gate): State<Arc<Gate>>) -> Response {
    let status = gate.status(&Principal::local());
    fresh(StatusCode::OK, report(&status, SystemTime::now()))
}

async fn ready(State(gate): State<Arc<Gate>>) -> Response {
    let status = gate.status(&Principal::local());
    fresh(readiness(&status), report(&status, SystemTime::now()))
}

async fn detailed(
    State(gate): State<Arc<Gate>>,
    Extension(IsLocal(is_local)): Extension<IsLocal>,
) -> Response {
    let status = gate.status(&Principal::local());
    let mut report = report(&status, SystemTime::now());
    let code = readiness(&status);
    if is_local {
        report.state_problem = status.state_problem;
        report.servers = Some(status.servers);
    }
    fresh(code, report)
}

const fn readiness(status: &RuntimeStatus) -> StatusCode {
    if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn fresh(code: StatusCode, body: impl Serialize) -> Response {
    (code, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn status(phase: Phase, ready: bool) -> RuntimeStatus {
        RuntimeStatus {
            phase,
            ready,
            uptime: Duration::from_millis(61_900),
            calls: 7,
            tools: 3,
            agents: Vec::new(),
            outlived: 0,
            state_problem: None,
            servers: Vec::new(),
        }
    }

    #[test]
    fn the_body_has_exactly_the_promised_members() {
        let report = report(&status(Phase::Serving, true), SystemTime::UNIX_EPOCH);
        assert_eq!(
            serde_json::to_value(report).unwrap(),
            serde_json::json!({
                "status": "healthy", "version": env!("CARGO_PKG_VERSION"),
                "uptime_seconds": 61, "services_count": 0, "tools_count": 3,
                "active_connections": 0, "total_requests": 7,
                "timestamp": "1970-01-01T00:00:00Z",
            })
        );
    }

    #[test]
    fn what_is_not_ready_gets_no_traffic_and_says_why() {
        for (phase, ready, word, code) in [
            (Phase::Starting, false, "starting", 503),
            (Phase::Draining, false, "draining", 503),
            (Phase::Serving, false, "unready", 503),
            (Phase::Serving, true, "healthy", 200),
        ] {
            let status = status(phase, ready);
            assert_eq!(verdict(&status), word);
            assert_eq!(readiness(&status).as_u16(), code);
        }
    }
}
