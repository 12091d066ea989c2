//! Telemetry: what the binary logs, traces and measures, and where it exports to.
//!
//! Owned by `app`, which starts it once. The log goes to standard error alone, because standard
//! output belongs to data. An embedding program takes [`otel`] instead and keeps its own
//! subscriber and providers: nothing but [`init`] sets anything global.

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::Dispatch;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterExt as _, ParseError},
    fmt,
    layer::SubscriberExt as _,
    reload,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::{face::http::Metrics, runtime::RuntimeHandle, trace::Telemetry};

#[cfg(feature = "otlp")]
pub mod otel;
mod seldom;

/// What holds below everything that a user says: libraries that tell of each message, some with
/// its content or its headers, do so only when asked for by name.
const QUIET: &str = "switchboard::trace=off,ractor=warn,rmcp=warn,opentelemetry=warn,\
                     h2=warn,hyper=warn,inotify=warn,notify=warn,hyper_util=warn,reqwest=warn,tonic=warn,tower=warn";

/// What is logged and exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// The log on standard error.
    pub log: LogConfig,
    /// Export by OTLP, the protocol of OpenTelemetry.
    pub otlp: OtlpConfig,
}

/// The log on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or directives
    /// such as `info,switchboard=debug`. Default: `info`.
    pub level: String,
    /// How a line looks. Default: pretty.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::default() }
    }
}

impl LogConfig {
    /// The filter that the level means.
    ///
    /// # Errors
    /// The directive that cannot be understood.
    pub fn filter(&self) -> Result<EnvFilter, ParseError> {
        EnvFilter::builder().parse(format!("{QUIET},{}", self.level))
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people, in colour on a terminal.
    #[default]
    Pretty,
    /// A JSON object.
    Json,
}

/// Export by OTLP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// The collector's URL; empty is off. Default: empty.
    pub endpoint: String,
    /// How it is spoken to. Default: `http/protobuf`.
    pub protocol: OtlpProtocol,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is neither a level nor directives.
    #[error("telemetry.log.level is not a log filter")]
    Filter(#[from] ParseError),
    /// The exporter cannot be made.
    #[cfg(feature = "otlp")]
    #[error("telemetry.otlp cannot be used: {0}")]
    Export(String),
    /// The process has a subscriber already.
    #[error("another part of this process logs already")]
    Taken(#[from] TryInitError),
}

/// Keeps telemetry going; to be held until the process has nothing more to tell.
#[derive(Debug)]
#[must_use = "telemetry ends when the guard is dropped"]
pub struct Guard {
    level: LogLevel,
    #[cfg(feature = "otlp")]
    export: otel::Export,
}

impl Guard {
    /// What the log's level is changed by.
    pub fn level(&self) -> LogLevel {
        self.level.clone()
    }

    /// Whoever traces and measures a runtime of this process.
    pub fn telemetry(&self) -> Arc<dyn Telemetry> {
        #[cfg(feature = "otlp")]
        return self.export.telemetry();
        #[cfg(not(feature = "otlp"))]
        Arc::new(crate::trace::Silent)
    }

    /// Measures what a runtime is doing from now on.
    pub fn follow(&self, runtime: &RuntimeHandle) {
        #[cfg(feature = "otlp")]
        self.export.follow(runtime);
        #[cfg(not(feature = "otlp"))]
        drop(runtime.clone());
    }

    /// What is measured, as Prometheus reads it; `None` in a build without metrics.
    pub fn metrics(&self) -> Option<Metrics> {
        #[cfg(feature = "otlp")]
        return Some(self.export.metrics());
        #[cfg(not(feature = "otlp"))]
        None
    }
}

/// The level of the log of this process, which may change while it runs.
#[derive(Clone, Debug)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Logs by another filter from now on.
    pub fn set(&self, filter: EnvFilter) {
        // It fails only where the subscriber is gone, which then logs nothing.
        self.0.reload(filter).ok();
    }
}

/// Starts logging for the whole process, and exporting where a collector is named.
///
/// # Errors
/// [`TelemetryError`]; nothing was started.
pub fn init(config: &TelemetryConfig) -> Result<Guard, TelemetryError> {
    let (subscriber, guard) = prepare(config)?;
    subscriber.try_init()?;
    Ok(guard)
}

fn prepare(config: &TelemetryConfig) -> Result<(Dispatch, Guard), TelemetryError> {
    let layer = fmt::layer().with_writer(io::stderr);
    let layer = match config.log.format {
        LogFormat::Pretty => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().boxed(),
    };
    let (filter, level) = reload::Layer::new(config.log.filter()?);
    let log = layer.with_filter(filter.and(seldom::Seldom::default()));
    let subscriber = tracing_subscriber::registry().with(log);
    #[cfg(feature = "otlp")]
    {
        let export = otel::Export::new(&config.otlp)?;
        // An absent layer would count as one that wants every span, and each would be made.
        let subscriber = match export.layer() {
            Some(layer) => subscriber.with(layer).into(),
            None => subscriber.into(),
        };
        Ok((subscriber, Guard { level: LogLevel(level), export }))
    }
    #[cfg(not(feature = "otlp"))]
    Ok((subscriber.into(), Guard { level: LogLevel(level) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(level: &str) -> String {
        let log = LogConfig { level: level.to_owned(), ..LogConfig::default() };
        log.filter().unwrap().to_string()
    }

    #[test]
    fn chatty_libraries_are_quiet_unless_asked_by_name() {
        let info = directives("debug");
        assert!(info.contains("rmcp=warn") && info.contains("ractor=warn"));
        let asked = directives("info,rmcp=trace");
        assert!(asked.contains("rmcp=trace") && !asked.contains("rmcp=warn"));
    }

    #[test]
    fn without_a_collector_a_span_costs_nothing() {
        let (subscriber, _guard) = prepare(&TelemetryConfig::default()).unwrap();
        tracing::dispatcher::with_default(&subscriber, || {
            assert!(tracing::info_span!(target: crate::trace::TARGET, "call").is_disabled());
            assert!(!tracing::info_span!("another").is_disabled());
        });
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        let log = LogConfig { level: "info,switchboard=loud".to_owned(), ..LogConfig::default() };
        assert!(log.filter().is_err());
    }

    #[test]
    fn a_configuration_survives_its_own_text() {
        let text = r#"{"log":{"level":"warn","format":"json"},"otlp":{"endpoint":"http://localhost:4318","protocol":"grpc"}}"#;
        let config: TelemetryConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.otlp.protocol, OtlpProtocol::Grpc);
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
        assert!(serde_json::from_str::<TelemetryConfig>(r#"{"logs":{}}"#).is_err());
    }
}
