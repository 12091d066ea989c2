//! What a link asks its server to tell of: changed lists, and changes of single resources.
//!
//! A legacy server is asked for each resource; a modern one for everything at once, in a stream
//! whose filter never changes. Who wants to know stands elsewhere.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Link, Request};
use crate::{
    upstream::{Deadline, RequestError},
    wire::{Abilities, Ability, Era, Object, Primitive, RawValue, meta::Stamp, method, raw},
};

/// The lists whose changes a modern server announces, by the member of a listen filter that asks
/// for it. Templates have none of their own.
const ANNOUNCED: [(Primitive, &str); 3] = [
    (Primitive::Tool, "toolsListChanged"),
    (Primitive::Prompt, "promptsListChanged"),
    (Primitive::Resource, "resourcesListChanged"),
];
/// The member of a listen filter that names resources.
const RESOURCES: &str = "resourceSubscriptions";

/// The member of a listen filter that names tasks (MCP, extension for tasks).
const TASKS: &str = "taskIds";

/// What a modern server is asked to tell of, or agrees to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Its lists.
    pub lists: bool,
    /// These resources.
    pub resources: Vec<Arc<str>>,
    /// These tasks.
    pub tasks: Vec<Arc<str>>,
}

/// What a capability says about changes.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Capability {
    list_changed: bool,
    subscribe: bool,
}

impl Link {
    /// Whether the server tells of changed lists only to who listens: a modern one that declares
    /// it. A legacy server tells by itself.
    pub fn announces_lists(&self) -> bool {
        self.facts.era == Era::Modern
            && ANNOUNCED.into_iter().any(|(it, _)| self.capability(it).list_changed)
    }

    /// Whether the server can tell of changes of single resources.
    pub fn can_watch(&self) -> bool {
        self.capability(Primitive::Resource).subscribe
    }

    /// Whether everything that a stream had to tell has come once another one is acknowledged.
    pub const fn is_ordered(&self) -> bool {
        self.channel.is_ordered()
    }

    /// Asks a legacy server to tell of changes of one resource.
    ///
    /// # Errors
    /// The server refused, or gave no answer.
    pub async fn subscribe(&self, uri: &str, deadline: Deadline) -> Result<(), RequestError> {
        self.ask(method::SUBSCRIBE, uri, deadline).await
    }

    /// Asks a legacy server to tell of them no longer.
    ///
    /// # Errors
    /// The server refused, or gave no answer.
    pub async fn unsubscribe(&self, uri: &str, deadline: Deadline) -> Result<(), RequestError> {
        self.ask(method::UNSUBSCRIBE, uri, deadline).await
    }

    async fn ask(
        &self,
        method: &'static str,
        uri: &str,
        deadline: Deadline,
    ) -> Result<(), RequestError> {
        let params = raw(&serde_json::json!({ "uri": uri })).into();
        self.request(unasked(method, params, deadline)).await.map(drop)
    }

    /// Asks a modern server to tell of changes and waits until it stops doing so. The resources and
    /// tasks that it agreed to are told as soon as it acknowledges. Dropping the future ends the
    /// subscription.
    ///
    /// # Errors
    /// The server refused, or the link is over.
    pub async fn listen(
        &self,
        wanted: &Filter,
        agreed: mpsc::Sender<Filter>,
    ) -> Result<(), RequestError> {
        let mut filter = Object::default();
        let told = |it: &Primitive| wanted.lists && self.capability(*it).list_changed;
        for (_, member) in ANNOUNCED.into_iter().filter(|(it, _)| told(it)) {
            filter.put(member, &true);
        }
        for (member, names) in [(RESOURCES, &wanted.resources), (TASKS, &wanted.tasks)] {
            if !names.is_empty() {
                filter.put(member, names);
            }
        }
        let mut params = Object::default();
        params.put("notifications", &filter);
        let deadline = Deadline::new(Duration::MAX, Duration::MAX);
        let (acknowledged, mut acknowledgement) = mpsc::channel(1);
        let request = unasked(method::LISTEN, params.to_raw().into(), deadline);
        // Tasks are for those alone who declare them.
        let stamp = self.stamp.clone().filter(|_| !wanted.tasks.is_empty());
        let capabilities = Abilities::NONE.and(Ability::Tasks).to_raw();
        let stated = stamp.map(|stamp| Stamp { capabilities, ..stamp });
        let ended = self.sent(request, Some(acknowledged), stated);
        tokio::pin!(ended);
        tokio::select! {
            biased;
            Some(params) = acknowledgement.recv() => {
                // Whoever asked may have left.
                agreed.try_send(agreed_to(&params)).ok();
            }
            ended = &mut ended => return ended.map(drop),
        }
        ended.await.map(drop)
    }

    fn capability(&self, primitive: Primitive) -> Capability {
        Object::read(&self.facts.capabilities)
            .and_then(|capabilities| capabilities.typed(primitive.capability()))
            .unwrap_or_default()
    }
}

/// A request of our own.
fn unasked(method: &'static str, params: Arc<RawValue>, deadline: Deadline) -> Request {
    Request {
        method: method.into(),
        params: Some(params),
        name: None,
        progress: None,
        deadline,
        trace: None,
        dialogue: None,
    }
}

/// The resources and tasks that an acknowledgement names.
fn agreed_to(params: &RawValue) -> Filter {
    let params = Object::read(params).unwrap_or_default();
    let filter = params.get("notifications").and_then(Object::read).unwrap_or_default();
    let names = |member| filter.typed(member).unwrap_or_default();
    Filter { lists: false, resources: names(RESOURCES), tasks: names(TASKS) }
}
