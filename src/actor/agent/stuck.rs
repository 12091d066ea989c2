//! Connections that no longer answer.

use ractor::{ActorProcessingErr, ActorRef};

use super::{AgentMsg, AgentState};
use crate::actor::{
    connection::{ConnectionFailure, ConnectionMsg},
    vigil::STUCK,
};

impl AgentState {
    /// Asks every connection for an answer. One that hangs is given up as a bug without waiting
    /// for its end, which comes when its handler returns, if ever; its link ends now.
    pub(super) async fn watch(
        &mut self,
        myself: &ActorRef<AgentMsg>,
    ) -> Result<(), ActorProcessingErr> {
        let mut stuck = Vec::new();
        for child in self.children.values_mut() {
            child.watch_successor(&self.exchange);
            let Some(actor) = &child.actor else { continue };
            if child.vigil.finds_stuck(actor, ConnectionMsg::Alive) {
                stuck.push((actor.get_cell(), child.handle.standing().live));
            }
        }
        for (cell, live) in stuck {
            cell.kill();
            if let Some(live) = live {
                live.link.kill();
            }
            self.ended(myself, &cell, ConnectionFailure::bug(STUCK)).await?;
        }
        Ok(())
    }
}
