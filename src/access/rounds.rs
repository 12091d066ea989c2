//! Calls of modern clients, which are never asked: their call ends with what it wants to know, and
//! goes on with the next request that brings the answers and the state that we sealed.
//!
//! Owned by the gate. What a call that waits here has done stays done: a repeated answer gets what
//! the first one got. A modern server waits nowhere; its own state travels inside ours.

use std::{
    collections::HashMap,
    fmt, mem,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, SystemTime},
};

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tracing::Instrument as _;
use uuid::Uuid;

use place::Place;

use super::{
    Answer, CallError, CallRequest, Principal, polled,
    run::{Next, Outcome, Outward, Run},
    seal::{Bound, RESPONSES, STATE, Seal, StateKeys, Ticket},
    talk::Talk,
    wanted::{self, Wanted},
};
use crate::{
    id::{Incarnation, ServerName},
    runtime::{Asked, DialogueSink, ProgressSink, Scope},
    wire::{Abilities, Ability, ErrorObject, Needle, Object, RawValue, envelope::code, result},
};

/// Calls of one principal that wait for answers at most; what further ones want to know is
/// declined.
const PARKED: usize = 64;
/// Bytes of all outcomes that are kept for repeated answers; beyond, an outcome is told once.
const HELD: usize = 64 * 1024 * 1024;
/// Calls of one server that wait for answers at most: fewer than it may have in flight by default,
/// so that questions that nobody answers leave room for calls.
const PARKED_OF_SERVER: usize = 8;
/// How often a call may ask.
const ROUNDS: usize = 10;
/// How long further questions are waited for: what a server asks at once arrives one by one.
const TOGETHER: Duration = Duration::from_millis(20);
/// What a server tells before it is taken, at most.
const WAITING: usize = 64;

/// The calls of one gate that wait for answers.
pub(super) struct Rounds {
    seal: Seal,
    talks: Mutex<HashMap<u128, Arc<Talk>>>,
    tasks: Mutex<JoinSet<()>>,
    /// Bytes of the outcomes that are kept.
    held: AtomicUsize,
}

impl fmt::Debug for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds").finish_non_exhaustive()
    }
}

/// Whether a request brings back a state of ours.
pub(super) fn is_continued(params: &RawValue) -> bool {
    static CONTINUING: Needle = Needle::new(STATE);
    CONTINUING.is_in(params)
        && Object::read(params).is_some_and(|params| params.get(STATE).is_some())
}

impl Rounds {
    pub(super) fn new(keys: &StateKeys) -> Arc<Self> {
        let seal = Seal::new(keys);
        Arc::new(Self {
            seal,
            talks: Mutex::default(),
            tasks: Mutex::default(),
            held: AtomicUsize::new(0),
        })
    }

    /// Carries out the first request of a call, or one that brings answers.
    pub(super) async fn call(
        self: &Arc<Self>,
        principal: &Principal,
        scope: &Scope,
        request: &mut CallRequest,
    ) -> Outcome {
        let sent = Arc::clone(&request.params);
        if is_continued(&sent) {
            let going_on = Box::pin(self.go_on(principal, scope, request));
            if let Some(outcome) = going_on.await {
                return outcome;
            }
        }
        let abilities = request.dialogue.abilities;
        if !abilities.without(Ability::Tasks).is_empty() {
            return Box::pin(self.ask(principal, scope, request, &sent)).await;
        }
        let outcome = polled::call(scope, request).await;
        let bound = || Bound::new(principal, scope.owner(), request.subject.method(), &sent);
        self.finished(Some(scope), outcome, abilities, bound)
    }

    /// Takes up a call by the state that a request brings back: gives what its waiting call comes
    /// to, or nothing where the request is made anew, as it is now.
    async fn go_on(
        &self,
        principal: &Principal,
        scope: &Scope,
        request: &mut CallRequest,
    ) -> Option<Outcome> {
        let sent = Arc::clone(&request.params);
        let object = Object::read(&sent).unwrap_or_default();
        let state = object.typed::<String>(STATE).unwrap_or_default();
        let bound = Bound::new(principal, scope.owner(), request.subject.method(), &sent);
        match self.seal.open(&bound, &state, SystemTime::now()) {
            None => {
                let why = "it is of another request, was changed or has expired";
                return Some(Err(unusable(why)));
            }
            Some(Ticket::Parked { talk, round }) => {
                let Some(talk) = self.talks.lock().get(&talk).cloned() else {
                    return Some(Err(unusable("its call waits no longer")));
                };
                let responses = object.get(RESPONSES).map(ToOwned::to_owned);
                return Some(talk.answer(round, responses, Outward::of(request)).await);
            }
            Some(Ticket::Server { server, program, state }) => {
                if scope.program(request) != Some((server, program)) {
                    return Some(Err(unusable("its server is another one now")));
                }
                let again = wanted::repeated(&sent, object.get(RESPONSES), state.as_deref());
                request.params = Arc::from(again);
            }
            Some(Ticket::Again) => {
                request.params = Arc::from(wanted::repeated(&sent, None, None));
            }
        }
        None
    }

    /// Carries out a call whose client can be asked: it waits here once its server asks.
    async fn ask(
        self: &Arc<Self>,
        principal: &Principal,
        scope: &Scope,
        request: &mut CallRequest,
        sent: &RawValue,
    ) -> Outcome {
        let abilities = request.dialogue.abilities;
        let outward = Outward::of(request);
        let (sink, told) = DialogueSink::new(WAITING);
        request.dialogue.sink = Some(sink);
        let progress = outward.wants_progress().then(|| {
            let (sink, progress) = ProgressSink::new(WAITING);
            request.progress = Some(sink);
            progress
        });
        let bound = || Bound::new(principal, scope.owner(), request.subject.method(), sent);
        let (called, made) = (scope.clone(), request.clone());
        let call = async move { polled::call(&called, &made).await }.boxed();
        let mut run = Run::new(call, told, progress, outward);
        loop {
            match run.next().await {
                Next::Outcome(outcome) => {
                    return self.finished(Some(scope), outcome, abilities, bound);
                }
                Next::Asked(asked) => match self.park(principal, &asked.server) {
                    Some((id, talk)) => {
                        let place =
                            Place { rounds: Arc::downgrade(self), draining: scope.draining(), id };
                        self.carry_on(place, &talk, run, asked, bound(), abilities);
                        return talk.first().await;
                    }
                    // Dropping the question declines it.
                    None => drop(asked),
                },
            }
        }
    }

    /// Seals what an outcome wants to know, for a client that can do so much. Without a scope it is
    /// that of a call that waited here, whose server asks by requests and gives no state.
    pub(super) fn finished(
        &self,
        scope: Option<&Scope>,
        outcome: Outcome,
        abilities: Abilities,
        bound: impl FnOnce() -> Bound,
    ) -> Outcome {
        let (server, incarnation, wanted, ticket, own) = match outcome {
            Ok(answer) if result::wants_input(&answer.result) => {
                let Answer { result, server, incarnation, .. } = answer;
                let mut wanted = Wanted::read(&server, &result, abilities)?;
                let state = mem::take(&mut wanted.state);
                let program = scope.and_then(|scope| scope.program_of(&server)).unwrap_or_default();
                let ticket = Ticket::Server { server: server.clone(), program, state };
                (server, incarnation, wanted, ticket, Some(result))
            }
            Err(CallError::Server { server, error }) => match Wanted::of_error(&server, &error) {
                Some(wanted) if abilities.has(Ability::Url) => {
                    (server, Incarnation::default(), wanted, Ticket::Again, None)
                }
                Some(_) => {
                    let result = wanted::told_to_visit(&server, &error);
                    return Ok(Answer::of(server, result));
                }
                None => return Err(CallError::Server { server, error }),
            },
            outcome => return outcome,
        };
        let state = self.state(&server, &bound(), ticket)?;
        let questions = wanted.questions.iter();
        let questions = questions.map(|asked| (&*asked.key, asked.method, &*asked.params));
        let result = wanted::input_required(own.as_deref(), questions, &state);
        Ok(Answer { incarnation, ..Answer::of(server, result) })
    }

    fn state(
        &self,
        server: &ServerName,
        bound: &Bound,
        ticket: Ticket,
    ) -> Result<String, CallError> {
        self.seal.seal(bound, ticket, SystemTime::now()).ok_or_else(|| {
            let error = ErrorObject::new(code::INTERNAL, "the call's state cannot be sealed");
            CallError::Server { server: server.clone(), error }
        })
    }

    /// A place for a call that waits; `None` where its principal or its server has too many.
    fn park(&self, principal: &Principal, server: &ServerName) -> Option<(u128, Arc<Talk>)> {
        let mut talks = self.talks.lock();
        let waiting = |which: &dyn Fn(&Talk) -> bool| {
            talks.values().filter(|talk| talk.waits() && which(talk)).count()
        };
        if waiting(&|talk| talk.principal == *principal) >= PARKED
            || waiting(&|talk| talk.server == *server) >= PARKED_OF_SERVER
        {
            return None;
        }
        let (id, talk) = (Uuid::new_v4().as_u128(), Arc::new(Talk::new(principal, server)));
        talks.insert(id, Arc::clone(&talk));
        Some((id, talk))
    }

    /// Has a call wait in a task of its own, which ends with it.
    fn carry_on(
        &self,
        place: Place,
        talk: &Arc<Talk>,
        run: Run,
        asked: Asked,
        bound: Bound,
        abilities: Abilities,
    ) {
        let talk = Arc::clone(talk);
        let carried = async move {
            place.wait(&talk, run, asked, &bound, abilities).await;
            drop(place);
        };
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(carried.in_current_span());
    }
}

fn unusable(why: &str) -> CallError {
    CallError::Invalid(format!("`{STATE}` cannot be used: {why}; make the call anew"))
}

mod place;
#[cfg(test)]
mod tests;
