//! The gate: the only way from a face into the kernel.
//!
//! Authenticates, authorises, limits, calls, audits. A face has nothing else, so none can forget
//! a check. Until access control exists there is one local principal, who may do everything that
//! the owner in question can see.

use std::sync::Arc;

use links::Links;
use once::Once;
use rounds::Rounds;
use seal::Bound;
pub use seal::{KeyError, StateKeys};
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;

pub use crate::runtime::{
    Answer, Asked, CallError, CallRequest, Delivery, Dialogue, DialogueSink, Event, Explanation,
    Failure, Health, Heard, Page, Phase, Progress, ProgressSink, Reply, Response, RuntimeStatus,
    ServerStatus, Story, Subject, Told, Versions, View, ViewItem,
};
use crate::{
    id::{Incarnation, Owner, ServerName, SessionKey},
    runtime::{RuntimeHandle, Scope},
    trace::Telemetry,
    wire::Abilities,
};

mod converse;
mod links;
mod live;
mod once;
mod rounds;
mod run;
mod seal;
mod talk;
mod wanted;

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// The one principal there is: whoever reaches us on this machine.
    pub fn local() -> Self {
        Self("local".into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands for its session where it opens none.
    fn session(&self) -> SessionKey {
        SessionKey::of(&self.0)
    }
}

/// A session that has connections of its own as long as this lives.
#[derive(Debug)]
pub struct SessionLease {
    runtime: RuntimeHandle,
    owner: Owner,
    key: SessionKey,
}

impl SessionLease {
    /// What its calls name.
    pub const fn key(&self) -> &SessionKey {
        &self.key
    }
}

impl Drop for SessionLease {
    fn drop(&mut self) {
        self.runtime.release(&self.owner, &self.key);
    }
}

fn unknown_server(scope: &Scope, server: &ServerName) -> CallError {
    CallError::Unknown {
        what: "server",
        name: server.as_str().to_owned(),
        near: scope.near(server).map(|near| near.as_str().to_owned()),
    }
}

/// The gate in front of one runtime.
#[derive(Debug)]
pub struct Gate {
    runtime: RuntimeHandle,
    once: Arc<Once>,
    links: Links,
    rounds: Arc<Rounds>,
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
        Arc::new(Self { runtime, once, links: Links::default(), rounds: Rounds::new(keys) })
    }

    /// What this principal may use of an owner's.
    fn scope(&self, principal: &Principal, owner: &Owner) -> Result<Scope, CallError> {
        tracing::trace!(principal = principal.as_str(), %owner, "access");
        self.runtime.scope(owner).ok_or_else(|| CallError::Unknown {
            what: "agent",
            name: owner.as_str().to_owned(),
            near: None,
        })
    }

    /// Registers a session of an owner's, so that servers with `isolation = "session"` serve it by
    /// connections of its own. They are closed when the lease is dropped.
    pub fn lease(&self, owner: &Owner) -> SessionLease {
        let key = SessionKey::of(&uuid::Uuid::new_v4().simple().to_string());
        SessionLease { runtime: self.runtime.clone(), owner: owner.clone(), key }
    }

    /// Carries out a request of the owner's view. Dropping the future cancels the call. A call without a
    /// session is the principal's: it stands for one where a server is isolated by session.
    ///
    /// A call whose `_meta` has an `io.switchboard/idempotencyKey` is carried out once for its
    /// principal, owner and tool: a repeat joins it, or gets its answer for ten minutes, an unknown
    /// outcome included. It goes on when its caller leaves.
    ///
    /// # Errors
    /// [`CallError`]; what was provably not sent says so.
    pub async fn call(
        &self,
        principal: &Principal,
        owner: &Owner,
        mut request: CallRequest,
    ) -> Result<Answer, CallError> {
        request.session.get_or_insert_with(|| principal.session());
        let scope = self.scope(principal, owner)?;
        self.trace_back(principal, owner, &mut request);
        let answer = match once::key(&request.params)? {
            Some(key) => self.once.call(principal, scope, request, key).await?,
            None => live::call(&scope, request).await?,
        };
        self.links.told(principal, owner, &answer.server, answer.links());
        Ok(answer)
    }

    /// The same for a program that answers by itself what the server wants to know: each question is
    /// given to `answer`, which answers it with its [`Reply`], or declines by dropping it. Several may
    /// be open at once. What may be asked stands in the request's `dialogue.abilities`; a server of
    /// either era asks in the same way.
    ///
    /// ```
    /// # use switchboard::{access::{Gate, Principal}, id::Owner, runtime::CallRequest, wire::{Abilities, Ability, raw}};
    /// # async fn example(gate: &Gate) {
    /// let mut request = CallRequest::new("travel_book", &serde_json::json!({ "to": "Oslo" }));
    /// request.dialogue.abilities = Abilities::NONE.and(Ability::Form);
    /// let answer = gate.converse(&Principal::local(), &Owner::Store, request, |asked| async move {
    ///     eprintln!("{} asks: {}", asked.server, asked.params);
    ///     let form = serde_json::json!({ "action": "accept", "content": { "seat": "window" } });
    ///     asked.reply.give(Ok(raw(&form)));
    /// }).await;
    /// # answer.ok();
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Gate::call`].
    pub async fn converse<A: Future<Output = ()>>(
        &self,
        principal: &Principal,
        owner: &Owner,
        mut request: CallRequest,
        answer: impl Fn(Asked) -> A,
    ) -> Result<Answer, CallError> {
        let (sink, told) = mpsc::channel(converse::WAITING);
        request.dialogue.sink = Some(sink);
        converse::call(self.call(principal, owner, request), told, answer).await
    }

    /// Finds out who told of a resource that is asked for.
    fn trace_back(&self, principal: &Principal, owner: &Owner, request: &mut CallRequest) {
        if let Subject::Resource(uri) = &request.subject {
            request.origin = self.links.server(principal, owner, uri);
        }
    }

    /// Carries out a request of a caller that is not asked while it runs: what the server wants to
    /// know is an answer of the type `input_required`, and the call goes on with the request that
    /// brings `inputResponses` and the same `requestState` within five minutes (MCP 2026-07-28).
    ///
    /// A call that waits for answers goes on when its caller leaves. One under an idempotency key
    /// asks nothing.
    ///
    /// # Errors
    /// [`CallError`]; a `requestState` that is not of this caller's same request is invalid, and so
    /// are `inputResponses` that have another shape than an object for each question.
    pub async fn round(
        &self,
        principal: &Principal,
        owner: &Owner,
        mut request: CallRequest,
    ) -> Result<Answer, CallError> {
        if !wanted::has_sound_answers(&request.params) {
            let text = "`inputResponses` must have an object for each question";
            return Err(CallError::Invalid(text.to_owned()));
        }
        let method = request.subject.method();
        request.session.get_or_insert_with(|| principal.session());
        let scope = self.scope(principal, owner)?;
        self.trace_back(principal, owner, &mut request);
        if !rounds::is_continued(&request.params)
            && let Some(key) = once::key(&request.params)?
        {
            request.dialogue.abilities = Abilities::NONE;
            let params = Arc::clone(&request.params);
            let outcome = self.once.call(principal, scope, request, key).await;
            let bound = || Bound::new(principal, owner, method, &params);
            return self.rounds.finished(outcome, Abilities::NONE, bound);
        }
        let answer = self.rounds.call(principal, method, scope, request).await?;
        self.links.told(principal, owner, &answer.server, answer.links());
        Ok(answer)
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

    /// Whoever traces and measures what passes here.
    pub fn telemetry(&self) -> &Arc<dyn Telemetry> {
        self.runtime.telemetry()
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
    ) -> Result<(), CallError> {
        let scope = self.scope(principal, owner)?;
        scope.restart(server).await.map_err(|_| unknown_server(&scope, server))
    }

    /// Replaces a server's connection without an interruption; gives the life that serves.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner or a server that the principal does not see, and
    /// [`CallError::Invalid`] in words where the present life serves on.
    pub async fn hand_over(
        &self,
        principal: &Principal,
        owner: &Owner,
        server: &ServerName,
    ) -> Result<Incarnation, CallError> {
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
