//! Switchboard keeps MCP (Model Context Protocol) servers connected for fleets of AI agents.
//!
//! Every upstream server is a supervised connection under its owner's supervisor; calls are
//! dispatched by name and wait out restarts; an agent program embeds the whole by spawning one
//! runtime. `ARCHITECTURE.md` in the repository draws it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use switchboard::runtime::{Runtime, RuntimeConfig};
//!
//! let runtime = Runtime::spawn(RuntimeConfig::default()).await?;
//! assert!(runtime.store().tools()?.tools().is_empty());
//! runtime.stop().await;
//! # Ok(()) }
//! ```
//!
//! # Features
//! None: the kernel (supervision, dispatch, stdio and in-process upstreams, the stdio face,
//! configuration). `upstream-http`: servers over streamable HTTP. `face-http`: MCP over HTTP,
//! health, the control socket. `otlp`: traces and metrics by OpenTelemetry. `watch`: configuration
//! files are followed. `store-sqlite`: what outlives a restart is kept in a file. `cli`: the command line. `daemon` (default): all of it.
//!
//! The actor framework is re-exported as [`ractor`]. Do not turn on its features `cluster` or
//! `async-trait`: they change its traits for every crate in the program.

#[cfg(panic = "abort")]
compile_error!("switchboard turns panics into supervision events: build with panic = \"unwind\"");

pub mod access;
pub mod actor;
#[cfg(feature = "cli")]
pub mod app;
pub mod catalog;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod error;
pub mod face;
pub mod guard;
pub mod id;
pub mod restart;
pub mod runtime;
pub mod secret;
pub mod store;
#[cfg(feature = "cli")]
pub mod telemetry;
pub mod trace;
pub mod unit;
pub mod upstream;
pub mod wire;

pub use ractor;

/// The page on processes, whose code must compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/processes.md")]
mod processes {}

/// The pages whose code must compile.
#[cfg(all(doctest, feature = "cli", feature = "otlp"))]
#[doc = include_str!("../docs/embedding.md")]
mod embedding {}
