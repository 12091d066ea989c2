//! A live link: requests in modern semantics over either era.
//!
//! Made by a connector, owned by one connection actor, shared with the callers of its
//! incarnation. When it ends it says why, once, and never comes back.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::Deserialize;

use super::{
    Deadline, Dialogue, LinkEnd, ProgressSink, RequestError, ServerFacts, Updated,
    channel::Channel,
    era,
    peer::{Acknowledged, Call},
};
use crate::{
    trace::Context,
    wire::{
        Era, Level, Object, Primitive, RawValue, envelope::code, meta::Stamp, method, raw, result,
    },
};

mod listen;

/// Pages of one list that are read at most.
const PAGES: usize = 1000;

/// One request to a server.
#[derive(Debug)]
pub struct Request {
    /// The method, such as `tools/call`.
    pub method: &'static str,
    /// Parameters as the caller sent them. Reserved `_meta` keys of the caller's leg may still
    /// stand in them; the link states its own.
    pub params: Option<Arc<RawValue>>,
    /// The server's own name of what it is about; it takes the place of the caller's.
    pub name: Option<Arc<str>>,
    /// Wanted if the caller asked for progress.
    pub progress: Option<ProgressSink>,
    /// When to give up; progress extends it.
    pub deadline: Deadline,
    /// The trace context that the server gets, instead of the one in `params`.
    pub trace: Option<Context>,
    /// Who is behind it, where the server may ask back.
    pub dialogue: Option<Arc<Dialogue>>,
}

/// What a server tells unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// One of its lists changed.
    ListsChanged,
}

/// A live link. Dropping it kills a process behind it at once; [`close`](Self::close) is kinder.
#[derive(Debug)]
pub struct Link {
    channel: Channel,
    facts: ServerFacts,
    /// What every request to a modern server states; `None` for a legacy one.
    stamp: Option<Stamp>,
    /// Bounds a whole list in bytes, as it bounds one message.
    message_limit: usize,
    /// The least level of log messages that any call wanted.
    level: Mutex<Option<Level>>,
}

impl Link {
    /// A link over a peer that the handshake agreed with.
    pub(super) fn new(channel: Channel, facts: ServerFacts, message_limit: usize) -> Self {
        let stamp = (facts.era == Era::Modern).then(|| era::stamp(facts.revision));
        Self { channel, facts, stamp, message_limit, level: Mutex::default() }
    }

    /// What the server said about itself.
    pub const fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// Sends a request and waits for its raw result. Dropping the future cancels the request.
    ///
    /// # Errors
    /// [`RequestError`] says above all whether the server may have executed it.
    pub async fn request(&self, request: Request) -> Result<Box<RawValue>, RequestError> {
        self.exchange(request, None).await
    }

    async fn exchange(
        &self,
        request: Request,
        acknowledged: Option<Acknowledged>,
    ) -> Result<Box<RawValue>, RequestError> {
        let dialogue = request.dialogue.as_deref();
        let stated = self.stated(dialogue);
        if let Some(level) = dialogue.and_then(|dialogue| dialogue.level) {
            self.want_messages(level, &request.deadline).await;
        }
        let may_ask = dialogue.is_some();
        let call = Call {
            method: request.method,
            params: request.params.as_deref(),
            name: request.name.as_deref(),
            stamp: stated.as_ref().or(self.stamp.as_ref()),
            progress: request.progress,
            deadline: request.deadline,
            trace: request.trace.as_ref(),
            dialogue: request.dialogue,
            acknowledged,
            cancellable: true,
        };
        let result = match self.channel.request(&call).await {
            // Not executed: the tool's schema says which headers the server misses.
            Err(RequestError::Server(error))
                if error.code() == code::HEADER_MISMATCH && call.method == method::TOOLS_CALL =>
            {
                Box::pin(self.list(Primitive::Tool, call.deadline.clone())).await?;
                self.channel.request(&call).await?
            }
            outcome => outcome?,
        };
        match self.facts.era {
            Era::Modern => complete(&result, may_ask)?,
            Era::Legacy => object(&result)?,
        }
        Ok(result)
    }

    /// What a modern server is told of the caller, where that can do more than nothing.
    fn stated(&self, dialogue: Option<&Dialogue>) -> Option<Stamp> {
        let (stamp, dialogue) = (self.stamp.as_ref()?, dialogue?);
        let (abilities, level) = (dialogue.offered(), dialogue.level);
        if abilities.is_empty() && level.is_none() {
            return None;
        }
        Some(Stamp { capabilities: abilities.to_raw(), level, ..stamp.clone() })
    }

    /// Has a legacy server send messages of a level. Its level is that of the whole connection, so
    /// it only ever becomes lower; each call filters for itself.
    async fn want_messages(&self, level: Level, deadline: &Deadline) {
        let is_lower = {
            let mut least = self.level.lock();
            let is_lower = least.is_none_or(|least| level < least);
            if is_lower {
                *least = Some(level);
            }
            is_lower
        };
        if !is_lower || self.facts.era == Era::Modern || !self.declares("logging") {
            return;
        }
        let params = raw(&serde_json::json!({ "level": level }));
        let call = Call {
            method: method::SET_LEVEL,
            params: Some(&params),
            name: None,
            stamp: None,
            progress: None,
            deadline: deadline.clone(),
            trace: None,
            dialogue: None,
            acknowledged: None,
            cancellable: true,
        };
        // A server that refuses sends what it likes, which is filtered all the same.
        self.channel.request(&call).await.ok();
    }

    /// The raw definitions of all that the server has of one kind, every page of them; none where
    /// it declares no such thing.
    ///
    /// # Errors
    /// [`RequestError::Malformed`] also for a list without end: a repeated cursor, more than
    /// 1,000 pages, or more bytes than one message may have.
    pub async fn list(
        &self,
        primitive: Primitive,
        deadline: Deadline,
    ) -> Result<Vec<Box<RawValue>>, RequestError> {
        let mut items = Vec::new();
        if !self.declares(primitive.capability()) {
            return Ok(items);
        }
        let method = primitive.list_method();
        let endless = |why: &str| {
            RequestError::Malformed(format!("what the server lists by {method} has no end: {why}"))
        };
        let mut params = None;
        let mut seen = HashSet::new();
        let mut bytes = 0;
        for _ in 0..PAGES {
            let result = self
                .request(Request {
                    method,
                    params,
                    name: None,
                    progress: None,
                    deadline: deadline.clone(),
                    trace: None,
                    dialogue: None,
                })
                .await?;
            bytes += result.get().len();
            if bytes > self.message_limit {
                return Err(endless("it exceeds limits.message_bytes in all"));
            }
            let page = Page::read(primitive, &result)?;
            items.extend(page.items);
            let Some(cursor) = page.next_cursor else {
                if primitive == Primitive::Tool {
                    self.channel.learn(&items);
                }
                return Ok(items);
            };
            let next = serde_json::json!({ "cursor": &cursor });
            if !seen.insert(cursor) {
                return Err(endless("it repeats a cursor"));
            }
            params = Some(raw(&next).into());
        }
        Err(endless("it has more than 1000 pages"))
    }

    /// Whether a tool of the server can be called over this link. Modern HTTP has tools that want
    /// arguments repeated as headers which cannot be, and clients must leave those out.
    pub fn can_call(&self, tool: &RawValue) -> bool {
        self.channel.can_call(tool)
    }

    fn declares(&self, capability: &str) -> bool {
        Object::read(&self.facts.capabilities)
            .is_some_and(|capabilities| capabilities.get(capability).is_some())
    }

    /// Asks for any sign of life; an error response is one.
    ///
    /// # Errors
    /// No answer in time, or the link is over.
    pub async fn probe(&self, deadline: Deadline) -> Result<(), RequestError> {
        let method = match self.facts.era {
            Era::Modern => method::DISCOVER,
            Era::Legacy => method::PING,
        };
        let answer = self
            .request(Request {
                method,
                params: None,
                name: None,
                progress: None,
                deadline,
                trace: None,
                dialogue: None,
            })
            .await;
        match answer {
            Ok(_)
            | Err(
                RequestError::Server(_)
                | RequestError::Malformed(_)
                | RequestError::Busy { .. }
                | RequestError::Refused(_),
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How long the server has sent no message; since the link was made if it never did.
    pub fn silent_for(&self) -> Duration {
        self.channel.silent_for()
    }

    /// Requests that wait for an answer, a subscription among them.
    pub fn in_flight(&self) -> usize {
        self.channel.in_flight()
    }

    /// The next thing that the server tells unasked; `None` once the link is over. What is told
    /// several times before it is asked for is told once.
    pub async fn event(&self) -> Option<LinkEvent> {
        tokio::select! {
            biased;
            () = self.channel.news().lists_changed() => Some(LinkEvent::ListsChanged),
            _ = self.channel.ended() => None,
        }
    }

    /// The resources that changed by the server's own word since this was asked last; `None` once
    /// the link is over. Only those are told that it was asked to tell of.
    pub async fn updated(&self) -> Option<Vec<Updated>> {
        tokio::select! {
            biased;
            updated = self.channel.news().updated() => Some(updated),
            _ = self.channel.ended() => None,
        }
    }

    /// Resolves with the cause when the link is over; any number may wait.
    pub async fn ended(&self) -> LinkEnd {
        self.channel.ended().await
    }

    /// Fails what is in flight and ends the server at once; its whole process group is killed.
    pub fn kill(&self) {
        self.channel.kill();
    }

    /// Fails what is in flight, closes the server's input, and gives it `grace` to end by itself;
    /// then its process group gets SIGTERM and, three seconds later, SIGKILL.
    pub async fn close(&self, grace: Duration) {
        self.channel.close(grace).await;
    }
}

/// One page of a list.
struct Page {
    items: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

impl Page {
    fn read(primitive: Primitive, result: &RawValue) -> Result<Self, RequestError> {
        let read = || {
            let object = Object::read(result)?;
            let next_cursor = match object.get("nextCursor") {
                Some(_) => object.typed("nextCursor")?,
                None => None,
            };
            Some(Self { items: object.typed(primitive.member())?, next_cursor })
        };
        read().ok_or_else(|| {
            RequestError::Malformed(format!(
                "the result of {} has no `{}` array, or a `nextCursor` that is no string",
                primitive.list_method(),
                primitive.member()
            ))
        })
    }
}

/// Only a complete result is a result, or one that wants input where the server may ask for it.
fn complete(result: &RawValue, may_ask: bool) -> Result<(), RequestError> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(default, rename = "resultType")]
        result_type: Option<String>,
    }
    object(result)?;
    let Ok(Typed { result_type }) = serde_json::from_str(result.get()) else {
        return Err(RequestError::Malformed(
            "the `resultType` of the result is no string".to_owned(),
        ));
    };
    match result_type.as_deref() {
        None | Some("complete") => Ok(()),
        Some(result::INPUT_REQUIRED) if may_ask => Ok(()),
        Some(other) => Err(RequestError::Malformed(format!(
            "the server gave a result of the type {other:?}, which was not offered to it"
        ))),
    }
}

fn object(result: &RawValue) -> Result<(), RequestError> {
    if result.get().starts_with('{') {
        return Ok(());
    }
    Err(RequestError::Malformed("the server's result is no JSON object".to_owned()))
}

#[cfg(test)]
mod tests;
