//! The wire: what a message is to us, and what we never parse.
//!
//! A message is an envelope whose body stays raw JSON; only what routing and translation need is
//! read, so unknown members, big numbers and escapes arrive as they were sent. This module knows
//! JSON-RPC 2.0 and the Model Context Protocol's names; it never does I/O.

pub mod ability;
pub mod change;
pub mod depth;
pub mod envelope;
pub mod extension;
pub mod header;
pub mod id;
pub mod level;
pub mod meta;
pub mod method;
pub mod needle;
pub mod object;
pub mod pieces;
pub mod primitive;
pub mod result;
pub mod revision;
mod scan;
pub mod sse;
pub mod task;

pub use ability::{Abilities, Ability};
pub use envelope::{ErrorObject, Message, ParseError};
pub use id::Id;
pub use level::Level;
pub use needle::Needle;
pub use object::Object;
pub use pieces::Pieces;
pub use primitive::{Each, Primitive};
pub use revision::{Era, Revision};
/// Raw JSON text, kept as it was sent.
pub use serde_json::value::RawValue;
pub use task::Task;

/// Serialises a value that we built ourselves into raw JSON.
///
/// # Panics
/// Never for the types of this crate: their keys are strings and their numbers are finite.
#[allow(
    clippy::expect_used,
    reason = "the types given here are ours, with string keys and finite numbers"
)]
pub fn raw<T: serde::Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("our own types serialise")
}

/// The text of raw JSON, without a copy.
pub fn into_text(raw: Box<RawValue>) -> String {
    Box::<str>::from(raw).into_string()
}
