//! Owners' supervisors that no longer answer.

use ractor::{ActorProcessingErr, ActorRef};

use super::{AgentsMsg, AgentsState};
use crate::actor::{agent::AgentMsg, vigil::STUCK};

impl AgentsState {
    /// Asks every owner's supervisor for an answer. One that hangs is replaced without waiting for
    /// its end; its connections end now, so that nothing is connected twice for long.
    pub(super) async fn watch(
        &mut self,
        myself: &ActorRef<AgentsMsg>,
    ) -> Result<(), ActorProcessingErr> {
        let mut stuck = Vec::new();
        for (owner, supervised) in &mut self.owners {
            let Some(actor) = &supervised.actor else { continue };
            if supervised.vigil.finds_stuck(actor, AgentMsg::Alive) {
                stuck.push((owner.clone(), actor.get_cell()));
            }
        }
        for (owner, cell) in stuck {
            cell.kill();
            cell.stop_children(Some(STUCK.to_owned()));
            self.died(myself, owner, STUCK).await?;
        }
        Ok(())
    }
}
