//! What an owner's servers offer: told to the router, kept for the time after a restart, and
//! withdrawn from those that are gone for too long.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use ractor::ActorRef;

use super::{AgentMsg, AgentState, after};
use crate::{
    actor::{
        child::Child,
        event::Detail,
        handle::Live,
        kept::{self, Offer, Said},
        router::RouterMsg,
    },
    catalog::{Catalog, Diff},
    id::{Incarnation, Seat},
    wire::extension,
};

/// What is said of a server whose extensions are not all passed on.
const TOO_MUCH: &str =
    "it declares more extensions than 64, or more than 64 KiB of them; some were left out";

impl AgentState {
    /// Tells the router what these offer, as far as it is known and theirs to say.
    pub(super) fn route_offers<'a>(&self, children: impl IntoIterator<Item = &'a Child>) {
        let offers: Vec<Offer> = children.into_iter().filter_map(Child::offer).collect();
        if !offers.is_empty() {
            self.route(RouterMsg::Listed { owner: self.owner.clone(), offers });
        }
    }

    /// What a server offers is known anew: told and kept.
    fn offered(&self, seat: &Seat) {
        let Some(child) = self.children.get(seat) else { return };
        self.route_offers([child]);
        if let Some(offer) = child.offer() {
            kept::put_offer(&*self.exchange.store, &self.owner, &offer, &child.spec.config);
        }
    }

    /// A connection's link is made.
    pub(super) fn up(
        &mut self,
        myself: &ActorRef<AgentMsg>,
        seat: &Seat,
        live: Arc<Live>,
        catalog: Option<Arc<Catalog>>,
    ) {
        let Some(child) = self.children.get(seat) else { return };
        if child.awaits(live.incarnation) && !self.taken_over(seat, &live, catalog.as_ref()) {
            return;
        }
        let Some(child) = self.children.get_mut(seat) else { return };
        if live.incarnation != child.incarnation || child.actor.is_none() {
            return;
        }
        let incarnation = live.incarnation;
        if let Some(catalog) = catalog {
            let known = child.catalog.replace(Arc::clone(&catalog));
            child.listed = Some(incarnation);
            let changed = known.is_none_or(|known| known.hash() != catalog.hash());
            self.exchange.telemetry.listed(seat.server.as_str(), changed);
        }
        if child.lists() {
            let facts = live.link.facts();
            child.said = Said::of(facts);
            let left_out = extension::left_out(&facts.capabilities);
            if left_out > 0 {
                let (owner, server) = (&self.owner, &seat.server);
                tracing::warn!(%owner, %server, left_out, "{TOO_MUCH}");
                let decision = "the rest is shown to clients";
                child.note(&self.exchange, TOO_MUCH, decision, Detail::Step);
            }
        }
        self.offered(seat);
        // After the listing is on its way, so that who sees it ready and asks the router finds
        // its tools.
        let Some(child) = self.children.get_mut(seat) else { return };
        let was_lost = child.ready(&self.exchange, live);
        let place = seat.clone();
        let stable = self.children.get(seat).map_or(Duration::ZERO, Child::stable_after);
        after(myself, stable, move || AgentMsg::StableDue { seat: place, incarnation });
        if was_lost && seat.session.is_none() {
            self.restart_siblings(&seat.server);
        }
    }

    /// A connection's tools were listed again.
    pub(super) fn refreshed(
        &mut self,
        seat: &Seat,
        incarnation: Incarnation,
        catalog: Arc<Catalog>,
    ) {
        let Some(child) = self.children.get_mut(seat) else {
            return;
        };
        if incarnation != child.incarnation || !child.lists() {
            return;
        }
        let known = child.catalog.clone().unwrap_or_default();
        let changed = known.hash() != catalog.hash();
        self.exchange.telemetry.listed(seat.server.as_str(), changed);
        if !changed {
            return;
        }
        let diff = Diff::between(&known, &catalog);
        tracing::info!(owner = %self.owner, server = %seat.server, %diff, "tools changed");
        child.catalog = Some(catalog);
        self.offered(seat);
    }

    /// Withdraws the tools of a server that did not come back within the grace.
    pub(super) fn grace_due(&mut self, seat: &Seat, generation: u64) {
        if let Some(child) = self.children.get_mut(seat)
            && child.down_since == Some(generation)
            && child.catalog.is_some()
        {
            child.catalog = None;
            child.listed = None;
            let (owner, server) = (self.owner.clone(), seat.server.clone());
            self.exchange.store.withdraw(&owner, &server, SystemTime::now());
            self.route(RouterMsg::Withdraw { owner, server });
        }
    }
}
