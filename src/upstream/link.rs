//! A live link: requests in modern semantics over either era.
//!
//! Made by a connector, owned by one connection actor, shared with the callers of its
//! incarnation. When it ends it says why, once, and never comes back.

use std::{borrow::Cow, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    Deadline, Dialogue, LinkEnd, ProgressSink, RequestError, ServerFacts, Updated,
    channel::Channel,
    era,
    peer::{Acknowledged, Call},
};
use crate::{
    trace::Context,
    wire::{
        Ability, Era, Level, Object, Primitive, RawValue, Task,
        envelope::code,
        extension,
        meta::{self, Stamp},
        method, raw, result, task,
    },
};

mod listen;

pub use listen::Filter;

/// Notifications that are being sent at a time; a server that takes none of them loses the rest.
const NOTIFYING: usize = 16;
/// How long a notification may take to be sent.
const ASIDE: Duration = Duration::from_secs(5);
/// How often a server may ask for roots of the configuration during one request.
const ROUNDS: u32 = 10;

/// One request to a server.
#[derive(Debug)]
pub struct Request {
    /// The method, such as `tools/call`.
    pub method: Cow<'static, str>,
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
    /// Places for notifications that are being sent.
    notifying: Arc<Semaphore>,
}

impl Link {
    /// A link over a peer that the handshake agreed with.
    pub(super) fn new(channel: Channel, facts: ServerFacts, message_limit: usize) -> Self {
        let stamp = (facts.era == Era::Modern).then(|| era::stamp(facts.revision));
        Self {
            channel,
            facts,
            stamp,
            message_limit,
            level: Mutex::default(),
            notifying: Arc::new(Semaphore::new(NOTIFYING)),
        }
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
        self.sent(request, None, None).await
    }

    /// Sends a request; the acknowledgement of a subscription goes to `acknowledged`, and what it
    /// states itself takes the place of what is known of its caller.
    async fn sent(
        &self,
        request: Request,
        acknowledged: Option<Acknowledged>,
        stated: Option<Stamp>,
    ) -> Result<Box<RawValue>, RequestError> {
        let Request { method, mut params, name, progress, deadline, trace, dialogue } = request;
        let stated = stated.or_else(|| self.stated(dialogue.as_deref()));
        if let Some(level) = dialogue.as_ref().and_then(|dialogue| dialogue.level) {
            Box::pin(self.want_messages(level, &deadline)).await;
        }
        for round in 0.. {
            let call = Call {
                method: &method,
                params: params.as_deref(),
                name: name.as_deref(),
                stamp: stated.as_ref().or(self.stamp.as_ref()),
                progress: progress.clone(),
                deadline: deadline.clone(),
                trace: trace.as_ref(),
                dialogue: dialogue.clone(),
                acknowledged: acknowledged.clone(),
                cancellable: true,
            };
            let result = self.exchange(&call).await?;
            let roots = self.channel.inquiries().roots().filter(|_| round < ROUNDS);
            match roots.and_then(|roots| roots.continued(call.params, &result)) {
                Some(again) => params = Some(again.into()),
                None => return Ok(result),
            }
        }
        Err(RequestError::Malformed("the server asks without end".to_owned()))
    }

    /// Sends a request once; one that misses headers of its tool is not executed and sent again.
    async fn exchange(&self, call: &Call<'_>) -> Result<Box<RawValue>, RequestError> {
        let result = match self.channel.request(call).await {
            // Not executed: the tool's schema says which headers the server misses.
            Err(RequestError::Server(error))
                if error.code() == code::HEADER_MISMATCH && call.method == method::TOOLS_CALL =>
            {
                Box::pin(self.list(Primitive::Tool, call.deadline.clone())).await?;
                self.channel.request(call).await?
            }
            outcome => outcome?,
        };
        match self.facts.era {
            // What other types of results an extension has is its own affair.
            Era::Modern if extension::may_own(call.method) => object(&result)?,
            Era::Modern => complete(&result, call.dialogue.is_some().then_some(call.method))?,
            Era::Legacy => object(&result)?,
        }
        Ok(result)
    }

    /// Sends a notification, for which there is neither an answer nor an error: a server that is
    /// gone gets none.
    pub async fn notify(&self, method: &str, params: Option<&RawValue>) {
        let Ok(_place) = self.notifying.try_acquire() else { return };
        let params = meta::for_next_leg(params, None, None, None, []);
        let revision = self.stamp.as_ref().map(|stamp| stamp.revision);
        let sent = self.channel.notify(method, params.as_deref(), revision);
        tokio::time::timeout(ASIDE, sent).await.ok();
    }

    /// Tells the server that the roots are others now. Modern ones ask when they need them.
    pub async fn roots_changed(&self) {
        if self.facts.era == Era::Legacy {
            self.notify(method::ROOTS_CHANGED, None).await;
        }
    }

    /// Questions of the server that wait for an answer, and how long the first of them has.
    pub fn asking(&self) -> (usize, Option<Duration>) {
        self.channel.inquiries().waiting()
    }

    /// What a modern server is told of the caller, where that can do more than nothing.
    fn stated(&self, dialogue: Option<&Dialogue>) -> Option<Stamp> {
        let (stamp, dialogue) = (self.stamp.as_ref()?, dialogue?);
        let (mut abilities, level) = (dialogue.offered(), dialogue.level);
        if self.channel.inquiries().roots().is_some() {
            abilities = abilities.and(Ability::Roots);
        }
        let extensions = dialogue.extensions.as_deref();
        if abilities.is_empty() && level.is_none() && extensions.is_none() {
            return None;
        }
        let mut capabilities = abilities.to_raw();
        if let Some(extensions) = extensions {
            capabilities = extension::added(&capabilities, extensions);
        }
        Some(Stamp { capabilities, level, ..stamp.clone() })
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
                method: method.into(),
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

    /// What changed by the server's own word since this was asked last; `None` once the link is
    /// over.
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

    /// How it ended, once it has.
    pub fn end(&self) -> Option<LinkEnd> {
        self.channel.end()
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

/// Only a complete result is a result; in the answer to a caller's request also one that wants
/// input, and to its call of a tool a task.
fn complete(result: &RawValue, asked: Option<&str>) -> Result<(), RequestError> {
    object(result)?;
    let object = Object::read(result).unwrap_or_default();
    if object.json(result::RESULT_TYPE).is_none() {
        return Ok(());
    }
    match object.text(result::RESULT_TYPE).as_deref() {
        Some("complete") => Ok(()),
        Some(result::INPUT_REQUIRED) if asked.is_some() => Ok(()),
        Some(task::TASK)
            if asked.is_some_and(|method| Task::told(Era::Modern, method, result).is_some()) =>
        {
            Ok(())
        }
        Some(other) => Err(RequestError::Malformed(format!(
            "the server gave a result of the type {other:?}, which was not offered to it"
        ))),
        None => {
            let why = "the `resultType` of the result is no string";
            Err(RequestError::Malformed(why.to_owned()))
        }
    }
}

fn object(result: &RawValue) -> Result<(), RequestError> {
    if Object::is(result) {
        return Ok(());
    }
    Err(RequestError::Malformed("the server's result is no JSON object".to_owned()))
}

mod pages;

#[cfg(test)]
mod tests;
