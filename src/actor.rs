//! The supervision tree.
pub mod event;
pub mod server;
pub mod settings;
pub mod status;
