//! A request that a server carries out: one running call as a sequence of progress notifications
//! and one outcome.
//!
//! Whoever holds the exchange drives it, and dropping it cancels the call. It translates the
//! server's answer for the client's revision and knows no transport.

use std::{borrow::Cow, fmt, sync::Arc};

use futures::future::{BoxFuture, FutureExt as _};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::{Caller, Fault, Outcome, fault, received::Received, told::Telling, translate};
use crate::{
    access::{CallRequest, Gate, Progress, ProgressSink, Subject},
    wire::{
        Era, Object, Primitive, RawValue, Revision, envelope, extension, into_text, meta, method,
        task,
    },
};

/// Progress notifications that wait for a slow client at most; what exceeds them, or the sink's
/// bytes, is dropped, because progress is a hint.
const PROGRESS_WAITING: usize = 64;

/// What a running call brings next.
#[derive(Debug)]
pub(crate) enum Step {
    /// A notification, as one line.
    Notification(Vec<u8>),
    /// A request to the client, as one line; it is answered through its session.
    Request(Vec<u8>),
    /// The end.
    Outcome(Outcome),
}

/// One running call.
pub(crate) struct Exchange {
    answer: BoxFuture<'static, Outcome>,
    progress: Option<(Box<RawValue>, mpsc::Receiver<Progress>)>,
    /// What the server tells meanwhile.
    telling: Option<Telling>,
    /// Set once the answer came: progress that came before it goes first.
    outcome: Option<Outcome>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

impl Exchange {
    /// Reads the parameters, given raw and one level deep with their metadata, and starts the call
    /// once it is driven.
    pub(crate) fn start(
        gate: &Arc<Gate>,
        caller: &Caller,
        method: &str,
        params: Option<&RawValue>,
        read: Option<(&Object<'_>, &Object<'_>)>,
        revision: Revision,
    ) -> Result<Self, Fault> {
        let (object, metadata) = read.ok_or_else(|| Fault::invalid("`params` is not an object"))?;
        if params.is_none() && !extension::may_own(method) {
            return Err(Fault::invalid("`params` is missing"));
        }
        let subject = subject(method, object)?;
        let params = params_of(&subject, params, object, revision);
        let token = metadata.get(meta::PROGRESS_TOKEN).map(ToOwned::to_owned);
        let (sink, progress) = match token {
            Some(token) => {
                let (sink, receiver) = ProgressSink::new(PROGRESS_WAITING);
                (Some(sink), Some((token, receiver)))
            }
            None => (None, None),
        };
        let (mut dialogue, telling) = match revision.era() {
            Era::Legacy => Telling::of_session(caller.client.as_ref()),
            Era::Modern => Telling::of_request(metadata),
        };
        dialogue.headers.clone_from(&caller.headers);
        let request = CallRequest {
            progress: sink,
            session: caller.session.as_ref().map(|lease| lease.key().clone()),
            dialogue,
            ..CallRequest::about(subject.clone(), params)
        };
        let gate = Arc::clone(gate);
        let Caller { principal, owner, session, .. } = caller.clone();
        let answer = async move {
            // Its connections stay as long as it has a call.
            let session = session;
            let called = match revision.era() {
                Era::Legacy => gate.call(&principal, &owner, request).await,
                Era::Modern => gate.round(&principal, &owner, request).await,
            };
            let result = match called {
                Ok(answer) => {
                    if let Some(session) = &session {
                        session.watching().note(&answer);
                    }
                    answer.result
                }
                Err(error) if matches!(subject, Subject::Tool(_)) => {
                    fault::of_call(error, revision.era())?
                }
                Err(error) => return Err(fault::of_request(error, revision.era())),
            };
            translate::result(&subject, result, revision)
        };
        Ok(Self { answer: answer.boxed(), progress, telling, outcome: None })
    }

    /// The caller's tasks (2025-11-25).
    pub(crate) fn list_tasks(gate: &Arc<Gate>, caller: &Caller) -> Self {
        let gate = Arc::clone(gate);
        let Caller { principal, owner, session, .. } = caller.clone();
        Self::of(async move {
            let key = session.as_ref().map(|lease| lease.key());
            let tasks = gate.tasks(&principal, &owner, key).await;
            tasks
                .map(|it| into_text(it).into())
                .map_err(|error| fault::of_request(error, Era::Legacy))
        })
    }

    /// A request that brings nothing but its outcome.
    pub(crate) fn of(answer: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self { answer: answer.boxed(), progress: None, telling: None, outcome: None }
    }

    /// The same call, traced and measured.
    pub(crate) fn observed(self, received: Received) -> Self {
        let span = received.span.clone();
        let Self { answer, progress, telling, outcome } = self;
        let answer = async move {
            let outcome = answer.await;
            received.end(&outcome);
            outcome
        };
        Self { answer: answer.instrument(span).boxed(), progress, telling, outcome }
    }

    /// The next step. May be dropped and asked again without losing one; after the outcome there
    /// is no further step to ask for.
    pub(crate) async fn next(&mut self) -> Step {
        if self.outcome.is_none() {
            if self.progress.is_none() && self.telling.is_none() {
                return Step::Outcome((&mut self.answer).await);
            }
            let outcome = tokio::select! {
                biased;
                step = progressed(&mut self.progress) => return step,
                step = told(&mut self.telling) => return step,
                outcome = &mut self.answer => outcome,
            };
            self.outcome = Some(outcome);
        }
        if let Some((token, progress)) = &mut self.progress
            && let Ok(progress) = progress.try_recv()
        {
            return notification(token, &progress);
        }
        if let Some(step) = self.telling.as_mut().and_then(Telling::last) {
            return step;
        }
        match self.outcome.take() {
            Some(outcome) => Step::Outcome(outcome),
            None => std::future::pending().await,
        }
    }
}

/// What a request is about; the methods are those of [`Subject`].
fn subject(method: &str, params: &Object<'_>) -> Result<Subject, Fault> {
    let text = |member| {
        let refused = || Fault::invalid(format!("`params.{member}` is not a text"));
        params.text(member).map(Cow::into_owned).ok_or_else(refused)
    };
    match method {
        method::PROMPTS_GET => text("name").map(Subject::Prompt),
        method::RESOURCES_READ => text("uri").map(Subject::Resource),
        method::COMPLETE => reference(params).ok_or_else(|| {
            let text = "`params.ref` is neither `ref/prompt` with a `name` nor `ref/resource` with \
                        a `uri`";
            Fault::invalid(text)
        }),
        method::TOOLS_CALL => text("name").map(Subject::Tool),
        _ => match method::of_tasks(method) {
            Some(method) => text(task::ID).map(|id| Subject::Task { method, id, program: None }),
            None => Ok(Subject::Extension {
                method: method.to_owned(),
                uri: params.text("uri").map(Cow::into_owned),
            }),
        },
    }
}

/// The parameters as they are passed on: only in 2025-11-25 a call can ask for a task.
fn params_of(
    subject: &Subject,
    params: Option<&RawValue>,
    object: &Object<'_>,
    revision: Revision,
) -> Arc<RawValue> {
    let may_ask = revision.has_tasks() || !matches!(subject, Subject::Tool(_));
    if may_ask || object.get(task::TASK).is_none() {
        return params.map_or_else(|| object.to_raw(), ToOwned::to_owned).into();
    }
    let mut object = object.clone();
    object.remove(task::TASK);
    object.to_raw().into()
}

/// What a completion refers to (MCP, completion).
fn reference(params: &Object<'_>) -> Option<Subject> {
    let reference = params.object("ref")?;
    let (primitive, name) = match &*reference.text("type")? {
        "ref/prompt" => (Primitive::Prompt, reference.text("name")?),
        "ref/resource" => (Primitive::Template, reference.text("uri")?),
        _ => return None,
    };
    Some(Subject::Completion(primitive, name.into_owned()))
}

/// The next progress; pending where there is none any more.
async fn progressed(progress: &mut Option<(Box<RawValue>, mpsc::Receiver<Progress>)>) -> Step {
    if let Some((token, progress)) = progress
        && let Some(progress) = progress.recv().await
    {
        return notification(token, &progress);
    }
    std::future::pending().await
}

/// The next thing that the server tells; pending where there is none any more.
async fn told(telling: &mut Option<Telling>) -> Step {
    match telling {
        Some(telling) => telling.next().await,
        None => std::future::pending().await,
    }
}

/// A server's progress under the client's own token.
fn notification(token: &RawValue, progress: &Progress) -> Step {
    let mut params = Object::read(&progress.params).unwrap_or_default();
    params.put(meta::PROGRESS_TOKEN, token);
    Step::Notification(envelope::notification(method::PROGRESS, Some(&params.to_raw())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Box<RawValue> {
        RawValue::from_string(value.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn progress_goes_before_the_outcome_and_carries_the_clients_token() {
        let (sink, receiver) = ProgressSink::new(4);
        let mut exchange = Exchange {
            answer: async { Ok("{}".to_owned().into()) }.boxed(),
            progress: Some((text("\"mine\""), receiver)),
            telling: None,
            outcome: None,
        };
        sink.pass(1.5, &text(r#"{"progressToken":7,"progress":1.50}"#));
        sink.pass(2.0, &text(r#"{"progress":2}"#));
        let mut lines = Vec::new();
        loop {
            match exchange.next().await {
                Step::Notification(line) | Step::Request(line) => {
                    lines.push(String::from_utf8(line).unwrap());
                }
                Step::Outcome(outcome) => {
                    assert_eq!(outcome.unwrap().whole(), Some("{}"));
                    break;
                }
            }
        }
        assert_eq!(
            lines,
            [
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"mine","progress":1.50}}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":2,"progressToken":"mine"}}"#,
            ]
        );
    }
}
