//! Calls that their server made into tasks, for callers that take results alone: the task is asked
//! for until it has one.
//!
//! Owned by the call. However that ends before the task does, the task is given up. What a task
//! wants to know goes the way of what any call wants to know.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    Answer, CallError, CallRequest, Subject, live, run::Outcome, seal::RESPONSES, wanted::Wanted,
};
use crate::{
    error::Kind,
    id::ServerName,
    runtime::{Awaited, Scope},
    wire::{
        Ability, Era, ErrorObject, Object, RawValue, Task,
        envelope::code,
        method,
        task::{self, Status},
    },
};

mod lost;

use lost::{failed, lost, unusable};

/// How soon a task is asked for at first, where its server does not say.
const FIRST: Duration = Duration::from_millis(500);
/// How long it is at most until it is asked for again, where its server does not say.
const PATIENT: Duration = Duration::from_secs(5);
/// What a server may ask for: more often would be a burden, more seldom hides the end.
const BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));
/// How long one answer about a task may take.
const LOOK: Duration = Duration::from_secs(30);

/// How long it is until a task is asked for again: what its server suggests, within bounds; without
/// that ever longer.
fn pause(suggested: Option<Duration>, asked: u32) -> Duration {
    match suggested {
        Some(suggested) => suggested.clamp(BOUNDS.0, BOUNDS.1),
        None => FIRST.saturating_mul(1 << asked.min(8)).min(PATIENT),
    }
}

/// Carries out a request; a call that becomes a task has its result at the end, unless its caller
/// takes tasks.
pub(super) async fn call(scope: &Scope, mut request: CallRequest) -> Outcome {
    let Subject::Tool(name) = &request.subject else { return scope.call(request).await };
    let takes_extension = request.dialogue.abilities.has(Ability::Tasks);
    let forced = scope.needs_task(name) && !task::is_wanted(&request.params);
    if forced {
        request.params = Arc::from(task::wanted(&request.params));
    }
    let end = Instant::now() + request.timeout.unwrap_or(Duration::MAX).min(scope.longest());
    let mut again = request.clone();
    let mut outcome = scope.call(request).await;
    if let Err(CallError::Server { error, .. }) = &outcome
        && !takes_extension
        && wants_tasks(error)
    {
        // It was not carried out; whoever polls takes tasks.
        again.dialogue.abilities = again.dialogue.abilities.and(Ability::Tasks);
        again.timeout = Some(end.saturating_duration_since(Instant::now()));
        outcome = Box::pin(scope.call(again.clone())).await;
    }
    let takes = |task: &Task| match task.era {
        Era::Modern => takes_extension,
        Era::Legacy => !forced && task::is_wanted(&again.params),
    };
    match outcome {
        Ok(Answer { task: Some(task), server, .. }) if !takes(&task) => {
            let awaited = scope.awaited();
            let work =
                Work { scope, call: again, server, task, end, said: None, done: false, awaited };
            Box::pin(work.result()).await
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
struct Work<'s> {
    scope: &'s Scope,
    /// The call that became the task.
    call: CallRequest,
    server: ServerName,
    task: Task,
    end: Instant,
    /// What its server said last for people.
    said: Option<String>,
    done: bool,
    /// As long as it lives, the call is under way.
    awaited: Awaited,
}

impl Work<'_> {
    async fn result(mut self) -> Outcome {
        let given_up = self.awaited.given_up.clone();
        tokio::select! {
            biased;
            () = given_up.cancelled() => {
                Err(unusable(&self.server, "did not end it before switchboard shut down"))
            }
            outcome = self.ask_on() => outcome,
        }
    }

    /// Asks for the task until it has ended.
    async fn ask_on(&mut self) -> Outcome {
        let mut answered = HashSet::new();
        let (mut asked, mut errors) = (0, 0);
        loop {
            self.say();
            // One that has ended already is asked for its result at once.
            if !(self.task.status.is_final() && asked == 0) {
                let until = Instant::now() + pause(self.task.interval, asked);
                if until >= self.end {
                    return Err(self.late());
                }
                sleep_until(until).await;
            }
            asked += 1;
            let answer = match self.scope.go_on(self.about(method::TASKS_GET, None)).await {
                Ok(answer) => answer,
                Err(error) => {
                    if let Some(lost) = lost(&self.server, &error, errors) {
                        return Err(lost);
                    }
                    errors += u32::from(matches!(error, CallError::Server { .. }));
                    continue;
                }
            };
            errors = 0;
            let Some(task) = answer.task.clone().filter(|task| task.id == self.task.id) else {
                return Err(unusable(&self.server, "says nothing of it when it is asked"));
            };
            self.task = task;
            match (self.task.status, self.task.era) {
                (Status::Working, _) => {}
                (Status::Cancelled, _) => {
                    self.done = true;
                    let what = "gave up the task that it made of this call";
                    return Err(failed(&self.server, Kind::Cancelled, what));
                }
                (Status::InputRequired, Era::Modern) => {
                    self.ask(&answer.result, &mut answered).await?;
                }
                // The answer to this one brings the questions before it.
                (_, Era::Legacy) => {
                    let outcome = self.scope.go_on(self.about(method::TASKS_RESULT, None)).await;
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

    /// What a task of 2025-11-25 came to, by the answer to the question for its result; `None`
    /// where it has to be asked again. An error is the task's own, unless it is to have a result.
    fn came_to(&mut self, outcome: Outcome) -> Option<Outcome> {
        let outcome = match outcome {
            Err(error @ CallError::Server { .. }) if self.task.status == Status::Completed => {
                Err(lost(&self.server, &error, u32::MAX)?)
            }
            outcome @ (Ok(_) | Err(CallError::Server { .. })) => outcome,
            Err(error) => Err(lost(&self.server, &error, 0)?),
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
            return Err(CallError::Server { server: self.server.clone(), error });
        }
        let result = object.get("result").filter(|result| Object::is(result));
        let result =
            result.ok_or_else(|| unusable(&self.server, "has ended it without a result"))?;
        Ok(Answer { result: result.to_owned(), task: None, ..answer })
    }

    /// Asks the caller what the task wants to know, once for each question.
    async fn ask(&self, told: &RawValue, answered: &mut HashSet<String>) -> Result<(), CallError> {
        let dialogue = &self.call.dialogue;
        let wanted = Wanted::read(&self.server, told, dialogue.offered());
        let mut questions = match wanted {
            Ok(wanted) => wanted.questions,
            Err(error) if is_lacking(&error) => return Err(error),
            Err(_) => return Err(unusable(&self.server, "asks something that nobody can read")),
        };
        questions.retain(|question| answered.insert(question.key.clone()));
        let Some(sink) = dialogue.sink.as_ref().filter(|_| !questions.is_empty()) else {
            return Ok(());
        };
        let asking = live::ask(&self.server, sink, questions);
        let Ok(responses) = timeout_at(self.end, asking).await else { return Err(self.late()) };
        let update = self.about(method::TASKS_UPDATE, responses?.as_deref());
        // A server that was away meanwhile asks again.
        match self.scope.go_on(update).await {
            Err(error) => lost(&self.server, &error, u32::MAX).map_or(Ok(()), Err),
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
        let subject = Subject::Task { method, id: self.task.id.to_string() };
        CallRequest {
            timeout: Some(if is_result { remaining } else { remaining.min(LOOK) }),
            session: self.call.session.clone(),
            origin: Some(self.server.clone()),
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
        failed(&self.server, Kind::Timeout, what)
    }
}

/// Whether a caller cannot be asked what its task wants to know.
fn is_lacking(error: &CallError) -> bool {
    matches!(error, CallError::Server { error, .. } if error.code() == code::MISSING_CAPABILITY)
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if !self.done {
            let mut cancel = self.about(method::TASKS_CANCEL, None);
            cancel.timeout = Some(LOOK);
            // Whoever could be asked is gone.
            cancel.dialogue.sink = None;
            self.scope.part(cancel);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_is_asked_for_as_its_server_suggests_within_bounds() {
        let millis = Duration::from_millis;
        for (suggested, asked, expected) in [
            (Some(millis(2000)), 7, millis(2000)),
            (Some(millis(0)), 0, BOUNDS.0),
            (Some(Duration::MAX), 0, BOUNDS.1),
            (None, 0, FIRST),
            (None, 1, FIRST * 2),
            (None, u32::MAX, PATIENT),
        ] {
            assert_eq!(pause(suggested, asked), expected, "{suggested:?} {asked}");
        }
    }

    #[test]
    fn only_a_lack_of_tasks_is_made_good() {
        let error = |code, data: serde_json::Value| {
            ErrorObject::with_data(code, task::EXTENSION, Some(&crate::wire::raw(&data)))
        };
        let tasks = || json!({"requiredCapabilities": {"extensions": {task::EXTENSION: {}}}});
        let lack = code::MISSING_CAPABILITY;
        assert!(wants_tasks(&error(lack, tasks())));
        for (code, data) in [
            (code::INVALID_PARAMS, tasks()),
            (lack, json!({"requiredCapabilities": {"sampling": {}}})),
            (lack, json!({"requiredCapabilities": {"extensions": {"x": task::EXTENSION}}})),
            (lack, json!({"requiredCapabilities": task::EXTENSION})),
            (lack, json!(task::EXTENSION)),
        ] {
            assert!(!wants_tasks(&error(code, data.clone())), "{code} {data}");
        }
    }
}
