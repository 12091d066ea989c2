//! Sessions with connections of their own, for servers that must not be shared.
//!
//! Opened by a session's first call, closed with the session, idle ones after a while; a bounded
//! number for each server. A session's connection serves the catalog that the common one lists.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use ractor::ActorRef;

use super::{AgentMsg, AgentState};
use crate::{
    actor::handle::ConnectionHandle,
    id::{Seat, ServerName, SessionKey},
};

/// How long a connection is kept for the first call of whoever opened it.
const FIRST_CALL: Duration = Duration::from_secs(5);

/// A session's own connection, or why it gets none.
pub(crate) type Opened = Result<Arc<ConnectionHandle>, NotOpened>;

/// Why a session gets no connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// The server left the configuration.
    Unknown,
    /// So many sessions have one, and all of them are in use.
    Full(u32),
}

impl AgentState {
    /// The session's own connection to a server; its first call starts it.
    pub(super) fn open(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: ServerName,
        session: SessionKey,
    ) -> Opened {
        let common = self.children.get(&Seat::common(server.clone()));
        let Some(common) = common.filter(|_| self.stopping.is_none()) else {
            return Err(NotOpened::Unknown);
        };
        let (spec, granted) = (common.spec.clone(), common.granted);
        let seat = Seat::of_session(server, session);
        match self.children.get(&seat) {
            Some(child) if child.removed.is_empty() => return Ok(Arc::clone(&child.handle)),
            // One that is being closed ends by itself.
            Some(_) => self.forget(&seat),
            None => {}
        }
        let limit = self.exchange.settings().limits.session_connections;
        self.make_room(&seat.server, limit)?;
        Ok(self.attach(myself, seat, spec, granted))
    }

    /// Closes the connection that was unused for longest where there are too many.
    fn make_room(&mut self, server: &ServerName, limit: u32) -> Result<(), NotOpened> {
        let mut own: Vec<(Seat, Arc<ConnectionHandle>)> = Vec::new();
        for seat in self.seats(server).into_iter().filter(|seat| seat.session.is_some()) {
            if let Some(child) = self.children.get(&seat).filter(|it| it.removed.is_empty()) {
                own.push((seat, Arc::clone(&child.handle)));
            }
        }
        if own.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
            return Ok(());
        }
        // Whoever asked for one that was never called is on the way to call it.
        own.retain(|(_, handle)| {
            handle.load() == (0, 0)
                && !handle.has_task()
                && !handle.is_watched()
                && (handle.was_called() || handle.unused_for() > FIRST_CALL)
        });
        own.sort_by_key(|(_, handle)| Reverse(handle.unused_for()));
        let (longest, _) = own.first().ok_or(NotOpened::Full(limit))?;
        self.leave(longest, None);
        Ok(())
    }

    /// A session is over: its connections are closed.
    pub(super) fn release(&mut self, session: &SessionKey) {
        let own = |seat: &&Seat| seat.session.as_ref() == Some(session);
        for seat in self.children.keys().filter(own).cloned().collect::<Vec<_>>() {
            self.leave(&seat, None);
        }
    }
}
