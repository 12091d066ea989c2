//! The next life of a connection, made beside the present one that serves on meanwhile.
//!
//! Part of the supervised connection. It takes over once it is connected and listed; if it fails,
//! the present life stays and says why.

use std::sync::Arc;

use ractor::{ActorCell, ActorRef, RpcReplyPort};

use super::{Child, Life, Step};
use crate::{
    actor::{
        connection::{ConnectionFailure, ConnectionMsg, Tasks},
        event::Detail,
        exchange::{Exchange, ServerSpec},
        handle::Live,
        vigil::{STUCK, Vigil},
    },
    catalog::Catalog,
    id::Incarnation,
    restart::Exit,
};

/// Who waits to hear which life took over, `None` where none served and it is restarted, or why the
/// one before serves on.
pub(crate) type HandedOver = RpcReplyPort<Result<Option<Incarnation>, String>>;

/// A life that is to take over.
#[derive(Debug)]
pub(crate) struct Successor {
    actor: ActorRef<ConnectionMsg>,
    incarnation: Incarnation,
    /// The definition that it was made by.
    spec: ServerSpec,
    life: Life,
    vigil: Vigil,
    reply: Option<HandedOver>,
}

impl Successor {
    pub(crate) fn new(
        actor: ActorRef<ConnectionMsg>,
        incarnation: Incarnation,
        spec: ServerSpec,
        reply: Option<HandedOver>,
    ) -> Self {
        Self { actor, incarnation, spec, life: Life::begin(), vigil: Vigil::default(), reply }
    }

    fn answer(&mut self, outcome: Result<Option<Incarnation>, String>) {
        if let Some(reply) = self.reply.take() {
            // Who asked may have left.
            reply.send(outcome).ok();
        }
    }
}

impl Child {
    /// Whether its present life is to go on.
    pub(crate) const fn is_settled(&self) -> bool {
        !self.closing
            && self.replacement.is_none()
            && self.restart_cause.is_none()
            && self.removed.is_empty()
    }

    /// The definition of its next life.
    pub(crate) fn next_spec(&self) -> ServerSpec {
        self.wanted.as_ref().unwrap_or(&self.spec).clone()
    }

    /// The definition of its next life, where it is another than that of the present one.
    pub(crate) fn take_wanted(&mut self) -> Option<ServerSpec> {
        self.wanted.take()
    }

    /// Another life is made beside the present one.
    pub(crate) fn succeed(&mut self, exchange: &Exchange, successor: Successor, cause: &str) {
        self.abandon(exchange, "another life was asked for");
        let incarnation = successor.incarnation;
        self.successor = Some(successor);
        let decision = format!("connect {incarnation} beside it");
        self.note(exchange, cause, &decision, Detail::Step);
    }

    /// Whether this actor is the life that is to take over.
    pub(crate) fn is_succeeded_by(&self, cell: &ActorCell) -> bool {
        self.successor.as_ref().is_some_and(|next| next.actor.get_id() == cell.get_id())
    }

    /// Whether a life by this definition is to take over.
    pub(crate) fn is_becoming(&self, spec: &ServerSpec) -> bool {
        self.successor.as_ref().is_some_and(|next| next.spec.config == spec.config)
    }

    /// Whether this is the life that is to take over.
    pub(crate) fn awaits(&self, incarnation: Incarnation) -> bool {
        self.successor.as_ref().is_some_and(|next| next.incarnation == incarnation)
    }

    /// The life that was awaited takes over; the present one finishes its calls and ends. Gives
    /// the definition that holds from now on, or nothing where the new life is not good enough.
    pub(crate) fn hand_over(
        &mut self,
        exchange: &Exchange,
        live: &Live,
        catalog: Option<&Arc<Catalog>>,
    ) -> Option<ServerSpec> {
        let offered = self.catalog.as_ref().is_some_and(|catalog| !catalog.tools().is_empty());
        if offered && catalog.is_some_and(|catalog| catalog.tools().is_empty()) {
            let why = "it offers no tools, and the present one does";
            self.not_succeeded(exchange, why, Detail::Step);
            return None;
        }
        let mut successor = self.successor.take()?;
        successor.answer(Ok(Some(live.incarnation)));
        if let Some(before) = self.actor.replace(successor.actor) {
            // One that ended this moment needs no telling.
            let tasks = Tasks::of_successor(successor.spec.program == self.spec.program);
            before.cast(ConnectionMsg::Retire(tasks)).ok();
        }
        self.incarnation = successor.incarnation;
        self.life = successor.life;
        Some(successor.spec)
    }

    /// The life that was awaited ended: the present one serves on.
    pub(crate) fn successor_ended(&mut self, exchange: &Exchange, failure: &ConnectionFailure) {
        let Some(next) = &self.successor else { return };
        let detail = next.life.ended(&self.handle, next.incarnation, failure);
        self.not_succeeded(exchange, &failure.cause, detail);
    }

    fn not_succeeded(&mut self, exchange: &Exchange, why: &str, detail: Detail) {
        let Some(mut successor) = self.successor.take() else { return };
        // It has ended, or must.
        successor.actor.cast(ConnectionMsg::Close(Exit::Asked, Tasks::Left)).ok();
        let incarnation = successor.incarnation;
        successor.answer(Err(format!(
            "{incarnation} did not take over, {} serves on: {why}",
            self.incarnation
        )));
        // Its definition holds all the same as soon as there is no present life to keep.
        self.wanted = Some(successor.spec);
        let cause = format!("{incarnation} did not take over: {why}");
        let decision = format!("{} serves on", self.incarnation);
        self.note(exchange, &cause, &decision, detail);
        let mut standing = self.handle.standing();
        standing.cause = Some(cause.into());
        self.handle.publish(standing);
    }

    /// Asks the life that is to take over for an answer; one that hangs is given up.
    pub(crate) fn watch_successor(&mut self, exchange: &Exchange) {
        let Some(next) = &mut self.successor else { return };
        if next.vigil.finds_stuck(&next.actor, ConnectionMsg::Alive) {
            next.actor.kill();
            self.not_succeeded(exchange, STUCK, Detail::Step);
        }
    }

    /// The life that was awaited is no longer wanted.
    pub(crate) fn abandon(&mut self, exchange: &Exchange, why: &str) {
        let Some(mut successor) = self.successor.take() else { return };
        successor.actor.cast(ConnectionMsg::Close(Exit::Asked, Tasks::Left)).ok();
        successor.answer(Err(why.to_owned()));
        let incarnation = successor.incarnation;
        let cause = format!("{incarnation} is not to take over any more: {why}");
        self.note(exchange, &cause, &format!("close {incarnation}"), Detail::Step);
    }

    /// Records what moves no state.
    pub(crate) fn note(&self, exchange: &Exchange, cause: &str, decision: &str, detail: Detail) {
        let state = self.ladder.state();
        let step = Step { detail, ..Step::new(state, cause, decision) };
        self.record(exchange, state, self.handle.waiting(), step);
    }
}
