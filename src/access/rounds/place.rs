//! A call that waits for its client: what it wants to know is told, the answers are waited for, and
//! its outcome is kept a while.
//!
//! Runs in a task of the gate's. Dropping it cancels the call and declines what it asked.

use std::sync::{Weak, atomic::Ordering};

use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{HELD, ROUNDS, Rounds, TOGETHER};
use crate::{
    access::{
        Answer, Asked, CallError,
        run::{Answers, Next, Outcome, Run},
        seal::{Bound, TTL, Ticket},
        talk::{self, Talk},
        wanted,
    },
    id::ServerName,
    wire::{Abilities, ErrorObject, RawValue, envelope::code},
};

/// A call's place among those that wait; free again when it is dropped.
pub(super) struct Place {
    pub(super) rounds: Weak<Rounds>,
    pub(super) draining: CancellationToken,
    pub(super) id: u128,
}

impl Place {
    /// Asks and goes on until the call has its outcome or its client stays away for too long.
    pub(super) async fn wait(
        &self,
        talk: &Talk,
        mut run: Run,
        asked: Asked,
        bound: &Bound,
        abilities: Abilities,
    ) {
        let server = asked.server.clone();
        let mut asked = vec![asked];
        // The round that whoever waits at present has brought the answers to.
        let mut last = 0;
        loop {
            if timeout(TOGETHER, run.idle()).await.is_err() {
                run.gather(&mut asked);
            }
            if !run.has_ended() && !asked.is_empty() {
                if last >= ROUNDS {
                    let error = ErrorObject::new(code::INTERNAL, "the server asks without end");
                    return talk.finish(last, Err(CallError::Server { server, error }));
                }
                let keys: Vec<String> = (0..asked.len()).map(talk::key).collect();
                let (round, answers) = talk.open(keys.len());
                let Some(wanted) = self.wanted(round, &server, &keys, &asked, bound) else {
                    return;
                };
                let wanted = wanted.map(|result| Answer::of(server.clone(), result));
                talk.tell(last, wanted);
                let Some(answers) = self.answers(answers, &mut run, &mut asked).await else {
                    return;
                };
                run.hear(answers, keys.into_iter().zip(asked.drain(..)));
                last = round;
            }
            // With its outcome it wants to know nothing more.
            asked.clear();
            match run.next().await {
                Next::Asked(next) => asked.push(next),
                Next::Outcome(outcome) => {
                    return self.end(talk, last, outcome, run, bound, abilities).await;
                }
            }
        }
    }

    /// The result that asks; `None` where the gate is gone.
    fn wanted(
        &self,
        round: usize,
        server: &ServerName,
        keys: &[String],
        asked: &[Asked],
        bound: &Bound,
    ) -> Option<Result<Box<RawValue>, CallError>> {
        let rounds = self.rounds.upgrade()?;
        let state = rounds.state(server, bound, Ticket::Parked { talk: self.id, round });
        let questions = keys.iter().zip(asked);
        let questions = questions.map(|(key, asked)| (&**key, asked.method, &*asked.params));
        Some(state.map(|state| wanted::input_required(None, questions, &state)))
    }

    /// Waits for the answers to a round; `None` where nobody can come back with them any more. A
    /// call that ends meanwhile wants none, and keeps its outcome for whoever comes.
    async fn answers(
        &self,
        mut answers: oneshot::Receiver<Answers>,
        run: &mut Run,
        asked: &mut Vec<Asked>,
    ) -> Option<Answers> {
        let given_up = sleep(TTL);
        tokio::pin!(given_up);
        loop {
            tokio::select! {
                answers = &mut answers => return answers.ok(),
                () = run.idle(), if !run.has_ended() => asked.clear(),
                // Dropping what was asked and the call declines the one and cancels the other.
                () = &mut given_up => return None,
                () = self.draining.cancelled() => return None,
            }
        }
    }

    /// Tells an outcome and keeps it for repeated answers.
    async fn end(
        &self,
        talk: &Talk,
        round: usize,
        outcome: Outcome,
        run: Run,
        bound: &Bound,
        abilities: Abilities,
    ) {
        let Some(rounds) = self.rounds.upgrade() else { return };
        let outcome = rounds.finished(None, outcome, abilities, || bound.clone());
        let size = outcome.as_ref().map_or(0, |answer| answer.result.get().len());
        let held = rounds.held.fetch_add(size, Ordering::Relaxed) + size;
        drop(rounds);
        talk.finish(round, outcome);
        drop(run);
        if held <= HELD {
            sleep(TTL).await;
        }
        if let Some(rounds) = self.rounds.upgrade() {
            rounds.held.fetch_sub(size, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(rounds) = self.rounds.upgrade() {
            rounds.talks.lock().remove(&self.id);
        }
    }
}
