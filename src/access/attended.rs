//! The tasks that one client is told of: those that it names in a `subscriptions/listen`, and those
//! that were handed out to its session.
//!
//! A part of what the client watches. It is told under its own names, and of nobody else's tasks.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use super::{Answer, CallError, Watching, tasks};
use crate::{
    id::ServerName,
    runtime::Watch,
    wire::{Era, Object, RawValue, Task, meta, task},
};

/// Tasks that one client is told of at most.
const MOST: usize = 256;

/// By the client's names, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Attended(VecDeque<(Arc<str>, Watch)>);

impl Watching {
    /// Tells of these tasks of the client's from now on, as far as they are its own; gives those,
    /// each once.
    ///
    /// # Errors
    /// [`CallError`]: the owner is gone, or these are too many.
    pub fn attend(&self, names: Vec<String>) -> Result<Vec<Arc<str>>, CallError> {
        if names.len() > MOST {
            return Err(CallError::TooMany { what: "tasks listened to", limit: MOST });
        }
        let scope = self.scope()?;
        let mut agreed: Vec<Arc<str>> = Vec::new();
        for name in names {
            let ticket = self.tasks.named(&self.principal, &scope, self.era, &name);
            let Some(ticket) = ticket.filter(|_| !agreed.iter().any(|it| **it == *name)) else {
                continue;
            };
            let name = Arc::from(name);
            let watch = scope.attend(&ticket.server, &ticket.id, &self.session, &self.inbox, &name);
            if let Some(watch) = watch {
                self.attended.lock().0.push_back((Arc::clone(&name), watch));
                agreed.push(name);
            }
        }
        Ok(agreed)
    }

    /// Takes note of what an answer to the session says of a task: it is told of it until that has
    /// ended. Beyond 256 the oldest are told of no longer.
    pub fn note(&self, answer: &Answer) {
        let Some(Task { id, status, .. }) = &answer.task else { return };
        let Ok(scope) = self.scope() else { return };
        let ticket = tasks::ticket(&scope, &answer.server, id);
        let name = self.tasks.name(&self.principal, &self.owner, self.era, &ticket);
        let Some(name) = name.map(Arc::<str>::from) else { return };
        if status.is_final() {
            return self.dismiss(&name);
        }
        if self.attended.lock().0.iter().any(|(known, _)| *known == name) {
            return;
        }
        let watch = scope.attend(&ticket.server, id, &self.session, &self.inbox, &name);
        let Some(watch) = watch else { return };
        let mut attended = self.attended.lock();
        attended.0.push_back((name, watch));
        let oldest = if attended.0.len() > MOST { attended.0.pop_front() } else { None };
        // A watch that ends does so without this lock.
        drop(attended);
        drop(oldest);
    }

    /// What a server says of a task, as the client is told; of one that has ended for the last time.
    pub(super) fn told(&self, server: &ServerName, name: &str, params: &RawValue) -> Box<RawValue> {
        if Task::changed(self.era, params).is_some_and(|task| task.status.is_final()) {
            self.dismiss(name);
        }
        let readdressed = self.scope().ok().and_then(|scope| scope.readdressed(server, params));
        let params = readdressed.as_deref().unwrap_or(params);
        let introduced = tasks::introduced(server, params);
        let params = introduced.as_deref().unwrap_or(params);
        task::renamed(&of_its_own(params), name)
    }

    fn dismiss(&self, name: &str) {
        let mut attended = self.attended.lock();
        let at = attended.0.iter().position(|(known, _)| **known == *name);
        let ended = at.and_then(|at| attended.0.remove(at));
        drop(attended);
        drop(ended);
    }
}

/// A notification without what its leg says of itself.
fn of_its_own(params: &RawValue) -> Box<RawValue> {
    let Some(mut object) = Object::read(params) else { return params.to_owned() };
    let had = object.get(meta::META).map(ToOwned::to_owned);
    let Some(mut meta) = had.as_deref().and_then(Object::read) else { return params.to_owned() };
    meta.retain(|key| ![meta::SUBSCRIPTION_ID, task::RELATED].contains(&key));
    if meta.is_empty() {
        object.remove(meta::META);
    } else {
        object.set(meta::META, Cow::Owned(meta.to_raw()));
    }
    object.to_raw()
}

/// The rules of the tasks that a client has.
pub(super) const fn rules(is_session: bool) -> Era {
    if is_session { Era::Legacy } else { Era::Modern }
}
