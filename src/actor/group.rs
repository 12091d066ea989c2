//! Groups: servers that fail together, and the order in which connections stop.
//!
//! Pure bookkeeping for one supervisor, over the strategies and meters of `restart`.

use std::{collections::BTreeMap, time::Duration};

use super::{exchange::Settings, server::ServerConfig, settings::GroupConfig};
use crate::{
    id::ServerName,
    restart::{Meter, Policy, Strategy},
};

/// One group.
#[derive(Debug)]
struct Group {
    servers: Vec<ServerName>,
    strategy: Strategy,
    losses: Meter,
}

impl Group {
    fn is_like(&self, other: &Self) -> bool {
        self.servers == other.servers
            && self.strategy == other.strategy
            && self.losses.intensity() == other.losses.intensity()
            && self.losses.period() == other.losses.period()
    }
}

/// The groups that a supervisor knows; members that it does not supervise do not matter.
#[derive(Debug)]
pub(crate) struct Groups(Vec<Group>);

impl Groups {
    pub(crate) fn new(configs: &BTreeMap<String, GroupConfig>) -> Self {
        let group = |config: &GroupConfig| Group {
            servers: config.servers.clone(),
            strategy: config.strategy,
            losses: Meter::new(config.intensity, config.period),
        };
        Self(configs.values().map(group).collect())
    }

    /// Takes other definitions; a group that stays the same keeps its losses.
    pub(crate) fn configure(&mut self, configs: &BTreeMap<String, GroupConfig>) {
        let mut wanted = Self::new(configs);
        for group in &mut wanted.0 {
            let known = self.0.iter_mut().find(|known| known.is_like(group));
            if let Some(known) = known {
                std::mem::swap(known, group);
            }
        }
        *self = wanted;
    }

    fn of(&self, server: &ServerName) -> Option<&Group> {
        self.0.iter().find(|group| group.servers.contains(server))
    }

    /// Counts a loss; false if the group has had more than its intensity allows.
    pub(crate) fn record(&mut self, server: &ServerName, now: Duration) -> bool {
        match self.0.iter_mut().find(|group| group.servers.contains(server)) {
            Some(group) => group.losses.record(now),
            None => true,
        }
    }

    /// The members that are restarted after this one was lost and is ready again.
    pub(crate) fn affected(&self, lost: &ServerName) -> Vec<ServerName> {
        self.of(lost).map_or_else(Vec::new, |group| {
            group.strategy.affected(&group.servers, lost).into_iter().cloned().collect()
        })
    }

    /// The ladder's policy of one server.
    pub(crate) fn policy(
        &self,
        server: &ServerName,
        settings: &Settings,
        config: &ServerConfig,
    ) -> Policy {
        let monitoring = &settings.monitoring;
        let mut policy = Policy {
            restart: config.restart,
            reconnect: monitoring.enable_reconnection,
            cap: Duration::from_secs(u64::from(monitoring.reconnection_seconds)),
            ..Policy::default()
        };
        if let Some(group) = self.of(server) {
            policy.intensity = group.losses.intensity();
            policy.period = group.losses.period();
        }
        policy
    }

    /// Phases of a shutdown, to be taken from the end: members of a group stop one after another,
    /// the last started first; everything else stops with the first phase.
    pub(crate) fn stop_order(&self, servers: &[ServerName]) -> Vec<Vec<ServerName>> {
        let mut phases: Vec<Vec<ServerName>> = Vec::new();
        for server in servers {
            let from_end = self.of(server).map_or(0, |group| {
                group.servers.iter().rev().position(|member| member == server).unwrap_or(0)
            });
            if phases.len() <= from_end {
                phases.resize_with(from_end + 1, Vec::new);
            }
            if let Some(phase) = phases.get_mut(from_end) {
                phase.push(server.clone());
            }
        }
        phases.reverse();
        phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        ServerName::new(text).unwrap()
    }

    fn groups(strategy: Strategy) -> Groups {
        let config = GroupConfig {
            servers: ["tunnel", "sql", "cache"].map(name).to_vec(),
            strategy,
            intensity: 1,
            period: Duration::from_mins(1),
        };
        Groups::new(&BTreeMap::from([("database".to_owned(), config)]))
    }

    #[test]
    fn a_group_stops_in_reverse_and_the_rest_at_once() {
        let groups = groups(Strategy::OneForOne);
        let mut order = groups.stop_order(&["alone", "cache", "sql", "tunnel"].map(name));
        assert_eq!(order.pop().unwrap(), ["alone", "cache"].map(name));
        assert_eq!(order.pop().unwrap(), [name("sql")]);
        assert_eq!(order.pop().unwrap(), [name("tunnel")]);
        assert!(order.is_empty());
    }

    #[test]
    fn losses_are_counted_for_the_whole_group() {
        let mut groups = groups(Strategy::RestForOne);
        assert_eq!(groups.affected(&name("sql")), [name("cache")]);
        assert!(groups.affected(&name("alone")).is_empty());
        let now = Duration::from_secs(1);
        assert!(groups.record(&name("tunnel"), now));
        assert!(!groups.record(&name("sql"), now));
        assert!(groups.record(&name("alone"), now));
    }
}
