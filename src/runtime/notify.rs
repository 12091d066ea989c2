//! Notifications of clients for their servers: those of extensions, and that a session's roots
//! changed.
//!
//! Nothing waits for a server that is not connected: a notification that nobody can take is
//! dropped, as the protocol allows.

use std::sync::Arc;

use super::RuntimeHandle;
use crate::{
    actor::{handle::ConnectionHandle, subject::Subject},
    id::{Owner, Seat, SessionKey},
    wire::{Object, RawValue, extension, method},
};

impl RuntimeHandle {
    /// Passes a notification on to whom it concerns.
    pub(crate) fn notify(
        &self,
        owner: &Owner,
        session: &SessionKey,
        method: &str,
        params: Option<&RawValue>,
    ) {
        if method == method::ROOTS_CHANGED {
            for handle in self.of_session(owner, session) {
                if let Some(live) = handle.standing().live {
                    self.aside(async move { live.link.roots_changed().await });
                }
            }
        } else if extension::may_own(method) {
            self.extend(owner, session, method, params);
        }
    }

    /// Has something sent that nobody waits for, so that a server which takes nothing holds up no
    /// client.
    fn aside(&self, sent: impl Future<Output = ()> + Send + 'static) {
        self.tree.exchange.tracker.spawn(sent);
    }

    /// The connections that a session has for itself.
    fn of_session(&self, owner: &Owner, session: &SessionKey) -> Vec<Arc<ConnectionHandle>> {
        let mut handles = self.tree.exchange.handles();
        handles.retain(|it| it.owner == *owner && it.seat.session.as_ref() == Some(session));
        handles
    }

    fn extend(&self, owner: &Owner, session: &SessionKey, method: &str, params: Option<&RawValue>) {
        let uri = Object::read_optional(params)
            .and_then(|params| params.text("uri").map(std::borrow::Cow::into_owned));
        let subject = Subject::Extension { method: method.to_owned(), uri };
        let target = {
            let table = self.tree.exchange.table.load();
            table.owner(owner).and_then(|view| view.target(&subject, None))
        };
        let Some(target) = target else { return };
        let params = params.map(|params| Arc::from(params.to_owned()));
        let params = params.map(|params| super::dispatch::for_server(&params, &subject, &target));
        let server = target.route.handle.seat.server.clone();
        let handle = if target.route.by_session {
            let seat = Seat::of_session(server, session.clone());
            self.tree.exchange.handle(owner, &seat)
        } else {
            Some(target.route.handle)
        };
        if let Some(live) = handle.and_then(|handle| handle.standing().live) {
            let method = method.to_owned();
            self.aside(async move { live.link.notify(&method, params.as_deref()).await });
        }
    }
}
