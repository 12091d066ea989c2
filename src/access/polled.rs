//! Calls that their server made into tasks, for callers that take results alone: the task is asked
//! for until it has one.
//!
//! Owned by the call. However that ends before the task does, the task is given up. What a task
//! wants to know goes the way of what any call wants to know.

use std::{collections::HashSet, pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{
    Answer, CallError, CallRequest, Subject, live, run::Outcome, seal::RESPONSES, wanted::Wanted,
};
use crate::{
    error::Kind,
    runtime::{Awaited, Scope, Turn},
    wire::{
        Ability, Era, ErrorObject, Object, RawValue, Task,
        envelope::code,
        method,
        task::{self, Status},
    },
};

mod lost;

use lost::{Made, failed, lost, unusable};

/// How soon a task is asked for at first, where its server does not say.
const FIRST: Duration = Duration::from_millis(500);
/// How long it is at most until it is asked for again, where its server does not say.
const PATIENT: Duration = Duration::from_secs(5);
/// What a server may ask for: more often would be a burden, more seldom hides the end.
const BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));
/// How long one answer about a task may take.
const LOOK: Duration = Duration::from_secs(30);
/// How long before a call's end its task is asked for the last time, however long its server wants
/// to be left alone.
const LAST: Duration = Duration::from_secs(1);

/// How long it is until a task is asked for again: what its server suggests, within bounds; without
/// that ever longer.
fn pause(suggested: Option<Duration>, asked: u32) -> Duration {
    match suggested {
        Some(suggested) => suggested.clamp(BOUNDS.0, BOUNDS.1),
        None => FIRST.saturating_mul(1 << asked.min(8)).min(PATIENT),
    }
}

/// When a task is asked for again; `None` where that would be after the call's end, and it was asked
/// for just before that.
fn due(now: Instant, pause: Duration, end: Instant, asked: u32) -> Option<Instant> {
    if let Some(due) = now.checked_add(pause).filter(|due| *due < end) {
        return Some(due);
    }
    let last = end.checked_sub(LAST).unwrap_or(now).max(now);
    (asked == 0 || last > now).then_some(last)
}

/// Carries out a request; a call that becomes a task has its result at the end, unless its caller
/// takes tasks.
pub(super) fn call<'a>(
    scope: &'a Scope,
    request: &'a CallRequest,
) -> impl Future<Output = Outcome> + Send + 'a {
    carry_out(scope, request, Turn::First)
}

/// Carries out a further request of a call that is under way, also where new calls are refused.
pub(super) fn go_on<'a>(
    scope: &'a Scope,
    request: &'a CallRequest,
) -> impl Future<Output = Outcome> + Send + 'a {
    carry_out(scope, request, Turn::Further)
}

async fn carry_out(scope: &Scope, request: &CallRequest, turn: Turn) -> Outcome {
    let started = Instant::now();
    let called = if let Subject::Tool(name) = &request.subject { Some(name) } else { None };
    let needs_task = called.is_some_and(|name| scope.needs_task(name));
    let forced = needs_task && !task::is_wanted(&request.params);
    let as_task = forced.then(|| {
        let params = Arc::from(task::wanted(&request.params));
        Box::new(CallRequest { params, ..request.clone() })
    });
    let request = as_task.as_deref().unwrap_or(request);
    let outcome = scope.carry_out(request, turn).await;
    match &outcome {
        Ok(Answer { task: None, .. }) | Err(CallError::Failed(_)) => outcome,
        _ if called.is_none() => outcome,
        _ => {
            let called = Called { forced, started, turn };
            Box::pin(see_to(scope, request, outcome, called)).await
        }
    }
}

/// How a tool was called.
struct Called {
    /// As a task, although its caller did not ask for one.
    forced: bool,
    started: Instant,
    turn: Turn,
}

/// What a call of a tool comes to whose outcome may be about a task.
async fn see_to(
    scope: &Scope,
    request: &CallRequest,
    mut outcome: Outcome,
    called: Called,
) -> Outcome {
    let Called { forced, started, turn } = called;
    let takes_extension = request.dialogue.abilities.has(Ability::Tasks);
    let end = started + request.timeout.unwrap_or(Duration::MAX).min(scope.longest());
    let mut again = request.clone();
    if let Err(CallError::Server { error, .. }) = &outcome
        && !takes_extension
        && wants_tasks(error)
    {
        // It was not carried out; whoever polls takes tasks.
        again.dialogue.abilities = again.dialogue.abilities.and(Ability::Tasks);
        again.timeout = Some(end.saturating_duration_since(Instant::now()));
        outcome = scope.carry_out(&again, turn).await;
    }
    let takes = |task: &Task| match task.era {
        Era::Modern => takes_extension,
        Era::Legacy => !forced && task::is_wanted(&again.params),
    };
    match outcome {
        Ok(Answer { task: Some(task), maker: Some(maker), server, incarnation, .. })
            if !takes(&task) =>
        {
            let made = Made::now(server, incarnation);
            let awaited = scope.awaited(maker, again.session.as_ref());
            let work = Work { awaited, call: again, made, task, end, said: None, done: false };
            work.result().await
        }
        outcome => outcome,
    }
}

/// Whether a server carries a call out for those alone who take tasks.
fn wants_tasks(error: &ErrorObject) -> bool {
    let named = || {
        let error = Object::read(error.raw())?;
        let data = error.object("data")?;
        let needed = data.object("requiredCapabilities")?;
        Some(needed.object("extensions")?.get(task::EXTENSION).is_some())
    };
    error.code() == code::MISSING_CAPABILITY && named().unwrap_or_default()
}

/// A task whose caller waits for its result. Dropped before the task has ended, it gives it up.
struct Work {
    /// As long as it lives, the call is under way.
    awaited: Arc<Awaited>,
    /// The call that became the task.
    call: CallRequest,
    made: Made,
    task: Task,
    end: Instant,
    /// What its server said last for people.
    said: Option<String>,
    done: bool,
}

impl Work {
    async fn result(mut self) -> Outcome {
        let awaited = Arc::clone(&self.awaited);
        let why = tokio::select! {
            biased;
            why = awaited.given_up() => why,
            outcome = self.ask_on() => return outcome,
        };
        Err(unusable(&self.made, &format!("did not end it before {why}")))
    }

    /// Asks for the task until it has ended.
    async fn ask_on(&mut self) -> Outcome {
        let mut answered = HashSet::new();
        let (mut asked, mut errors) = (0, 0);
        loop {
            self.say();
            // One that has ended already is asked for its result at once.
            if !(self.task.status.is_final() && asked == 0) {
                let pause = pause(self.task.interval, asked);
                let Some(due) = due(Instant::now(), pause, self.end, asked) else {
                    return Err(self.late());
                };
                sleep_until(due).await;
            }
            asked += 1;
            let asking = self.about(method::TASKS_GET, None);
            let answer = match self.awaited.ask(&asking).await {
                Ok(answer) => answer,
                Err(error) => {
                    if let Some(lost) = lost(&self.made, &error, errors) {
                        return Err(lost);
                    }
                    errors += u32::from(matches!(error, CallError::Server { .. }));
                    continue;
                }
            };
            errors = 0;
            let Some(task) = answer.task.clone().filter(|task| task.id == self.task.id) else {
                return Err(unusable(&self.made, "says nothing of it when it is asked"));
            };
            self.task = task;
            match (self.task.status, self.task.era) {
                (Status::Working, _) => {}
                (Status::Cancelled, _) => {
                    self.done = true;
                    let what = "gave up the task that it made of this call";
                    return Err(failed(&self.made, Kind::Cancelled, what));
                }
                (Status::InputRequired, Era::Modern) => {
                    self.ask(&answer.result, &mut answered).await?;
                }
                // The answer to this one brings the questions before it.
                (_, Era::Legacy) => {
                    let outcome = self.legacy_result().await;
                    if let Some(outcome) = self.came_to(outcome) {
                        return outcome;
                    }
                }
                (Status::Completed | Status::Failed, Era::Modern) => {
                    self.done = true;
                    return self.ended(answer);
                }
            }
        }
    }

    /// Asks a server of 2025-11-25 for the result, which it gives once there is one; what it says
    /// of the task until then is told meanwhile.
    async fn legacy_result(&mut self) -> Outcome {
        let (awaited, asking) = (Arc::clone(&self.awaited), self.about(method::TASKS_RESULT, None));
        let mut result = pin!(awaited.ask(&asking));
        let mut asked = 0;
        while !self.task.status.is_final() {
            let look = async {
                sleep(pause(self.task.interval, asked)).await;
                awaited.ask(&self.about(method::TASKS_GET, None)).await
            };
            let told = tokio::select! {
                biased;
                outcome = &mut result => return outcome,
                told = look => told,
            };
            asked += 1;
            let told = told.ok().and_then(|answer| answer.task);
            if let Some(task) = told.filter(|task| task.id == self.task.id) {
                self.task = task;
                self.say();
            }
        }
        result.await
    }

    /// What a task of 2025-11-25 came to, by the answer to the question for its result; `None`
    /// where it has to be asked again. An error is the task's own, unless it is to have a result.
    fn came_to(&mut self, outcome: Outcome) -> Option<Outcome> {
        let outcome = match outcome {
            Err(error @ CallError::Server { .. }) if self.task.status == Status::Completed => {
                Err(lost(&self.made, &error, u32::MAX)?)
            }
            Ok(answer) => Ok(Answer { result: unrelated(answer.result), ..answer }),
            outcome @ Err(CallError::Server { .. }) => outcome,
            Err(error) => Err(lost(&self.made, &error, 0)?),
        };
        self.done = true;
        Some(outcome)
    }

    /// What a task of the extension came to.
    fn ended(&self, answer: Answer) -> Outcome {
        let object = Object::read(&answer.result).unwrap_or_default();
        if self.task.status == Status::Failed
            && let Some(error) = object.get("error").and_then(ErrorObject::read)
        {
            return Err(CallError::Server { server: self.made.server.clone(), error });
        }
        let result = object.get("result").filter(|result| Object::is(result));
        let result = result.ok_or_else(|| unusable(&self.made, "has ended it without a result"))?;
        Ok(Answer { result: unrelated(result.to_owned()), task: None, ..answer })
    }

    /// Asks the caller what the task wants to know, once for each question.
    async fn ask(&self, told: &RawValue, answered: &mut HashSet<String>) -> Result<(), CallError> {
        let dialogue = &self.call.dialogue;
        let wanted = Wanted::read(&self.made.server, told, dialogue.offered());
        let mut questions = match wanted {
            Ok(wanted) => wanted.questions,
            Err(error) if is_lacking(&error) => return Err(error),
            Err(_) => return Err(unusable(&self.made, "asks too much or what nobody can read")),
        };
        questions.retain(|question| answered.insert(question.key.clone()));
        let Some(sink) = dialogue.sink.as_ref().filter(|_| !questions.is_empty()) else {
            return Ok(());
        };
        let asking = live::ask(&self.made.server, sink, questions);
        let Ok(responses) = timeout_at(self.end, asking).await else { return Err(self.late()) };
        let update = self.about(method::TASKS_UPDATE, responses?.as_deref());
        // A server that was away meanwhile asks again.
        match self.awaited.ask(&update).await {
            Err(error) => lost(&self.made, &error, u32::MAX).map_or(Ok(()), Err),
            Ok(_) => Ok(()),
        }
    }

    /// A request about the task.
    fn about(&self, method: &'static str, responses: Option<&RawValue>) -> CallRequest {
        let mut params = Object::default();
        params.put(task::ID, &*self.task.id);
        if let Some(responses) = responses {
            params.put(RESPONSES, responses);
        }
        let remaining = self.end.saturating_duration_since(Instant::now());
        let is_result = method == method::TASKS_RESULT;
        let mut dialogue = self.call.dialogue.clone();
        dialogue.abilities = dialogue.abilities.and(Ability::Tasks);
        let program = Some(Arc::clone(self.awaited.program()));
        let subject = Subject::Task { method, id: self.task.id.to_string(), program };
        CallRequest {
            timeout: Some(if is_result { remaining } else { remaining.min(LOOK) }),
            session: self.call.session.clone(),
            origin: Some(self.made.server.clone()),
            dialogue,
            ..CallRequest::about(subject, params.to_raw().into())
        }
    }

    /// Tells a caller that asked for progress how far its task is.
    fn say(&mut self) {
        if let Some(sink) = &self.call.progress
            && let Some(message) = &self.task.message
            && self.said.as_ref() != Some(message)
        {
            sink.say(message);
            self.said = Some(message.clone());
        }
    }

    fn late(&self) -> CallError {
        let what = "made a task of this call and did not end it in time; the task is given up";
        failed(&self.made, Kind::Timeout, what)
    }
}

/// A result that its caller gets in the place of a task, which it knows nothing of.
fn unrelated(result: Box<RawValue>) -> Box<RawValue> {
    task::unrelated(&result).unwrap_or(result)
}

/// Whether a caller cannot be asked what its task wants to know.
fn is_lacking(error: &CallError) -> bool {
    matches!(error, CallError::Server { error, .. } if error.code() == code::MISSING_CAPABILITY)
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.done && self.awaited.can_ask() {
            let mut cancel = self.about(method::TASKS_CANCEL, None);
            cancel.timeout = Some(LOOK);
            // Whoever could be asked is gone.
            cancel.dialogue.sink = None;
            Arc::clone(&self.awaited).part(cancel);
        }
    }
}

#[cfg(test)]
mod tests;
