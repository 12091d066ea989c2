//! A live link: requests in modern semantics over either era.
//!
//! Made by a connector, owned by one connection actor, shared with the callers of its
//! incarnation. When it ends it says why, once, and never comes back.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Deadline, LinkEnd, RequestError, ServerFacts};
use crate::wire::RawValue;

/// One progress notification: its raw parameters, with the upstream leg's token.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Raw `ProgressNotificationParams`; the receiver sets its own `progressToken`.
    pub params: Box<RawValue>,
}

/// Where progress of one request goes, in order. Bounded: what a slow reader leaves no room for
/// is dropped, because progress is a hint.
pub type ProgressSink = mpsc::Sender<Progress>;

/// One request to a server.
#[derive(Debug)]
pub struct Request {
    /// The method, such as `tools/call`.
    pub method: &'static str,
    /// Parameters with the server's own names. Reserved `_meta` keys of the caller's leg may
    /// still stand in it; the link states its own.
    pub params: Option<Arc<RawValue>>,
    /// Wanted if the caller asked for progress.
    pub progress: Option<ProgressSink>,
    /// When to give up; progress extends it.
    pub deadline: Deadline,
}

/// What a server tells unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// Its list of tools changed.
    ToolsChanged,
}

/// A live link.
#[derive(Debug)]
pub struct Link;
