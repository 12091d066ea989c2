//! Behaviour through the public API and the real binary, in one test program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "the switches for tests cover test functions, not the helpers beside them; `pub` marks what they share"
)]

mod bounds;
mod chaos;
mod cli;
mod clients;
mod config;
mod conformance;
mod crowd;
mod delivery;
mod demo;
mod dialogue;
mod embed;
mod extensions;
mod faults;
mod guard;
mod handover;
mod http_upstream;
mod lossless;
mod matrix;
mod mcp_host;
mod mcp_legacy;
mod mcp_modern;
mod mcp_operator;
mod mcp_oracle;
mod mcp_stdio;
mod partings;
mod primitives;
mod processes;
mod program;
mod reconfigure;
mod reload;
mod schema;
mod secrets_stay;
mod servers;
mod sessions;
mod store;
mod stuck;
mod subscriptions;
mod supervision;
mod support;
mod tasks;
mod telemetry;
mod tidy;
mod unread;
mod waiting;
mod why;
