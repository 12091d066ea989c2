//! Calls whose caller is asked while they run: legacy clients, and those that cannot be asked.
//!
//! A modern server ends its call to ask; here the caller is asked for it and the call is made
//! again, so that the caller never sees that it was several.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    Answer, Asked, CallError, CallRequest, Delivery, DialogueSink, Failure, Reply, Response, Told,
    polled,
    wanted::{self, Question, Wanted},
};
use crate::{
    error::Kind,
    id::ServerName,
    runtime::{Scope, declined},
    wire::{Ability, ErrorObject, Id, Object, RawValue, envelope::code, result},
};

/// How often a server may ask during one call.
const ROUNDS: u32 = 10;
/// The pause before a call that wants nothing but to be made again.
const PAUSE: Duration = Duration::from_secs(1);

/// Carries a call out, and asks its caller whatever the server wants to know.
pub(super) async fn call(scope: &Scope, request: &CallRequest) -> Result<Answer, CallError> {
    let started = Instant::now();
    let outcome = polled::call(scope, request).await;
    match (&request.dialogue.sink, outcome) {
        (Some(sink), Ok(answer)) if result::wants_input(&answer.result) => {
            Box::pin(ask_on(scope, request, sink, answer, started)).await
        }
        (_, outcome) => settled(outcome, &request.dialogue),
    }
}

/// Makes a call again with what its server wants to know, as often as it wants to know more.
async fn ask_on(
    scope: &Scope,
    request: &CallRequest,
    sink: &DialogueSink,
    answer: Answer,
    started: Instant,
) -> Result<Answer, CallError> {
    let _under_way = scope.under_way();
    let end = started + request.timeout.unwrap_or(Duration::MAX).min(scope.longest());
    let dialogue = &request.dialogue;
    let (mut again, mut outcome) = (request.clone(), Ok(answer));
    for _ in 0..ROUNDS {
        let answer = match outcome {
            Ok(answer) if result::wants_input(&answer.result) => answer,
            outcome => return settled(outcome, dialogue),
        };
        let wanted = Wanted::read(&answer.server, &answer.result, dialogue.offered())?;
        let asking = async {
            if wanted.questions.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            ask(&answer.server, sink, wanted.questions).await
        };
        let responses = match timeout_at(end, asking).await {
            Ok(responses) => responses?,
            Err(_) => return Err(late(&answer)),
        };
        let params = wanted::repeated(&again.params, responses.as_deref(), wanted.state.as_deref());
        again.params = Arc::from(params);
        again.timeout = Some(end.saturating_duration_since(Instant::now()));
        outcome = Box::pin(polled::go_on(scope, &again)).await;
    }
    match outcome {
        Ok(answer) if result::wants_input(&answer.result) => Err(CallError::Server {
            server: answer.server,
            error: ErrorObject::new(code::INTERNAL, "the server asks without end"),
        }),
        outcome => settled(outcome, dialogue),
    }
}

/// The caller did not say in time what the server wants to know.
fn late(asked: &Answer) -> CallError {
    let server = asked.server.clone();
    CallError::Failed(Failure {
        kind: Kind::Timeout,
        text: format!("{server} asked something that was not answered in time; the call has ended"),
        server,
        incarnation: asked.incarnation,
        phase: Delivery::Written,
        written: None,
        retry_after: None,
    })
}

/// An outcome for a caller that is not asked any further.
fn settled(
    outcome: Result<Answer, CallError>,
    dialogue: &super::Dialogue,
) -> Result<Answer, CallError> {
    match outcome {
        Ok(answer) if result::wants_input(&answer.result) => {
            Wanted::read(&answer.server, &answer.result, dialogue.offered())?;
            let text = "the server wants the call to be made again later";
            let error = ErrorObject::new(code::UNAVAILABLE, text);
            Err(CallError::Server { server: answer.server, error })
        }
        // A client that knows this error gets it as it is.
        Err(CallError::Server { server, error })
            if error.code() == wanted::URL_REQUIRED && !dialogue.offered().has(Ability::Url) =>
        {
            let result = wanted::told_to_visit(&server, &error);
            Ok(Answer::of(server, result))
        }
        outcome => outcome,
    }
}

/// Asks everything at the same time; gives the raw `inputResponses`.
pub(super) async fn ask(
    server: &ServerName,
    sink: &DialogueSink,
    questions: Vec<Question>,
) -> Result<Option<Box<RawValue>>, CallError> {
    if questions.is_empty() {
        return Ok(None);
    }
    let answers = questions.iter().map(|question| one(server, sink, question));
    let mut responses = Object::default();
    for (question, response) in questions.iter().zip(join_all(answers).await) {
        // An error has no place among the answers: declining a form has, the rest fails the call.
        let response = response.or_else(|error| declined(question.method).map_err(|_| error));
        let response =
            response.map_err(|error| CallError::Server { server: server.clone(), error })?;
        responses.put(&question.key, &*response);
    }
    Ok(Some(responses.to_raw()))
}

async fn one(server: &ServerName, sink: &DialogueSink, question: &Question) -> Response {
    let (sender, answer) = oneshot::channel();
    let reply = Reply::new(question.method, move |response| {
        sender.send(response).ok();
    });
    let (id, params) = (Id::String(question.key.as_str().into()), question.params.clone());
    let server = server.clone();
    let asked = Asked { server, id, method: question.method, params, reply };
    // A caller that is gone drops the reply, which declines.
    drop(sink.send(Told::Asked(asked)).await);
    answer.await.unwrap_or_else(|_| declined(question.method))
}
