//! Calls that come through the gate: those of callers who are asked while they run, and those that
//! end with what their server wants to know.
//!
//! Decides nothing by itself: whether a call is made once, waits, becomes a task or is asked for
//! again is the affair of the parts that it goes through.

use super::{
    Answer, CallError, CallRequest, Gate, Principal, Subject, live, once, rounds,
    seal::Bound,
    wanted::{self, Untold},
};
use crate::{
    id::{Owner, SessionKey},
    wire::{Abilities, Era},
};

impl Gate {
    /// Carries out a request of the owner's view. Dropping the future cancels the call. A call without a
    /// session is the principal's: it stands for one where a server is isolated by session.
    ///
    /// A call whose `_meta` has an `io.switchboard/idempotencyKey` is carried out once for its
    /// principal, owner and tool: a repeat joins it, or gets its answer for ten minutes, an unknown
    /// outcome included. It goes on when its caller leaves.
    ///
    /// A call that its server makes into a task has the task's result, unless it asked for a task
    /// (MCP 2025-11-25, `task` in its parameters).
    ///
    /// # Errors
    /// [`CallError`]; what was provably not sent says so.
    pub async fn call(
        &self,
        principal: &Principal,
        owner: &Owner,
        mut request: CallRequest,
    ) -> Result<Answer, CallError> {
        request.session.get_or_insert_with(|| principal.session.clone());
        let scope = self.scope(principal, owner)?;
        if matches!(request.subject, Subject::Task { .. }) {
            return Box::pin(self.task(principal, &scope, Era::Legacy, request)).await;
        }
        self.trace_back(principal, owner, &mut request);
        let abilities = request.dialogue.offered();
        let answer = match once::key(&request.params)? {
            Some(key) => Box::pin(self.once.call(principal, scope, request.clone(), key)).await,
            None => live::call(&scope, &request).await,
        };
        let answer = answer.map_err(|error| self.told(principal, owner, error, abilities))?;
        self.links.heard(principal, owner, &request.subject, &answer);
        self.handed(principal, owner, request.session.as_ref(), answer)
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
    /// asks nothing. One whose caller takes tasks ([`Ability::Tasks`](crate::wire::Ability::Tasks))
    /// may be answered by one; all others have the result of theirs.
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
        let abilities = request.dialogue.abilities;
        request.session.get_or_insert_with(|| principal.session.clone());
        let scope = self.scope(principal, owner)?;
        if matches!(request.subject, Subject::Task { .. }) {
            return Box::pin(self.task(principal, &scope, Era::Modern, request)).await;
        }
        self.trace_back(principal, owner, &mut request);
        if let Some(key) = once::key(&request.params)? {
            if rounds::is_continued(&request.params) {
                // A call under a key asks nothing, so there is none that could go on.
                let why = "an idempotency key belongs to a call's first request; take it out of the \
                           one that brings `inputResponses`";
                return Err(CallError::Invalid(why.to_owned()));
            }
            request.dialogue.abilities = Abilities::NONE;
            let called = self.once.call(principal, scope.clone(), request.clone(), key);
            let outcome = Box::pin(called).await;
            let bound = || Bound::new(principal, owner, request.subject.method(), &request.params);
            let outcome = self.rounds.finished(Some(&scope), outcome, Abilities::NONE, bound);
            return outcome.map_err(|error| {
                let told = wanted::untold(&error, abilities, Untold::Keyed);
                told.unwrap_or_else(|| self.told(principal, owner, error, abilities))
            });
        }
        if matches!(request.subject, Subject::Extension { .. } | Subject::Completion(..)) {
            // Only these can end with what they want to know: tools, prompts, resources (MCP
            // 2026-07-28, multi round-trip requests).
            request.dialogue.abilities = Abilities::NONE;
        }
        let answer = self.rounds.call(principal, &scope, &mut request).await;
        let answer = answer.map_err(|error| self.told(principal, owner, error, abilities))?;
        self.links.heard(principal, owner, &request.subject, &answer);
        self.handed(principal, owner, None, answer)
    }

    /// An error as its caller gets it: one that agents share is not told what that can do.
    fn told(
        &self,
        principal: &Principal,
        owner: &Owner,
        error: CallError,
        abilities: Abilities,
    ) -> CallError {
        let CallError::Server { server, .. } = &error else { return error };
        let is_shared = self.scope(principal, owner).is_ok_and(|scope| scope.is_shared(server));
        let told = is_shared.then(|| wanted::untold(&error, abilities, Untold::Shared)).flatten();
        told.unwrap_or(error)
    }

    /// An answer as its caller gets it: few speak of a task.
    fn handed(
        &self,
        principal: &Principal,
        owner: &Owner,
        session: Option<&SessionKey>,
        answer: Answer,
    ) -> Result<Answer, CallError> {
        if answer.task.is_none() {
            return Ok(answer);
        }
        let scope = self.scope(principal, owner)?;
        self.tasks.handed(principal, &scope, session, answer)
    }
}
