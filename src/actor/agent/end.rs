//! What a supervisor does when a connection has ended, and how it ends itself.

use ractor::{ActorCell, ActorProcessingErr, ActorRef};

use super::{AgentMsg, AgentState, BUG_PERIOD, BUGS, after};
use crate::{
    actor::{
        child::{Child, Ended},
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
        ended: Ended,
    ) -> Result<(), ActorProcessingErr> {
        let found = self.children.iter_mut().find(|(_, child)| child.is(cell));
        let Some((server, child)) = found else {
            return Ok(());
        };
        let server = server.clone();
        let bug = matches!(ended.exit, Exit::Bug).then(|| ended.cause.clone());
        let was_ready = child.ladder.state() == State::Ready;
        let tripped = was_ready
            && !matches!(ended.exit, Exit::Asked | Exit::Idle)
            && !self.groups.record(&server, self.exchange.started.elapsed());
        let pause = child.ended(&self.exchange, &ended, tripped);
        if was_ready {
            let grace = self.exchange.settings().catalog.tools_grace;
            let (server, generation) = (server.clone(), child.generation);
            after(myself, grace, move || AgentMsg::GraceDue { server, generation });
        }
        let removed = !child.removed.is_empty();
        let replacement = child.replacement.take();
        let (restart, generation) = (child.restart_cause.take(), child.generation);
        if self.stopping.is_some() {
            self.stop_next(myself);
        } else if let Some((spec, granted)) = replacement {
            if removed {
                self.forget(&server);
                self.put(myself, server, spec, granted).await?;
            } else {
                self.replace(myself, server, spec, granted).await?;
            }
        } else if removed {
            self.forget(&server);
        } else if let Some(cause) = restart {
            self.start(myself, &server, &cause).await?;
        } else if let Some(pause) = pause {
            after(myself, pause, move || AgentMsg::RetryDue { server, generation });
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
            let servers: Vec<ServerName> = self.children.keys().cloned().collect();
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
            for server in phase {
                if let Some(child) = self.children.get_mut(&server) {
                    waiting |= child.drain(&self.exchange, "shutdown");
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
        for server in self.groups.affected(lost) {
            let Some(child) = self.children.get_mut(&server) else {
                continue;
            };
            if child.ladder.state() == State::Ready {
                child.cycle(&self.exchange, &format!("its group lost {lost}"));
            }
        }
    }
}
