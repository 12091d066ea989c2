//! What a supervisor does when a connection has ended, and how it ends itself.

use ractor::{ActorCell, ActorProcessingErr, ActorRef};

use super::{AgentMsg, AgentState, BUG_PERIOD, BUGS, after};
use crate::{
    actor::{
        child::Child,
        connection::{ConnectionFailure, ConnectionMsg, Tasks},
        router::RouterMsg,
    },
    id::ServerName,
    restart::{Exit, State},
};

impl AgentState {
    /// A connection's actor ended: what now?
    pub(super) async fn ended(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        cell: &ActorCell,
        ended: ConnectionFailure,
    ) -> Result<(), ActorProcessingErr> {
        let found = self.children.iter_mut().find(|(_, child)| child.is(cell));
        let Some((seat, child)) = found else {
            if self.not_taken_over(cell, &ended) {
                self.route(RouterMsg::Settled);
            }
            return Ok(());
        };
        let seat = seat.clone();
        let bug = matches!(ended.exit, Exit::Bug).then(|| ended.cause.clone());
        let was_ready = child.ladder.state() == State::Ready;
        let tripped = was_ready
            && !matches!(ended.exit, Exit::Asked | Exit::Idle)
            && seat.session.is_none()
            && !self.groups.record(&seat.server, self.exchange.started.elapsed());
        child.abandon(&self.exchange, "the present life ended first");
        let pause = child.ended(&self.exchange, &ended, tripped);
        if child.down_since == Some(child.generation) {
            let grace = self.exchange.settings().catalog.tools_grace;
            let (seat, generation) = (seat.clone(), child.generation);
            after(myself, grace, move || AgentMsg::GraceDue { seat, generation });
        }
        let removed = !child.removed.is_empty();
        let replacement = child.replacement.take();
        let (restart, generation) = (child.restart_cause.take(), child.generation);
        if self.stopping.is_some() {
            self.stop_next(myself);
        } else if let Some((spec, granted)) = replacement {
            if removed {
                self.forget(&seat);
                self.put_seat(myself, seat, spec, granted).await?;
            } else {
                self.replace(myself, seat, spec, granted).await?;
            }
        } else if removed {
            self.forget(&seat);
        } else if let Some(cause) = restart {
            self.start(myself, &seat, &cause).await?;
        } else if let Some(pause) = pause {
            after(myself, pause, move || AgentMsg::RetryDue { seat, generation });
        }
        self.route(RouterMsg::Settled);
        match bug {
            Some(cause) if !self.bugs.record(self.exchange.started.elapsed()) => Err(format!(
                "more than {BUGS} bugs in {} s, the last: {cause}",
                BUG_PERIOD.as_secs()
            )
            .into()),
            _ => Ok(()),
        }
    }

    pub(super) fn shutdown(&mut self, myself: &ActorRef<AgentMsg>) {
        if self.stopping.is_none() {
            let common = self.children.keys().filter(|seat| seat.session.is_none());
            let servers: Vec<ServerName> = common.map(|seat| seat.server.clone()).collect();
            self.stopping = Some(self.groups.stop_order(&servers));
            self.stop_next(myself);
        }
    }

    /// Stops the next phase once every connection of the one before has ended.
    fn stop_next(&mut self, myself: &ActorRef<AgentMsg>) {
        if self.children.values().any(Child::is_closing) {
            return;
        }
        while let Some(phase) = self.stopping.as_mut().and_then(Vec::pop) {
            let mut waiting = false;
            for seat in phase.iter().flat_map(|server| self.seats(server)).collect::<Vec<_>>() {
                if let Some(child) = self.children.get_mut(&seat) {
                    // Whoever shuts down has given the calls their time.
                    let close = ConnectionMsg::Close(Exit::Asked, Tasks::Ended);
                    waiting |= child.drain(&self.exchange, "shutdown", close);
                }
            }
            if waiting {
                return;
            }
        }
        myself.stop(Some("shutdown".to_owned()));
    }

    /// Restarts a group's other members, once for each loss, now that the lost one is ready.
    pub(super) fn restart_siblings(&mut self, lost: &ServerName) {
        let affected = self.groups.affected(lost);
        for seat in affected.iter().flat_map(|server| self.seats(server)).collect::<Vec<_>>() {
            let Some(child) = self.children.get_mut(&seat) else {
                continue;
            };
            if child.ladder.state() == State::Ready {
                child.cycle(&self.exchange, &format!("its group lost {lost}"), Tasks::Left);
            }
        }
    }
}
