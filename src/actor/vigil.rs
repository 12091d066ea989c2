//! Whether an actor still answers: a question that goes down the tree, from the root, as often as
//! servers are checked. Each parent asks its children and replaces one that hangs in a handler.
//!
//! Counted in questions and never by the clock: a process that was stopped for an hour, or a
//! machine that is busy, finds its actors late by one question and not stuck.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ractor::{ActorId, ActorRef, Message};

/// What is said of an actor that hangs.
pub(crate) const STUCK: &str = "it no longer answers";

/// Questions in a row, a whole interval apart, that find the one before them unanswered.
const PATIENCE: u32 = 2;

/// A question; who handles it answers it first.
#[derive(Clone, Debug)]
pub(crate) struct Question(Arc<AtomicBool>);

impl Question {
    /// I am here.
    pub(crate) fn answer(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a parent knows of the answers of one child.
#[derive(Debug, Default)]
pub(crate) struct Vigil {
    of: Option<ActorId>,
    /// The question that was asked last.
    open: Option<Question>,
    /// How often it was found unanswered.
    silent: u32,
}

impl Vigil {
    /// Asks once more if the last question was answered; says whether the child is stuck.
    pub(crate) fn finds_stuck<M: Message>(
        &mut self,
        child: &ActorRef<M>,
        message: impl FnOnce(Question) -> M,
    ) -> bool {
        if self.of != Some(child.get_id()) {
            *self = Self { of: Some(child.get_id()), ..Self::default() };
        }
        if self.open.as_ref().is_some_and(|open| !open.0.load(Ordering::Relaxed)) {
            self.silent += 1;
            return self.silent >= PATIENCE;
        }
        self.silent = 0;
        let question = Question(Arc::default());
        // The end of one that is gone is on its way to its parent.
        self.open = child.cast(message(question.clone())).is_ok().then_some(question);
        false
    }
}
