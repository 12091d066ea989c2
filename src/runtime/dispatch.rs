//! The way of a call through the kernel: snapshot, deadline, connection handle.
//!
//! No mailbox is on it, except for a name that the snapshot cannot place.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ractor::concurrency;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{Answer, CallError, CallRequest, RuntimeHandle, Scope, Whose, introspect};
use crate::{
    actor::{
        agent::NotOpened,
        agents::AgentsMsg,
        call::{Delivery, Failure},
        handle::{ConnectionHandle, Errand, Notices},
        root::RootMsg,
        router::{Route, RouterMsg, RoutingTable, Target},
        subject::Subject,
    },
    catalog::{OwnTool, View},
    error::{Classify as _, Kind},
    id::{Incarnation, Owner, Seat, ServerName, SessionKey},
    upstream::{Deadline, Dialogue},
    wire::{Object, Primitive, RawValue, depth::is_deeper_than, method},
};

/// How deep parameters may be nested. Many servers drop a message that is deeper than their parser
/// goes, 128 levels for `serde_json`, without an answer: the caller would wait in vain.
const DEEPEST: usize = 100;

/// How long a URI that nobody is known to have waits for servers that are started for the first
/// time: unlike a name it does not say whose it is, and one of them may never come.
const URI_WAIT: Duration = Duration::from_secs(5);

/// How long the router is waited for to publish, which takes it no time unless it hangs.
const PUBLISHED: Duration = Duration::from_secs(5);

/// When a session may find a place for a connection of its own, where all are in use.
const SESSION_RETRY: Duration = Duration::from_secs(5);

/// What a request is to its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It begins it, which is refused while the runtime drains.
    First,
    /// It belongs to one that is under way.
    Further,
}

impl RuntimeHandle {
    /// Carries out one request for an owner.
    pub(super) async fn carry_out(
        &self,
        owner: &Owner,
        request: &CallRequest,
        turn: Turn,
    ) -> Result<Answer, CallError> {
        let _under_way = match turn {
            Turn::First => Some(self.begin(owner, request)?),
            Turn::Further => None,
        };
        let started = Instant::now();
        let outcome = self.dispatch(owner, request, started).await;
        tracing::debug!(
            owner = %owner,
            method = request.subject.method(),
            name = request.subject.name(),
            server = outcome.as_ref().ok().map(|answer| answer.server.as_str()),
            duration_ms = started.elapsed().as_secs_f64() * 1000.0,
            failure = outcome.as_ref().err().map(|error| error.kind().as_str()),
            "call",
        );
        outcome
    }

    /// A call begins; it is under way as long as what this gives lives.
    fn begin(&self, owner: &Owner, request: &CallRequest) -> Result<TaskTrackerToken, CallError> {
        let exchange = &self.tree.exchange;
        if exchange.sealed.load(Ordering::Acquire) {
            return Err(CallError::Draining);
        }
        self.is_known(owner, &request.subject)?;
        exchange.calls.fetch_add(1, Ordering::Relaxed);
        Ok(exchange.tracker.token())
    }

    async fn dispatch(
        &self,
        owner: &Owner,
        request: &CallRequest,
        started: Instant,
    ) -> Result<Answer, CallError> {
        if !Object::is(&request.params) {
            return Err(CallError::Invalid("the parameters of a call are an object".to_owned()));
        }
        if is_deeper_than(DEEPEST, &request.params) {
            let why = format!("the parameters of a call are nested at most {DEEPEST} levels deep");
            return Err(CallError::Invalid(why));
        }
        if let Some(tool) = self.own_tool(owner, &request.subject) {
            let scope = Scope::new(self.clone(), owner.clone());
            return introspect::answer(&scope, tool, request);
        }
        let target = match self.placed(owner, &request.subject, request.origin.as_ref())? {
            Some(target) => target,
            None if matches!(request.subject, Subject::Task { .. }) => {
                let why = "unknown task; its server is no longer here";
                return Err(CallError::Invalid(why.to_owned()));
            }
            None => Box::pin(self.resolve(owner, request)).await?,
        };
        let deadline = self.deadline(&target, request.timeout, started);
        tokio::select! {
            biased;
            outcome = self.deliver(owner, request, &target, &deadline) => outcome,
            // The last guard: everything on the way keeps the deadline itself.
            () = deadline.outlived() => Err(target.route.handle.outlived()),
        }
    }

    async fn deliver(
        &self,
        owner: &Owner,
        request: &CallRequest,
        target: &Target,
        deadline: &Deadline,
    ) -> Result<Answer, CallError> {
        let params = for_server(&request.params, &request.subject, target);
        let session = request.session.as_ref();
        let mut dialogue = with_server(request.dialogue.clone(), owner, session, &target.route);
        dialogue.hears = self.notified(owner, &dialogue);
        let handle = match session {
            Some(session) if target.route.by_session => {
                let server = &target.route.handle.seat.server;
                &Box::pin(self.session_handle(owner, server, session.clone())).await?
            }
            _ => &target.route.handle,
        };
        let limit = self.tree.exchange.settings().limits.queue_bytes.as_u64();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let _held = handle.hold(params.get().len(), limit)?;
        let telemetry = &*self.tree.exchange.telemetry;
        let (progress, dialogue) = (request.progress.clone(), Arc::new(dialogue));
        let errand =
            Errand { telemetry, caller: owner, target, params, progress, dialogue, deadline };
        let mut answer = handle.call(errand).await?;
        if let Some(view) = &target.route.readdressed
            && let Some(result) = readdressed(view, &target.method, &answer.server, &answer.result)
        {
            answer.result = result;
        }
        Ok(answer)
    }

    /// The extensions whose notifications a caller hears: those that it declares, and of this
    /// owner's servers only the one that it calls. Few callers declare any.
    fn notified(&self, owner: &Owner, dialogue: &Dialogue) -> Option<Arc<[String]>> {
        let (declared, server) = (dialogue.extensions.as_ref()?, dialogue.server.as_ref()?);
        let table = self.tree.exchange.table.load();
        let names = table.owner(owner)?.extensions.shared_with(server, declared);
        (!names.is_empty()).then(|| names.into())
    }

    /// Our own tool of a name, if the owner sees it. Nobody else's tool has such a name.
    fn own_tool(&self, owner: &Owner, subject: &Subject) -> Option<OwnTool> {
        let Subject::Tool(name) = subject else { return None };
        let tool = OwnTool::of(name)?;
        let table = self.tree.exchange.table.load();
        table.owner(owner)?.view.resolve(name).map(|_| tool)
    }

    /// Whether somebody knows the method. Nobody waits for one that a server may come to know, because
    /// clients are told of it first.
    fn is_known(&self, owner: &Owner, subject: &Subject) -> Result<(), CallError> {
        let Subject::Extension { method, uri } = subject else { return Ok(()) };
        let table = self.tree.exchange.table.load();
        let view = table.owner(owner).ok_or_else(|| unknown_owner(owner))?;
        view.extended(method, uri.as_deref()).map(drop).map_err(CallError::UnknownMethod)
    }

    /// Places a name by the snapshot.
    pub(super) fn placed(
        &self,
        owner: &Owner,
        subject: &Subject,
        origin: Option<&ServerName>,
    ) -> Result<Option<Target>, CallError> {
        let table = self.tree.exchange.table.load();
        let view = table.owner(owner).ok_or_else(|| unknown_owner(owner))?;
        Ok(view.target(subject, origin))
    }

    /// Asks the router for a name that the snapshot does not have: a server that is being
    /// connected for the first time may bring it.
    async fn resolve(&self, owner: &Owner, request: &CallRequest) -> Result<Target, CallError> {
        let unlisted = |table: &RoutingTable| {
            let view = table.owner(owner)?;
            view.unlisted(&request.subject).filter(|handle| !handle.is_ready()).cloned()
        };
        // One that is removed meanwhile stands in no later table.
        let awaited = unlisted(&self.tree.exchange.table.load());
        let unknown = || {
            let table = self.tree.exchange.table.load();
            let view = table.owner(owner);
            if let Some(handle) = unlisted(&table).or(awaited.filter(|it| it.is_removed())) {
                return handle.unlisted();
            }
            let (primitive, name) = (request.subject.primitive(), request.subject.name());
            let near = view.and_then(|view| view.view.near(primitive?, name));
            let (name, near) = (name.to_owned(), near.map(ToOwned::to_owned));
            match primitive {
                Some(Primitive::Tool) => CallError::UnknownTool { name, near },
                Some(other) => CallError::Unknown { what: other.noun(), name, near },
                None => CallError::Unknown { what: "method", name, near },
            }
        };
        let (reply, placed) = concurrency::oneshot();
        let message = RouterMsg::Resolve {
            owner: owner.clone(),
            subject: request.subject.clone(),
            reply: reply.into(),
        };
        self.tree.root.cast(RootMsg::Router(message)).map_err(|_| CallError::Draining)?;
        let limit = request.timeout.unwrap_or(Duration::MAX);
        let mut limit = limit.min(self.tree.exchange.settings().timeouts.call);
        if matches!(request.subject, Subject::Resource(_)) {
            limit = limit.min(URI_WAIT);
        }
        let unlisted = || {
            let name = request.subject.name();
            format!(
                "{name} is not known yet, a server that may have it is starting; the call waits"
            )
        };
        let placed = tokio::time::timeout(limit, placed);
        match Notices::new(request.progress.as_ref()).during(placed, unlisted).await {
            Ok(Ok(Some(target))) => Ok(target),
            _ => Err(unknown()),
        }
    }

    /// The session's own connection to a server; only its first call asks the supervisor.
    pub(super) async fn session_handle(
        &self,
        owner: &Owner,
        server: &ServerName,
        session: SessionKey,
    ) -> Result<Arc<ConnectionHandle>, CallError> {
        let seat = Seat::of_session(server.clone(), session.clone());
        if let Some(handle) = self.tree.exchange.handle(owner, &seat) {
            return Ok(handle);
        }
        let (reply, opened) = concurrency::oneshot();
        let (owner, server, reply) = (owner.clone(), seat.server.clone(), reply.into());
        let message = RootMsg::Agents(AgentsMsg::Open { owner, server, session, reply });
        self.tree.root.cast(message).map_err(|_| CallError::Draining)?;
        match opened.await {
            Ok(Ok(handle)) => Ok(handle),
            Ok(Err(NotOpened::Full(limit))) => Err(sessions_full(&seat.server, limit)),
            Ok(Err(NotOpened::Unknown)) | Err(_) => {
                let name = seat.server.as_str().to_owned();
                Err(CallError::Unknown { what: "server", name, near: None })
            }
        }
    }

    /// Waits until the router has published what it was told so far.
    pub(super) async fn flush(&self) {
        let (reply, flushed) = concurrency::oneshot();
        let message = RootMsg::Router(RouterMsg::Flush(reply.into()));
        // A router that dies or hangs meanwhile publishes in its next life.
        if self.tree.root.cast(message).is_ok() {
            tokio::time::timeout(PUBLISHED, flushed).await.ok();
        }
    }

    /// The tool's deadline, or the caller's own if that is shorter. The wait for a name counts.
    fn deadline(&self, target: &Target, of_caller: Option<Duration>, started: Instant) -> Deadline {
        let settings = self.tree.exchange.settings();
        let timeouts = &settings.timeouts;
        let own = of_caller.unwrap_or(Duration::MAX);
        // What a task comes to is answered once it has, however silent its server is until then.
        let longest = (target.method == method::TASKS_RESULT).then_some(timeouts.call_max);
        let idle = longest.or(target.timeout()).unwrap_or(timeouts.call).min(own);
        Deadline::since(started, idle, timeouts.call_max.max(idle).min(own))
    }
}

/// A caller's dialogue with the server of a route.
pub(super) fn with_server(
    mut dialogue: Dialogue,
    owner: &Owner,
    session: Option<&SessionKey>,
    route: &Route,
) -> Dialogue {
    dialogue.party = Some(Whose { owner: owner.clone(), session: session.cloned() });
    if route.is_shared {
        dialogue.abilities = dialogue.abilities.unasked();
    }
    dialogue.server = Some(route.handle.seat.server.clone());
    dialogue
}

/// Parameters with the names that their server knows, where they stand deeper inside than the
/// link replaces them.
pub(super) fn for_server(
    params: &Arc<RawValue>,
    subject: &Subject,
    target: &Target,
) -> Arc<RawValue> {
    match subject {
        Subject::Completion(primitive, _) => referring(params, *primitive, &target.upstream),
        Subject::Extension { uri: Some(uri), .. } if **uri != *target.upstream => {
            with_uri(params, &target.upstream)
        }
        Subject::Tool(_)
        | Subject::Prompt(_)
        | Subject::Resource(_)
        | Subject::Extension { .. }
        | Subject::Task { .. } => Arc::clone(params),
    }
}

/// The parameters of a completion, about what its server calls by this name.
fn referring(params: &Arc<RawValue>, primitive: Primitive, upstream: &str) -> Arc<RawValue> {
    const REFERENCE: &str = "ref";
    // A reference to a template has the member of a resource.
    let key = match primitive {
        Primitive::Tool | Primitive::Prompt => "name",
        Primitive::Resource | Primitive::Template => "uri",
    };
    let Some(mut object) = Object::read(params) else { return Arc::clone(params) };
    let had = object.get(REFERENCE).map(ToOwned::to_owned);
    let mut reference = had.as_deref().and_then(Object::read).unwrap_or_default();
    reference.put(key, upstream);
    object.put(REFERENCE, &reference);
    object.to_raw().into()
}

/// Parameters that name a URI as its server does.
fn with_uri(params: &Arc<RawValue>, uri: &str) -> Arc<RawValue> {
    let Some(mut object) = Object::read(params) else { return Arc::clone(params) };
    object.put("uri", uri);
    object.to_raw().into()
}

/// A result whose links lead back to its server, where they would lead elsewhere. The result of a
/// task stands inside of what its server says of that.
pub(super) fn readdressed(
    view: &View,
    method: &str,
    server: &ServerName,
    result: &RawValue,
) -> Option<Box<RawValue>> {
    const RESULT: &str = "result";
    if method != method::TASKS_GET {
        return view.readdressed(server, result);
    }
    let mut task = Object::read(result)?;
    let result = view.readdressed(server, task.get(RESULT)?)?;
    task.set(RESULT, Cow::Owned(result));
    Some(task.to_raw())
}

fn sessions_full(server: &ServerName, limit: u32) -> CallError {
    CallError::Failed(Failure {
        kind: Kind::Overloaded,
        server: server.clone(),
        incarnation: Incarnation::default(),
        phase: Delivery::Queued,
        written: None,
        retry_after: Some(SESSION_RETRY),
        text: format!(
            "{server} serves as many sessions as it may ({limit}, limits.session_connections); \
             the call was not sent, try again later"
        ),
    })
}

pub(super) fn unknown_owner(owner: &Owner) -> CallError {
    CallError::Unknown { what: "agent", name: owner.as_str().to_owned(), near: None }
}
