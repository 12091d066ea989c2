//! The gate: the only way from a face into the kernel.
//!
//! Authenticates, authorises, limits, calls, audits. A face has nothing else, so none can forget
//! a check. Until access control exists there is one local principal, who may do everything that
//! the owner in question can see.

use std::sync::Arc;

pub use caller::{Principal, SessionLease};
use links::Links;
use once::Once;
use prepared::Prepared;
use rounds::Rounds;
pub use seal::{KeyError, StateKeys};
use tasks::Tasks;
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

pub use crate::runtime::{
    Answer, Asked, CallError, CallRequest, Delivery, Dialogue, DialogueSink, Event, Explanation,
    Failure, Health, Heard, Page, Phase, Progress, ProgressSink, Reply, Response, RuntimeStatus,
    ServerStatus, Story, Subject, Told, Versions, View, ViewItem,
};
use crate::{
    id::{Incarnation, Owner, ServerName, SessionKey},
    runtime::{RuntimeHandle, Scope},
    trace::Telemetry,
    wire::{Pieces, RawValue},
};

mod attended;
mod caller;
mod calls;
mod converse;
mod links;
mod live;
mod once;
mod polled;
mod prepared;
mod rounds;
mod run;
mod seal;
mod talk;
mod tasks;
mod wanted;
mod watching;

pub use prepared::Part;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub use seal::bench as seal_bench;
pub use watching::{News, Watching};

fn unknown_server(scope: &Scope, server: &ServerName) -> CallError {
    if scope.is_disabled(server) {
        let enable = "remove `disabled = true`, or set `enabled = true`, in its definition";
        return CallError::Invalid(format!("{server} is disabled; to enable it, {enable}"));
    }
    CallError::Unknown {
        what: "server",
        name: server.as_str().to_owned(),
        near: scope.near(server).map(|near| near.as_str().to_owned()),
    }
}

/// What a principal may use of an owner's.
fn scope(
    runtime: &RuntimeHandle,
    principal: &Principal,
    owner: &Owner,
) -> Result<Scope, CallError> {
    tracing::trace!(principal = principal.as_str(), %owner, "access");
    runtime.scope(owner).ok_or_else(|| CallError::Unknown {
        what: "agent",
        name: owner.as_str().to_owned(),
        near: None,
    })
}

/// The gate in front of one runtime.
#[derive(Debug)]
pub struct Gate {
    runtime: RuntimeHandle,
    once: Arc<Once>,
    links: Arc<Links>,
    rounds: Arc<Rounds>,
    tasks: Arc<Tasks>,
    prepared: Prepared,
}

impl Gate {
    /// A gate in front of a runtime, with a key of its own for what clients carry.
    pub fn new(runtime: RuntimeHandle) -> Arc<Self> {
        Self::with_keys(runtime, &StateKeys::random())
    }

    /// A gate with keys that outlive it, so that what clients carry opens after a restart.
    pub fn with_keys(runtime: RuntimeHandle, keys: &StateKeys) -> Arc<Self> {
        let once = Arc::<Once>::default();
        let swept = Arc::downgrade(&once);
        runtime.on_cleanup("idempotency keys", move || {
            if let Some(once) = swept.upgrade() {
                once.expire();
            }
        });
        let (rounds, tasks) = (Rounds::new(keys), Arc::new(Tasks::new(keys)));
        let (links, prepared) = (Arc::default(), Prepared::default());
        Arc::new(Self { runtime, once, links, rounds, tasks, prepared })
    }

    /// What this principal may use of an owner's.
    fn scope(&self, principal: &Principal, owner: &Owner) -> Result<Scope, CallError> {
        scope(&self.runtime, principal, owner)
    }

    /// Passes a notification of a client on to the servers that it concerns: that of an extension,
    /// or that the roots of its session changed. What nobody can take at present is dropped.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner that the principal does not see.
    pub fn notify(
        &self,
        principal: &Principal,
        owner: &Owner,
        session: Option<&SessionKey>,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<(), CallError> {
        self.scope(principal, owner)?;
        let session = session.cloned().unwrap_or_else(|| principal.session.clone());
        self.runtime.notify(owner, &session, method, params);
        Ok(())
    }

    /// What the owner sees now, from memory.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner that the principal does not see.
    pub fn view(&self, principal: &Principal, owner: &Owner) -> Result<Arc<View>, CallError> {
        self.scope(principal, owner)?.tools()
    }

    /// Versions that grow whenever a list of the owner's really differs; what `list_changed` is
    /// sent for. Marked as seen when it is taken.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner that the principal does not see.
    pub fn changes(
        &self,
        principal: &Principal,
        owner: &Owner,
    ) -> Result<watch::Receiver<Versions>, CallError> {
        self.scope(principal, owner)?.changes()
    }

    /// The instructions of the owner's servers, each under its server's name.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner that the principal does not see.
    pub fn instructions(
        &self,
        principal: &Principal,
        owner: &Owner,
    ) -> Result<Option<Arc<str>>, CallError> {
        self.scope(principal, owner)?.instructions()
    }

    /// What the owner's servers declare beyond the protocol, as far as clients are told: an object
    /// with `extensions` and `experimental`.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner that the principal does not see.
    pub fn extensions(
        &self,
        principal: &Principal,
        owner: &Owner,
    ) -> Result<Option<Box<RawValue>>, CallError> {
        self.scope(principal, owner)?.extensions()
    }

    /// Cancelled when new calls are refused, because the runtime is being stopped.
    pub(crate) fn draining(&self) -> CancellationToken {
        self.runtime.draining()
    }

    /// Whoever traces and measures what passes here.
    pub fn telemetry(&self) -> &Arc<dyn Telemetry> {
        self.runtime.telemetry()
    }

    /// A text that is made from a part of a view, or was for somebody else.
    pub fn prepared(&self, part: Part, make: impl FnOnce() -> String) -> Pieces {
        self.prepared.text(part, make)
    }

    /// Entries of one page of a list.
    pub fn page_size(&self) -> usize {
        self.runtime.page_size()
    }

    /// Everything that runs, for an operator.
    pub fn status(&self, principal: &Principal) -> RuntimeStatus {
        tracing::trace!(principal = principal.as_str(), "status");
        self.runtime.status()
    }

    /// Restarts a server's connection now, whatever state it is in.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner or a server that the principal does not see.
    pub async fn restart(
        &self,
        principal: &Principal,
        owner: &Owner,
        server: &ServerName,
        session: Option<&SessionKey>,
    ) -> Result<(), CallError> {
        let scope = self.scope(principal, owner)?;
        if scope.server(server).is_none() {
            return Err(unknown_server(&scope, server));
        }
        let restarted = match session {
            None => scope.restart(server).await,
            Some(session) => scope.restart_of(server, session).await,
        };
        restarted.map_err(|_| match session {
            None => unknown_server(&scope, server),
            Some(session) => {
                CallError::Unknown { what: "session", name: session.to_string(), near: None }
            }
        })
    }

    /// Replaces a server's connection without an interruption; gives the life that serves, `None`
    /// where none served and it is restarted.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner or a server that the principal does not see, and
    /// [`CallError::Invalid`] in words where the present life serves on.
    pub async fn hand_over(
        &self,
        principal: &Principal,
        owner: &Owner,
        server: &ServerName,
    ) -> Result<Option<Incarnation>, CallError> {
        let scope = self.scope(principal, owner)?;
        if scope.server(server).is_none() {
            return Err(unknown_server(&scope, server));
        }
        scope.hand_over(server).await.map_err(CallError::Invalid)
    }

    /// Why a server is as it is, for an operator: its error output may stand in it.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner or a server that the principal does not see.
    pub fn why(
        &self,
        principal: &Principal,
        owner: &Owner,
        server: &ServerName,
        session: Option<&SessionKey>,
    ) -> Result<Story, CallError> {
        let scope = self.scope(principal, owner)?;
        let story = scope.story(server, session).ok_or_else(|| unknown_server(&scope, server))?;
        match session {
            Some(session) if story.status.session.as_ref() != Some(session) => {
                let name = session.as_str().to_owned();
                Err(CallError::Unknown { what: "session", name, near: None })
            }
            _ => Ok(story),
        }
    }

    /// The kept events of all connections and everything from then on, for an operator.
    pub fn follow(
        &self,
        principal: &Principal,
    ) -> (Vec<Arc<Event>>, impl Stream<Item = Heard> + Send + use<>) {
        tracing::trace!(principal = principal.as_str(), "events");
        self.runtime.follow()
    }

    /// Has something done at each clean-up interval, such as dropping idle sessions.
    pub fn on_cleanup(&self, name: &'static str, sweep: impl Fn() + Send + Sync + 'static) {
        self.runtime.on_cleanup(name, sweep);
    }
}
