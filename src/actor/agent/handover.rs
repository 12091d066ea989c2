//! How a supervisor replaces a life: cold, where calls wait meanwhile, or by a handover, where the
//! next one is made beside it, checked, and takes over, and the one before finishes its calls.
//!
//! A handover is only for the common connection of a server that is ready.

use std::sync::Arc;

use ractor::{ActorCell, ActorProcessingErr, ActorRef};

use super::{AgentMsg, AgentState, spawn};
use crate::{
    actor::{
        child::{Child, HandedOver, Successor},
        connection::{ConnectionFailure, Tasks},
        exchange::ServerSpec,
        handle::Live,
    },
    catalog::Catalog,
    id::{Seat, ServerName, SessionKey},
    restart::State,
    upstream::Protocol,
};

impl AgentState {
    /// Restarts every connection to a server, or one session's own; a session's own only if it has
    /// one at the moment.
    pub(super) async fn restart(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: &ServerName,
        session: Option<&SessionKey>,
    ) -> Result<(), ActorProcessingErr> {
        let cause = "restart was asked for";
        for seat in self.seats(server) {
            if session.is_some() && seat.session.as_ref() != session {
                continue;
            }
            let Some(child) = self.children.get_mut(&seat) else { continue };
            if child.actor.is_none()
                && child.ladder.state() == State::Idle
                && seat.session.is_some()
            {
                continue;
            }
            child.ladder.reset();
            child.generation += 1;
            if child.cycle(&self.exchange, cause, Tasks::Left).is_none() {
                self.start(myself, &seat, cause).await?;
            }
        }
        Ok(())
    }

    /// Whether a new life can be made beside the present one.
    pub(super) fn may_hand_over(&self, seat: &Seat) -> bool {
        self.stopping.is_none()
            && self.children.get(seat).is_some_and(|child| {
                child.lists() && child.ladder.state() == State::Ready && child.is_settled()
            })
    }

    /// Makes another life of a server by the definition that it has; a server that does not serve
    /// is restarted.
    pub(super) async fn hand_over_asked(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: &ServerName,
        reply: HandedOver,
    ) -> Result<(), ActorProcessingErr> {
        let seat = Seat::common(server.clone());
        let spec = self.children.get(&seat).map(Child::next_spec);
        match spec {
            Some(spec) if self.may_hand_over(&seat) => {
                let cause = "a handover was asked for";
                self.hand_over(myself, &seat, spec, cause, Some(reply)).await
            }
            _ => {
                self.restart(myself, server, None).await?;
                // Who asked may have left.
                reply.send(Ok(None)).ok();
                Ok(())
            }
        }
    }

    /// Makes another life beside the present one.
    pub(super) async fn hand_over(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        seat: &Seat,
        spec: ServerSpec,
        cause: &str,
        reply: Option<HandedOver>,
    ) -> Result<(), ActorProcessingErr> {
        let Some(child) = self.children.get_mut(seat) else { return Ok(()) };
        let incarnation = child.handle.issue();
        // What was found of the present definition may not hold for another.
        let same = child.spec.config.transport == spec.config.transport;
        let protocol: Protocol = if same { child.protocol() } else { spec.config.protocol };
        let mut args = child.arguments(&self.exchange, myself, true);
        args.spec = spec.clone();
        args.incarnation = incarnation;
        args.protocol = protocol;
        let successor = Successor::new(spawn(myself, args).await?, incarnation, spec, reply);
        child.succeed(&self.exchange, successor, cause);
        Ok(())
    }

    /// A life that was awaited is connected. Says whether it serves from now on.
    pub(super) fn taken_over(
        &mut self,
        seat: &Seat,
        live: &Live,
        catalog: Option<&Arc<Catalog>>,
    ) -> bool {
        let child = self.children.get_mut(seat);
        let spec = child.and_then(|child| child.hand_over(&self.exchange, live, catalog));
        if let Some(spec) = spec {
            self.adopt(seat, &spec);
            return true;
        }
        false
    }

    /// A life that was awaited ended. Says whether it was one.
    pub(super) fn not_taken_over(&mut self, cell: &ActorCell, failure: &ConnectionFailure) -> bool {
        let found = self.children.values_mut().find(|child| child.is_succeeded_by(cell));
        match found {
            Some(child) => {
                child.successor_ended(&self.exchange, failure);
                true
            }
            None => false,
        }
    }
}
