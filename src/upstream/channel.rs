//! What a link speaks over: a byte stream, or HTTP requests of their own.
//!
//! One face for both, so that nothing above a link knows the transport.

use std::time::Duration;

#[cfg(feature = "upstream-http")]
use super::http::remote::Remote;
use super::{
    LinkEnd, RequestError,
    dialogue::Inquiries,
    news::News,
    peer::{Call, Peer},
};
use crate::wire::{RawValue, Revision};

/// The live other side of a link.
#[derive(Debug)]
pub(super) enum Channel {
    /// One byte stream for everything.
    Stream(Peer),
    /// A request of its own for each message.
    #[cfg(feature = "upstream-http")]
    Http(Box<Remote>),
}

impl Channel {
    /// Sends a request and waits for its answer. Dropping the future gives it up.
    pub(super) async fn request(&self, call: &Call<'_>) -> Result<Box<RawValue>, RequestError> {
        match self {
            Self::Stream(peer) => peer.request(call).await,
            #[cfg(feature = "upstream-http")]
            Self::Http(remote) => remote.request(call).await,
        }
    }

    /// Sends a notification; a modern one over HTTP names its revision.
    pub(super) async fn notify(
        &self,
        method: &str,
        params: Option<&str>,
        revision: Option<Revision>,
    ) {
        match (self, revision) {
            (Self::Stream(peer), _) => peer.notify(method, params).await,
            #[cfg(feature = "upstream-http")]
            (Self::Http(remote), revision) => remote.notify(method, params, revision).await,
        }
    }

    /// The server's questions.
    pub(super) fn inquiries(&self) -> &Inquiries {
        match self {
            Self::Stream(peer) => peer.inquiries(),
            #[cfg(feature = "upstream-http")]
            Self::Http(remote) => remote.inquiries(),
        }
    }

    /// Takes note of what the server's tools want beside their arguments.
    pub(super) fn learn(&self, tools: &[Box<RawValue>]) {
        match (self, tools) {
            (Self::Stream(_), _) => {}
            #[cfg(feature = "upstream-http")]
            (Self::Http(remote), tools) => remote.learn(tools),
        }
    }

    /// Whether a tool can be called over this channel.
    pub(super) fn can_call(&self, tool: &RawValue) -> bool {
        match (self, tool) {
            (Self::Stream(_), _) => true,
            #[cfg(feature = "upstream-http")]
            (Self::Http(remote), tool) => remote.can_call(tool),
        }
    }

    /// How long no message was received; since the start if there was none.
    pub(super) fn silent_for(&self) -> Duration {
        match self {
            Self::Stream(peer) => peer.silent_for(),
            #[cfg(feature = "upstream-http")]
            Self::Http(remote) => remote.silent_for(),
        }
    }

    /// How many requests wait for an answer.
    pub(super) fn in_flight(&self) -> usize {
        match self {
            Self::Stream(peer) => peer.in_flight(),
            #[cfg(feature = "upstream-http")]
            Self::Http(remote) => remote.in_flight(),
        }
    }

    /// Whether what the server sends arrives in its order, whatever it belongs to.
    pub(super) const fn is_ordered(&self) -> bool {
        match self {
            Self::Stream(_) => true,
            #[cfg(feature = "upstream-http")]
            Self::Http(_) => false,
        }
    }

    /// What the server told unasked.
    pub(super) fn news(&self) -> &News {
        match self {
            Self::Stream(peer) => peer.news(),
            #[cfg(feature = "upstream-http")]
            Self::Http(remote) => remote.news(),
        }
    }

    /// Resolves with the cause when the link is over; any number may wait.
    pub(super) async fn ended(&self) -> LinkEnd {
        match self {
            Self::Stream(peer) => peer.ended().await,
            #[cfg(feature = "upstream-http")]
            Self::Http(remote) => remote.ended().await,
        }
    }

    /// How it ended, once it has.
    pub(super) fn end(&self) -> Option<LinkEnd> {
        match self {
            Self::Stream(peer) => peer.end(),
            #[cfg(feature = "upstream-http")]
            Self::Http(remote) => remote.end(),
        }
    }

    /// Fails what waits and ends it at once.
    pub(super) fn kill(&self) {
        match self {
            Self::Stream(peer) => peer.kill(),
            #[cfg(feature = "upstream-http")]
            Self::Http(remote) => remote.kill(),
        }
    }

    /// Fails what waits and ends it in order.
    pub(super) async fn close(&self, grace: Duration) {
        match self {
            Self::Stream(peer) => peer.close(grace).await,
            #[cfg(feature = "upstream-http")]
            Self::Http(remote) => remote.close(grace).await,
        }
    }
}
