//! What a supervisor supervises: definitions that come, change and go.
//!
//! Tells the router of each; a connection's handle stays the same through changes, so that calls
//! that wait go on under the new definition.

use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};

use super::{AgentMsg, AgentState, answer};
use crate::{
    actor::{
        child::Child, exchange::ServerSpec, handle::ConnectionHandle, router::RouterMsg,
        server::Isolation,
    },
    id::ServerName,
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

    /// Supervises a server from now on, without starting it.
    pub(super) fn attach(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: ServerName,
        spec: ServerSpec,
        granted: bool,
    ) {
        // A granted server whose connection is shared is the store's affair.
        if !spec.config.enabled || (granted && spec.config.isolation == Isolation::Shared) {
            return;
        }
        let handle = self
            .exchange
            .handle(&self.owner, &server)
            .unwrap_or_else(|| ConnectionHandle::new(self.owner.clone(), server.clone(), &spec));
        handle.redefine(&spec);
        let (actor, name) = (myself.clone(), server.clone());
        handle.set_starter(move || {
            actor.cast(AgentMsg::Start { server: name.clone() }).ok();
        });
        self.exchange.insert(Arc::clone(&handle));
        let policy = self.groups.policy(&server, &self.exchange.settings(), &spec.config);
        self.route(RouterMsg::Attach { handle: Arc::clone(&handle), spec: spec.clone() });
        self.children.insert(server, Child::new(handle, spec, policy, granted));
    }

    async fn add(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: ServerName,
        spec: ServerSpec,
        granted: bool,
    ) -> Result<(), ActorProcessingErr> {
        self.attach(myself, server.clone(), spec, granted);
        self.start_configured(myself, &server).await
    }

    /// Starts a server unless it was granted and waits for its first call. A lazy one is started
    /// once all the same, so that its tools are known.
    pub(super) async fn start_configured(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: &ServerName,
    ) -> Result<(), ActorProcessingErr> {
        match self.children.get(server) {
            Some(child) if !child.granted => self.start(myself, server, "configured").await,
            Some(child) => {
                child.rest(&self.exchange);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) async fn put(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: ServerName,
        spec: ServerSpec,
        granted: bool,
    ) -> Result<(), ActorProcessingErr> {
        let Some(child) = self.children.get_mut(&server) else {
            return self.add(myself, server, spec, granted).await;
        };
        if child.cycle(&self.exchange, "its definition changed").is_some() {
            // The old life ends first; its end brings the new definition up.
            child.replacement = Some(spec);
            return Ok(());
        }
        self.replace(myself, server, spec, granted).await
    }

    /// Puts a new definition in the place of one whose last life has ended. The catalog known so
    /// far stays in the view until the new definition was listed.
    pub(super) async fn replace(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        server: ServerName,
        spec: ServerSpec,
        granted: bool,
    ) -> Result<(), ActorProcessingErr> {
        if spec.config.enabled {
            self.children.remove(&server);
            return self.add(myself, server, spec, granted).await;
        }
        if let Some(child) = self.children.get_mut(&server) {
            child.drain(&self.exchange, "disabled");
        }
        self.forget(&server);
        Ok(())
    }

    pub(super) fn remove(&mut self, server: &ServerName, reply: Option<RpcReplyPort<()>>) {
        let Some(child) = self.children.get_mut(server) else {
            return answer(reply);
        };
        child.removed.push(reply);
        let ending = child.drain(&self.exchange, "removed from the configuration");
        self.route(RouterMsg::Detach { owner: self.owner.clone(), server: server.clone() });
        if !ending {
            self.forget(server);
        }
    }

    pub(super) fn forget(&mut self, server: &ServerName) {
        if let Some(child) = self.children.remove(server) {
            child.removed.into_iter().for_each(answer);
        }
        self.exchange.remove(&self.owner, server);
        self.route(RouterMsg::Detach { owner: self.owner.clone(), server: server.clone() });
    }

    pub(super) fn announce(&mut self, router: ActorRef<RouterMsg>) {
        self.router = router;
        self.define();
        for child in self.children.values() {
            self.route(RouterMsg::Attach {
                handle: Arc::clone(&child.handle),
                spec: child.spec.clone(),
            });
            if let Some(catalog) = &child.catalog {
                self.route(RouterMsg::Listed {
                    owner: self.owner.clone(),
                    server: child.handle.server.clone(),
                    catalog: Arc::clone(catalog),
                    instructions: child.instructions.clone(),
                });
            }
        }
    }
}
