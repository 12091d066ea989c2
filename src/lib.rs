//! Switchboard keeps MCP (Model Context Protocol) servers connected for fleets of AI agents.

pub mod access;
pub mod actor;
pub mod catalog;
pub mod error;
pub mod face;
pub mod id;
pub mod restart;
pub mod runtime;
pub mod secret;
pub mod unit;
pub mod upstream;
pub mod wire;

pub use ractor;
