//! Names that the snapshot could not place: they wait here while a server that may own them is being
//! connected for the first time.
//!
//! A part of the router's state; nobody else waits for it.

use ractor::RpcReplyPort;

use super::{RouterState, Target};
use crate::{actor::subject::Subject, catalog::Prefix, id::Owner, restart::State};

/// Calls that may wait for a name at a time; beyond, an unknown name is unknown at once.
const MAX_WAITING: usize = 1024;

impl RouterState {
    pub(super) fn resolve(
        &mut self,
        owner: Owner,
        subject: Subject,
        reply: RpcReplyPort<Option<Target>>,
    ) {
        self.publish_due();
        self.waiting.push((owner, subject, reply));
        self.answer_waiting();
    }

    /// Answers every waiting name that is placed now, or that nobody will bring any more.
    pub(super) fn answer_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.publish_due();
        let table = self.exchange.table.load_full();
        for (owner, subject, reply) in std::mem::take(&mut self.waiting) {
            let target = table.owner(&owner).and_then(|view| view.target(&subject, None));
            if target.is_none()
                && self.may_come(&owner, &subject)
                && self.waiting.len() < MAX_WAITING
            {
                if !reply.is_closed() {
                    self.waiting.push((owner, subject, reply));
                }
                continue;
            }
            // The caller may have left.
            reply.send(target).ok();
        }
    }

    /// Whether a server of the owner's view that was never listed may still bring this name.
    fn may_come(&self, owner: &Owner, subject: &Subject) -> bool {
        let Some(scope) = self.scopes.get(owner) else {
            return false;
        };
        let named = subject.is_named() && self.exchange.settings().catalog.prefix == Prefix::Always;
        self.members(owner, &scope.grants).into_iter().any(|(server, definition, _)| {
            let state = definition.handle.standing().state;
            // One that is ready without a catalog has it on the way to this mailbox.
            definition.catalog.is_none()
                && matches!(state, State::Idle | State::Connecting | State::Backoff | State::Ready)
                && (!named || scope.names.may_be_of(server, subject.name()))
        })
    }
}
