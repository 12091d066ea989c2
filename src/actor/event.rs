//! What happened to a connection, and why.
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::{
    id::{Incarnation, Owner, ServerName},
    restart::State,
};

/// One transition of one connection.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When.
    pub time: SystemTime,
    /// Whose connection.
    pub owner: Owner,
    /// Which server.
    pub server: ServerName,
    /// Which life.
    pub incarnation: Incarnation,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why, in words.
    pub cause: String,
    /// Time until the next try.
    pub next: Option<Duration>,
}
