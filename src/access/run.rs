//! A call of a modern client while it runs: what its server tells, and what its client is told.
//!
//! Owned by the request that makes the call, then by the task in which it waits. Dropping it
//! cancels the call and declines what it wants to know.

use std::collections::VecDeque;

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Answer, Asked, CallError, CallRequest, DialogueSink, Progress, ProgressSink, Told};
use crate::wire::{Object, RawValue};

pub(super) type Outcome = Result<Answer, CallError>;

/// The way to the client of the present request; a later one has its own.
#[derive(Debug, Default)]
pub(super) struct Outward {
    progress: Option<ProgressSink>,
    told: Option<DialogueSink>,
}

impl Outward {
    /// Takes it from a request.
    pub(super) fn of(request: &mut CallRequest) -> Self {
        Self { progress: request.progress.take(), told: request.dialogue.sink.take() }
    }

    fn hand_on(&self, progress: Progress) {
        if let Some(sink) = &self.progress {
            sink.hand_on(progress);
        }
    }

    pub(super) const fn wants_progress(&self) -> bool {
        self.progress.is_some()
    }
}

/// What a later request brings.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) responses: Option<Box<RawValue>>,
    pub(super) outward: Outward,
}

/// What a call comes to next.
pub(super) enum Next {
    Asked(Asked),
    Outcome(Outcome),
}

/// A call under way.
pub(super) struct Run {
    call: BoxFuture<'static, Outcome>,
    told: mpsc::Receiver<Told>,
    progress: Option<mpsc::Receiver<Progress>>,
    outward: Outward,
    /// What came while the client was away.
    asked: VecDeque<Asked>,
    outcome: Option<Outcome>,
}

impl Run {
    pub(super) fn new(
        call: BoxFuture<'static, Outcome>,
        told: mpsc::Receiver<Told>,
        progress: Option<mpsc::Receiver<Progress>>,
        outward: Outward,
    ) -> Self {
        Self { call, told, progress, outward, asked: VecDeque::new(), outcome: None }
    }

    /// The next question, or the outcome; after that there is nothing to ask for.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            // With an outcome nobody wants to know anything any more.
            if let Some(outcome) = self.outcome.take() {
                return Next::Outcome(outcome);
            }
            if let Some(asked) = self.asked.pop_front() {
                return Next::Asked(asked);
            }
            self.step().await;
        }
    }

    /// Lets the call go on while the client is away, until it has its outcome. May be dropped.
    pub(super) async fn idle(&mut self) {
        while !self.has_ended() {
            self.step().await;
        }
    }

    /// Whether it has its outcome.
    pub(super) const fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }

    /// Takes in one thing that happens.
    async fn step(&mut self) {
        let progressed = async {
            match &mut self.progress {
                Some(progress) => progress.recv().await,
                None => None,
            }
        };
        tokio::select! {
            biased;
            Some(progress) = progressed => self.outward.hand_on(progress),
            Some(told) = self.told.recv() => self.take(told),
            outcome = &mut self.call => {
                // What came with it was told before.
                while let Some(Ok(progress)) = self.progress.as_mut().map(mpsc::Receiver::try_recv)
                {
                    self.outward.hand_on(progress);
                }
                while let Ok(told) = self.told.try_recv() {
                    self.take(told);
                }
                self.outcome = Some(outcome);
            }
        }
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Asked(asked) => self.asked.push_back(asked),
            Told::Withdrawn(id) => self.asked.retain(|asked| asked.id != id),
            aside @ (Told::Logged(..) | Told::Notified(..)) => {
                if let Some(sink) = &self.outward.told {
                    sink.try_send(aside).ok();
                }
            }
        }
    }

    /// Adds the questions that are there already.
    pub(super) fn gather(&mut self, asked: &mut Vec<Asked>) {
        while let Ok(told) = self.told.try_recv() {
            if let Told::Withdrawn(id) = &told {
                asked.retain(|asked| asked.id != *id);
            }
            self.take(told);
        }
        asked.extend(self.asked.drain(..));
        if !asked.is_empty() {
            // From here on nobody hears of progress until somebody comes with answers.
            self.outward = Outward::default();
        }
    }

    /// Takes the answers to what was asked; what was left out is declined.
    pub(super) fn hear(&mut self, answers: Answers, asked: impl Iterator<Item = (String, Asked)>) {
        let responses = answers.responses.as_deref().and_then(Object::read).unwrap_or_default();
        for (key, asked) in asked {
            if let Some(response) = responses.get(&key) {
                asked.reply.give(Ok(response.to_owned()));
            }
        }
        drop(responses);
        self.outward = answers.outward;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn progress_that_came_with_the_outcome_is_told_before_it() {
        let (sink, progress) = ProgressSink::new(8);
        let (out, mut heard) = ProgressSink::new(8);
        let (_told, told) = mpsc::channel(1);
        let call = async move {
            sink.say("one");
            sink.say("two");
            Err(CallError::Draining)
        };
        let outward = Outward { progress: Some(out), told: None };
        let mut run = Run::new(call.boxed(), told, Some(progress), outward);
        assert!(matches!(run.next().await, Next::Outcome(_)));
        assert!(heard.try_recv().is_ok() && heard.try_recv().is_ok());
    }
}
