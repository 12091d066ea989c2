//! Who hears the notifications of extensions, and that a visit to an address is over: sessions whose
//! clients declared it.
//!
//! Owned by the exchange. A notification names no call and no session, so it goes only from a
//! connection of one owner, and only where exactly its server declares the extension.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{handle::ConnectionHandle, router::RoutingTable, watches::Inbox};
use crate::{
    id::{Owner, SessionKey},
    upstream::{Notice, Whose},
};

/// Everybody who hears.
#[derive(Debug, Default)]
pub(crate) struct Audience(Mutex<Hall>);

#[derive(Debug, Default)]
struct Hall {
    listeners: BTreeMap<u64, Listener>,
    last: u64,
}

#[derive(Debug)]
struct Listener {
    owner: Owner,
    session: SessionKey,
    /// What its client declared.
    extensions: Vec<String>,
    /// Whether it is told that a visit to an address is over.
    visits: bool,
    inbox: Arc<Inbox>,
}

/// One who hears. Dropped, it hears no longer.
#[derive(Debug)]
pub(crate) struct Hearing {
    audience: Arc<Audience>,
    number: u64,
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.audience.0.lock().listeners.remove(&self.number);
    }
}

impl Audience {
    /// An owner's session hears the notifications of these extensions from now on, and that visits to
    /// addresses are over if it can be asked for them.
    pub(crate) fn join(
        self: &Arc<Self>,
        owner: &Owner,
        session: &SessionKey,
        extensions: Vec<String>,
        visits: bool,
        inbox: &Arc<Inbox>,
    ) -> Hearing {
        let (owner, session, inbox) = (owner.clone(), session.clone(), Arc::clone(inbox));
        let mut hall = self.0.lock();
        hall.last += 1;
        let number = hall.last;
        hall.listeners.insert(number, Listener { owner, session, extensions, visits, inbox });
        Hearing { audience: Arc::clone(self), number }
    }

    /// A connection's server notifies; gives whether anybody hears it.
    pub(crate) fn tell(
        &self,
        table: &RoutingTable,
        handle: &Arc<ConnectionHandle>,
        notice: &Notice,
    ) -> bool {
        let hears = |listener: &&Listener| {
            let Listener { owner, session, extensions, .. } = listener;
            let view = table.owner(owner);
            let extension = view.and_then(|view| view.notified_by(handle, session, &notice.method));
            extension.is_some_and(|extension| extensions.iter().any(|it| it == extension))
        };
        let hall = self.0.lock();
        let heard = hall.listeners.values().filter(hears);
        heard.filter(|listener| listener.inbox.put_notice(notice)).count() > 0
    }

    /// A visit is over; gives whether its session hears it. Where nobody knows whose it was, it is that
    /// of the one session that it can be.
    pub(crate) fn tell_visited(
        &self,
        handle: &ConnectionHandle,
        whose: Option<&Whose>,
        notice: &Notice,
    ) -> bool {
        let (owner, session) = match whose {
            Some(Whose { owner, session }) => (owner, session.as_ref()),
            None => (&handle.owner, handle.seat.session.as_ref()),
        };
        let is_it = |listener: &&Listener| {
            let may_be = session.is_none_or(|session| *session == listener.session);
            listener.visits && listener.owner == *owner && may_be
        };
        let hall = self.0.lock();
        let mut all = hall.listeners.values().filter(is_it);
        match (all.next(), all.next()) {
            (Some(one), None) => one.inbox.put_notice(notice),
            _ => false,
        }
    }
}
