//! A call whose caller answers its server's questions by itself, in the same future.
//!
//! Drives the call and the answers together. It keeps nothing: when the call has ended, or nobody
//! waits for it any more, answers that are still being thought of are dropped.

use std::{collections::HashMap, pin::pin};

use futures::{
    StreamExt as _,
    future::{AbortHandle, abortable},
    stream::FuturesUnordered,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Asked, CallError, CallRequest, DialogueSink, Gate, Principal, Told, run::Outcome,
};
use crate::{id::Owner, wire::Id};

/// What a call tells that is not taken yet, at most.
const WAITING: usize = 64;

impl Gate {
    /// Carries out a request as [`Gate::call`] does, for a program that answers by itself what the
    /// server wants to know: each question is given to `answer`, which answers it with its
    /// [`Reply`](super::Reply), or declines by dropping it. Several may be open at once. What may be
    /// asked stands in the request's `dialogue.abilities`; a server of either era asks in the same way.
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
        let (sink, told) = DialogueSink::new(WAITING);
        request.dialogue.sink = Some(sink);
        let draining = self.draining();
        call(Box::pin(self.call(principal, owner, request)), told, answer, draining).await
    }
}

/// Carries a call out, and has each question that it tells answered.
async fn call<A: Future<Output = ()>>(
    call: impl Future<Output = Outcome>,
    mut told: mpsc::Receiver<Told>,
    answer: impl Fn(Asked) -> A,
    draining: CancellationToken,
) -> Outcome {
    let mut call = pin!(call);
    let mut answers = FuturesUnordered::new();
    let mut open = HashMap::<Id, AbortHandle>::new();
    loop {
        tokio::select! {
            biased;
            outcome = &mut call => return outcome,
            // Nobody is waited for any more.
            () = draining.cancelled(), if !answers.is_empty() => answers.clear(),
            Some(told) = told.recv() => match told {
                Told::Asked(_) if draining.is_cancelled() => {}
                Told::Asked(asked) => {
                    let id = asked.id.clone();
                    let (answer, abort) = abortable(answer(asked));
                    open.insert(id, abort);
                    answers.push(answer);
                }
                Told::Withdrawn(id) => if let Some(abort) = open.remove(&id) {
                    abort.abort();
                },
                Told::Logged(..) | Told::Notified(..) => {}
            },
            Some(_) = answers.next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed};

    use super::*;
    use crate::{
        access::{CallError, Reply},
        id::ServerName,
        wire::{RawValue, method},
    };

    #[tokio::test]
    async fn an_answer_that_is_no_longer_wanted_is_not_waited_for() {
        let (sink, told) = DialogueSink::new(WAITING);
        let was_dropped = Arc::new(AtomicBool::new(false));
        let dropped = Arc::clone(&was_dropped);
        let carried_out = async move {
            let reply = Reply::new(method::ELICIT, move |_| dropped.store(true, Relaxed));
            let params = RawValue::from_string("{}".to_owned()).unwrap();
            let (server, id) = (ServerName::new("asker").unwrap(), Id::String("q".into()));
            let asked = Asked { server, id: id.clone(), method: method::ELICIT, params, reply };
            sink.send(Told::Asked(asked)).await.unwrap();
            tokio::task::yield_now().await;
            sink.send(Told::Withdrawn(id)).await.unwrap();
            while !was_dropped.load(Relaxed) {
                tokio::task::yield_now().await;
            }
            Err(CallError::Draining)
        };
        let forever = |asked: Asked| async move {
            std::future::pending::<()>().await;
            drop(asked);
        };
        let outcome = call(carried_out, told, forever, CancellationToken::new()).await;
        assert!(matches!(outcome, Err(CallError::Draining)));
    }
}
