//! The rounds of one call that waits for answers: what each was told, and what is still to come.
//!
//! Shared by the task that carries the call and the requests that bring answers. Answers are taken
//! once; whoever repeats them gets what came of the first.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::{
    CallError, Principal,
    run::{Answers, Outcome, Outward},
};
use crate::{
    id::ServerName,
    wire::{Object, RawValue},
};

/// What a question of a round is called, by its place.
pub(super) fn key(place: usize) -> String {
    format!("q{place}")
}

/// One call that waits.
pub(super) struct Talk {
    pub(super) principal: Principal,
    pub(super) server: ServerName,
    rounds: Mutex<Vec<Round>>,
    finished: AtomicBool,
}

struct Round {
    /// How many questions it has.
    questions: usize,
    /// Gone once the answers were taken; the request that opened the call brings none.
    answers: Option<oneshot::Sender<Answers>>,
    /// What whoever brings the answers is told: the next round, or the outcome.
    told: watch::Sender<Option<Outcome>>,
}

impl Talk {
    pub(super) fn new(principal: &Principal, server: &ServerName) -> Self {
        let opening = Round { questions: 0, answers: None, told: watch::Sender::new(None) };
        Self {
            principal: principal.clone(),
            server: server.clone(),
            rounds: Mutex::new(vec![opening]),
            finished: AtomicBool::new(false),
        }
    }

    /// Whether it still runs.
    pub(super) fn waits(&self) -> bool {
        !self.finished.load(Ordering::Relaxed)
    }

    /// The call has its outcome, which a round comes to.
    pub(super) fn finish(&self, round: usize, outcome: Outcome) {
        self.finished.store(true, Ordering::Relaxed);
        self.tell(round, outcome);
    }

    /// What the request that opened the call is told.
    pub(super) async fn first(&self) -> Outcome {
        self.wait(0).await
    }

    /// Opens the next round, with so many questions; gives its number and where its answers come
    /// from.
    pub(super) fn open(&self, questions: usize) -> (usize, oneshot::Receiver<Answers>) {
        let (answers, taken) = oneshot::channel();
        let mut rounds = self.rounds.lock();
        rounds.push(Round { questions, answers: Some(answers), told: watch::Sender::new(None) });
        (rounds.len() - 1, taken)
    }

    /// What a round comes to.
    pub(super) fn tell(&self, round: usize, outcome: Outcome) {
        if let Some(round) = self.rounds.lock().get(round) {
            round.told.send_replace(Some(outcome));
        }
    }

    /// Brings the answers to a round and waits for what comes of them. Without one for each
    /// question the round stays open.
    pub(super) async fn answer(
        &self,
        round: usize,
        responses: Option<Box<RawValue>>,
        outward: Outward,
    ) -> Outcome {
        let answers = {
            let mut rounds = self.rounds.lock();
            let open = rounds.get_mut(round).filter(|round| round.answers.is_some());
            if let Some(open) = &open {
                let given = responses.as_deref().and_then(Object::read).unwrap_or_default();
                if let Some(lacking) =
                    (0..open.questions).map(key).find(|key| given.get(key).is_none())
                {
                    let why = format!("`inputResponses` has no answer to `{lacking}`");
                    return Err(CallError::Invalid(why));
                }
            }
            open.and_then(|round| round.answers.take())
        };
        if let Some(answers) = answers {
            // Its task is gone only if the call is, which ends the wait below.
            answers.send(Answers { responses, outward }).ok();
        }
        self.wait(round).await
    }

    async fn wait(&self, round: usize) -> Outcome {
        let told = self.rounds.lock().get(round).map(|round| round.told.subscribe());
        let Some(mut told) = told else { return Err(CallError::Draining) };
        match told.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(CallError::Draining)),
            Err(_) => Err(CallError::Draining),
        }
    }
}
