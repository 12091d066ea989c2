//! What a supervisor supervises: definitions that come, change and go.
//!
//! Tells the router of each; a connection's handle stays the same through changes, so that calls
//! that wait go on under the new definition.

use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};

use super::{AgentMsg, AgentState, answer};
use crate::{
    actor::{
        change::Change,
        child::Child,
        connection::{ConnectionMsg, Tasks},
        exchange::ServerSpec,
        handle::ConnectionHandle,
        kept,
        router::RouterMsg,
        server::Isolation,
    },
    id::{Seat, ServerName},
    restart::State,
};

impl AgentState {
    /// Tells the router that this owner exists.
    pub(super) fn define(&self) {
        let spec = self.exchange.owners.lock().get(&self.owner).cloned().unwrap_or_default();
        self.route(RouterMsg::Define {
            owner: self.owner.clone(),
            grants: spec.grants,
            filter: spec.filter,
        });
    }

    /// Every connection to a server, the common one first.
    pub(super) fn seats(&self, server: &ServerName) -> Vec<Seat> {
        let from = Seat::common(server.clone());
        let of_server = self.children.range(from..).take_while(|(seat, _)| seat.server == *server);
        of_server.map(|(seat, _)| seat.clone()).collect()
    }

    /// Supervises a connection from now on, without starting it. What its server offered before
    /// a restart is known at once.
    pub(super) fn attach(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        seat: Seat,
        spec: ServerSpec,
        granted: bool,
    ) -> Arc<ConnectionHandle> {
        let handle = self.exchange.handle(&self.owner, &seat).unwrap_or_else(|| {
            let watches = self.exchange.watches(&self.owner, &seat);
            ConnectionHandle::new(self.owner.clone(), seat.clone(), &spec, watches)
        });
        handle.redefine(&spec);
        let (actor, place) = (myself.clone(), seat.clone());
        handle.set_starter(move || {
            actor.cast(AgentMsg::Start { seat: place.clone() }).ok();
        });
        self.exchange.insert(Arc::clone(&handle));
        let policy = self.groups.policy(&seat.server, &self.exchange.settings(), &spec.config);
        self.route_attach(&handle, &spec);
        let mut child = Child::new(Arc::clone(&handle), spec, policy, granted);
        if child.lists() {
            let store = &*self.exchange.store;
            child.take(kept::offer(store, &self.owner, &seat.server, &child.spec.config));
        }
        self.children.insert(seat, child);
        handle
    }

    /// The router places calls by the common connection alone.
    fn route_attach(&self, handle: &Arc<ConnectionHandle>, spec: &ServerSpec) {
        if handle.seat.session.is_none() {
            self.route(RouterMsg::Attach { handle: Arc::clone(handle), spec: spec.clone() });
        }
    }

    fn route_detach(&self, seat: &Seat) {
        if seat.session.is_none() {
            let (owner, server) = (self.owner.clone(), seat.server.clone());
            self.route(RouterMsg::Detach { owner, server });
        }
    }

    async fn add(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        seat: Seat,
        spec: ServerSpec,
        granted: bool,
    ) -> Result<(), ActorProcessingErr> {
        self.attach(myself, seat.clone(), spec, granted);
        self.route_offers(self.children.get(&seat));
        self.start_configured(myself, &seat).await
    }

    /// Starts a connection unless it waits for its first call: a granted server's, a session's.
    /// A lazy one is started all the same if nobody knows its tools.
    pub(super) async fn start_configured(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        seat: &Seat,
    ) -> Result<(), ActorProcessingErr> {
        match self.children.get(seat) {
            Some(child) if child.lists() && !child.waits_for_a_call() => {
                self.start(myself, seat, "configured").await
            }
            Some(child) => {
                child.rest(&self.exchange);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Supervises a server by this definition, over all its connections.
    pub(super) async fn put(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: ServerName,
        spec: ServerSpec,
        granted: bool,
    ) -> Result<(), ActorProcessingErr> {
        for seat in self.seats(&server) {
            if seat.session.is_some() && spec.config.isolation != Isolation::Session {
                self.leave(&seat, None);
            } else if seat.session.is_some() {
                self.put_seat(myself, seat, spec.clone(), granted).await?;
            }
        }
        self.put_seat(myself, Seat::common(server), spec, granted).await
    }

    pub(super) async fn put_seat(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        seat: Seat,
        spec: ServerSpec,
        granted: bool,
    ) -> Result<(), ActorProcessingErr> {
        let Some(child) = self.children.get_mut(&seat) else {
            return self.add(myself, seat, spec, granted).await;
        };
        if let Some(replacement) = &mut child.replacement {
            *replacement = (spec, granted);
            return Ok(());
        }
        let change = Change::between(&child.spec.config, &spec.config);
        if change != Change::Restart {
            child.abandon(&self.exchange, "its definition is what it was again");
            child.take_wanted();
        }
        if change != Change::Restart && child.granted == granted && child.removed.is_empty() {
            if change == Change::InPlace {
                self.redefine(&seat, spec);
            }
            return Ok(());
        }
        if child.is_becoming(&spec) {
            return Ok(());
        }
        if self.may_hand_over(&seat) && !granted {
            return self.hand_over(myself, &seat, spec, "its definition changed", None).await;
        }
        let Some(child) = self.children.get_mut(&seat) else { return Ok(()) };
        let tasks = Tasks::of_successor(child.spec.program == spec.program);
        if child.cycle(&self.exchange, "its definition changed", tasks).is_some() {
            // The old life ends first; its end brings the new definition up.
            child.replacement = Some((spec, granted));
            return Ok(());
        }
        self.replace(myself, seat, spec, granted).await
    }

    /// Serves on under another definition, over the connection that there is.
    fn redefine(&mut self, seat: &Seat, spec: ServerSpec) {
        let Some(child) = self.children.get_mut(seat) else { return };
        // The connection knows its own way to the server, and has its state in it.
        let spec = ServerSpec { connector: Arc::clone(&child.spec.connector), ..spec };
        child.redefined(&spec.config);
        self.adopt(seat, &spec);
    }

    /// Takes a definition for that of the present life, or of the next one.
    pub(super) fn adopt(&mut self, seat: &Seat, spec: &ServerSpec) {
        let Some(child) = self.children.get_mut(seat) else { return };
        child.handle.redefine(spec);
        let policy = self.groups.policy(&seat.server, &self.exchange.settings(), &spec.config);
        child.ladder.set_policy(policy);
        child.spec = spec.clone();
        let handle = Arc::clone(&child.handle);
        self.route_attach(&handle, spec);
    }

    /// Makes what is supervised equal to what is configured.
    pub(super) async fn reconfigure(
        &mut self,
        myself: &ActorRef<AgentMsg>,
    ) -> Result<(), ActorProcessingErr> {
        if self.stopping.is_some() {
            return Ok(());
        }
        let settings = self.exchange.settings();
        self.groups.configure(&settings.groups);
        for (seat, child) in &mut self.children {
            let config = Arc::clone(&child.spec.config);
            child.ladder.set_policy(self.groups.policy(&seat.server, &settings, &config));
            child.redefined(&config);
        }
        let wanted = self.exchange.wanted(&self.owner);
        let gone: Vec<ServerName> = self
            .children
            .iter()
            .filter(|(seat, child)| {
                let is_wanted = wanted.contains_key(&seat.server);
                seat.session.is_none() && !is_wanted && !child.is_leaving()
            })
            .map(|(seat, _)| seat.server.clone())
            .collect();
        for server in gone {
            self.remove(&server, None);
        }
        self.define();
        for (server, (spec, granted)) in wanted {
            self.put(myself, server, spec, granted).await?;
        }
        Ok(())
    }

    /// Puts a new definition in the place of one whose last life has ended. The catalog known so
    /// far stays in the view until the new definition was listed.
    pub(super) async fn replace(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        seat: Seat,
        spec: ServerSpec,
        granted: bool,
    ) -> Result<(), ActorProcessingErr> {
        if spec.is_served_here(granted) {
            self.children.remove(&seat);
            return self.add(myself, seat, spec, granted).await;
        }
        self.forget(&seat);
        Ok(())
    }

    /// Stops a server and forgets it, with all its connections.
    pub(super) fn remove(&mut self, server: &ServerName, reply: Option<RpcReplyPort<()>>) {
        for seat in self.seats(server).into_iter().filter(|seat| seat.session.is_some()) {
            self.leave(&seat, None);
        }
        self.leave(&Seat::common(server.clone()), reply);
    }

    /// Stops one connection and forgets it.
    pub(super) fn leave(&mut self, seat: &Seat, reply: Option<RpcReplyPort<()>>) {
        let Some(child) = self.children.get_mut(seat) else {
            return answer(reply);
        };
        child.removed.push(reply);
        child.replacement = None;
        let cause = if seat.session.is_some() {
            "its session is over"
        } else {
            child.handle.set_removed();
            "removed from the configuration"
        };
        let ending = child.drain(&self.exchange, cause, ConnectionMsg::Retire(Tasks::Ended));
        self.route_detach(seat);
        if !ending {
            self.forget(seat);
        }
    }

    pub(super) fn forget(&mut self, seat: &Seat) {
        let child = self.children.remove(seat);
        self.exchange.remove(&self.owner, seat);
        self.route_detach(seat);
        if let Some(mut child) = child {
            // Whoever still waits at its handle waits in vain.
            if child.handle.standing().state != State::Stopped {
                let way = ConnectionMsg::Retire(Tasks::Ended);
                child.drain(&self.exchange, "removed or disabled", way);
            }
            // Only now is the name free.
            child.removed.into_iter().for_each(answer);
        }
    }

    pub(super) fn announce(&mut self, router: ActorRef<RouterMsg>) {
        self.router = router;
        self.define();
        for child in self.children.values() {
            self.route_attach(&child.handle, &child.spec);
        }
        self.route_offers(self.children.values());
    }
}
