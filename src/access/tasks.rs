//! Tasks of callers that take them: the names that callers carry, which say nothing and open for
//! nobody else, and what is asked under them.
//!
//! A name holds all that is needed, so it outlives us; in memory, bounded, stands only what a
//! caller's list is made of. A task belongs to its server and not to a life of that: whichever
//! serves when somebody asks decides what became of it.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    fmt,
    time::Duration,
};

use futures::{StreamExt as _, pin_mut, stream};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::sleep;

use super::{
    Answer, CallError, CallRequest, Gate, Principal, Subject, Told,
    run::Outcome,
    seal::{Bound, Seal, StateKeys, TaskTicket},
    wanted,
};
use crate::{
    id::{Owner, ServerName, SessionKey},
    runtime::{DialogueSink, Scope, Turn},
    wire::{
        Ability, Era, ErrorObject, Object, RawValue, envelope::code, meta, method,
        result::REQUESTS, task,
    },
};

/// Tasks that are remembered of one principal in one view; the oldest give way.
const KNOWN: usize = 256;
/// Tasks of a list that are asked for at the same time.
const AT_ONCE: usize = 8;
/// How long a server may take to say how far a task of a list is.
const LOOK: Duration = Duration::from_secs(5);
/// The `_meta` entry of a list that was not finished: how many tasks were not asked for.
const LEFT_OUT: &str = "io.switchboard/leftOut";
/// What is told while the result of a task is waited for, before it is taken.
const WAITING: usize = 64;

/// Tasks, with the session that each was handed out in.
type Known = VecDeque<(SessionKey, TaskTicket)>;

/// The tasks of one gate's callers.
pub(super) struct Tasks {
    seal: Seal,
    /// By the rules of 2025-11-25, which alone have lists; the oldest first.
    known: Mutex<HashMap<(Principal, Owner), Known>>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

impl Gate {
    /// Asks about a task by the name that the caller got for it.
    pub(super) async fn task(
        &self,
        principal: &Principal,
        scope: &Scope,
        era: Era,
        request: CallRequest,
    ) -> Result<Answer, CallError> {
        let subject = request.subject.clone();
        let answer = self.tasks.ask(principal, scope, era, request).await?;
        self.links.heard(principal, scope.owner(), &subject, &answer);
        Ok(answer)
    }

    /// The caller's tasks that began or were asked for since we started, by the rules of
    /// 2025-11-25: raw `ListTasksResult`. Those of servers that do not answer are left out. Where
    /// the list takes as long as a call may, it says in its `_meta` how many were not asked for.
    ///
    /// # Errors
    /// [`CallError::Unknown`] for an owner that the principal does not see.
    pub async fn tasks(
        &self,
        principal: &Principal,
        owner: &Owner,
        session: Option<&SessionKey>,
    ) -> Result<Box<RawValue>, CallError> {
        let scope = self.scope(principal, owner)?;
        let session = session.cloned().unwrap_or_else(|| principal.session.clone());
        Ok(self.tasks.list(principal, &scope, &session).await)
    }
}

impl Tasks {
    pub(super) fn new(keys: &StateKeys) -> Self {
        Self { seal: Seal::new(keys), known: Mutex::default() }
    }

    /// An answer as its caller gets it: a task that it hands out has the caller's own name.
    pub(super) fn handed(
        &self,
        principal: &Principal,
        scope: &Scope,
        session: Option<&SessionKey>,
        mut answer: Answer,
    ) -> Outcome {
        let Some(task) = &answer.task else { return Ok(answer) };
        let owner = scope.owner();
        let ticket = ticket(scope, &answer.server, &task.id);
        let name = self.name(principal, owner, task.era, &ticket).ok_or_else(|| {
            let error = ErrorObject::new(code::INTERNAL, "the task cannot be named");
            CallError::Server { server: answer.server.clone(), error }
        })?;
        if let Some(session) = session.filter(|_| task.era == Era::Legacy) {
            self.know(principal, owner, session, ticket);
        }
        answer.result = task::renamed(&answer.result, &name);
        answer.maker = None;
        Ok(answer)
    }

    /// A caller's name for a task; `None` only if the cipher fails.
    pub(super) fn name(
        &self,
        principal: &Principal,
        owner: &Owner,
        era: Era,
        ticket: &TaskTicket,
    ) -> Option<String> {
        self.seal.name(&Bound::of_tasks(principal, owner, era), ticket)
    }

    /// The task of this caller that has a name, of a server whose definition is still the same.
    pub(super) fn named(
        &self,
        principal: &Principal,
        scope: &Scope,
        era: Era,
        name: &str,
    ) -> Option<TaskTicket> {
        let ticket = self.seal.named(&Bound::of_tasks(principal, scope.owner(), era), name)?;
        is_current(scope, &ticket).then_some(ticket)
    }

    fn know(&self, principal: &Principal, owner: &Owner, session: &SessionKey, ticket: TaskTicket) {
        let mut known = self.known.lock();
        let known = known.entry((principal.clone(), owner.clone())).or_default();
        let task = (session.clone(), ticket);
        if !known.contains(&task) {
            known.push_back(task);
        }
        if known.len() > KNOWN {
            known.pop_front();
        }
    }

    /// Asks about a task of the caller's.
    pub(super) async fn ask(
        &self,
        principal: &Principal,
        scope: &Scope,
        era: Era,
        mut request: CallRequest,
    ) -> Outcome {
        let Subject::Task { method, id: name, .. } = request.subject else {
            return scope.carry_out(&request, Turn::First).await;
        };
        let ticket = self.named(principal, scope, era, &name).ok_or_else(unknown)?;
        let TaskTicket { server, program, id } = ticket.clone();
        request.subject = Subject::Task { method, id, program: Some(program) };
        request.origin = Some(server);
        if let Some(session) = request.session.as_ref().filter(|_| era == Era::Legacy) {
            self.know(principal, scope.owner(), session, ticket);
        }
        if method == method::TASKS_RESULT {
            return result(scope, request, &name).await;
        }
        // A task asks by what is said of it; the channel says that its caller can answer.
        let (sink, _told) = DialogueSink::new(1);
        if era == Era::Modern {
            request.dialogue.abilities = request.dialogue.abilities.and(Ability::Tasks);
            request.dialogue.sink.get_or_insert(sink);
        }
        let mut answer = scope.carry_out(&request, Turn::First).await?;
        if method == method::TASKS_GET
            && let Some(introduced) = introduced(&answer.server, &answer.result)
        {
            answer.result = introduced;
        }
        answer.result = task::renamed(&answer.result, &name);
        Ok(answer)
    }

    /// The tasks of a caller's session that their servers still know, as they are now: raw `ListTasksResult`.
    pub(super) async fn list(
        &self,
        principal: &Principal,
        scope: &Scope,
        session: &SessionKey,
    ) -> Box<RawValue> {
        let key = (principal.clone(), scope.owner().clone());
        let known: Vec<TaskTicket> = {
            let known = self.known.lock();
            let all = known.get(&key).into_iter().flatten();
            all.filter(|(of, _)| of == session)
                .map(|(_, ticket)| ticket.clone())
                .filter(|ticket| is_current(scope, ticket))
                .collect()
        };
        let count = known.len();
        let looks = known.into_iter().map(|ticket| async move {
            let name = self.name(principal, scope.owner(), Era::Legacy, &ticket)?;
            let TaskTicket { server, program, id } = ticket;
            let subject = Subject::Task { method: method::TASKS_GET, id, program: Some(program) };
            let request = CallRequest {
                timeout: Some(LOOK),
                session: Some(session.clone()),
                origin: Some(server),
                ..CallRequest::about(subject, task::named(&name).into())
            };
            let answer = scope.carry_out(&request, Turn::First).await.ok()?;
            answer.task.as_ref()?;
            Some(task::renamed(&answer.result, &name))
        });
        let end = sleep(scope.longest());
        let looks = stream::iter(looks).buffered(AT_ONCE).take_until(end);
        let (mut asked, mut tasks) = (0, Vec::new());
        pin_mut!(looks);
        while let Some(task) = looks.next().await {
            asked += 1;
            tasks.extend(task);
        }
        let mut list = Object::default();
        list.put("tasks", &tasks);
        if asked < count {
            let left_out = json!({ LEFT_OUT: count - asked });
            list.put(meta::META, &left_out);
            tracing::warn!(left_out = count - asked, "a list of tasks took too long");
        }
        list.to_raw()
    }
}

fn unknown() -> CallError {
    let why = "unknown task; it is not of this caller, its key is gone, or its server is another \
               one now";
    CallError::Invalid(why.to_owned())
}

/// A task that a server has made under its present definition.
pub(super) fn ticket(scope: &Scope, server: &ServerName, id: &str) -> TaskTicket {
    let program = scope.program_of(server).unwrap_or_default();
    TaskTicket { server: server.clone(), program, id: id.to_owned() }
}

/// Whether a task's server still has the definition under which it made it.
fn is_current(scope: &Scope, ticket: &TaskTicket) -> bool {
    scope.program_of(&ticket.server).is_some_and(|program| program == ticket.program)
}

/// What a task comes to, and what it asks before: both say the caller's own name of it.
async fn result(scope: &Scope, mut request: CallRequest, name: &str) -> Outcome {
    let outward = request.dialogue.sink.take();
    let (sink, mut told) = DialogueSink::new(WAITING);
    request.dialogue.sink = outward.is_some().then_some(sink);
    let mut call = std::pin::pin!(scope.carry_out(&request, Turn::First));
    let outcome = loop {
        tokio::select! {
            biased;
            Some(mut told) = told.recv() => {
                if let Told::Asked(asked) = &mut told {
                    asked.params = task::related(&asked.params, name);
                }
                if let Some(outward) = &outward {
                    // Where there is no room, dropping what is asked declines it.
                    outward.try_send(told).ok();
                }
            }
            outcome = &mut call => break outcome,
        }
    };
    outcome.map(|answer| Answer { result: task::related(&answer.result, name), ..answer })
}

/// What is said of a task, with the server named in what it wants to know.
pub(super) fn introduced(server: &ServerName, told: &RawValue) -> Option<Box<RawValue>> {
    let mut object = Object::read(told)?;
    let requests = wanted::introduced_all(server.as_str(), object.get(REQUESTS)?);
    object.set(REQUESTS, Cow::Owned(requests));
    Some(object.to_raw())
}
