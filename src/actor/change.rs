//! What a new definition means for what runs: nothing, a change in place, or a new life.
//!
//! Pure comparison of definitions; supervisors carry out what it says.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{exchange::OwnerSpec, server::ServerConfig};
use crate::id::Owner;

/// What another definition means for a server's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is the same.
    Nothing,
    /// The connection serves on under it.
    InPlace,
    /// The connection must be made anew.
    Restart,
}

impl Change {
    /// From one definition to another. Only how a server is reached needs a new connection, and
    /// what it was told when that was made: whether there are roots, not which.
    pub(crate) fn between(present: &ServerConfig, wanted: &ServerConfig) -> Self {
        if present == wanted {
            Self::Nothing
        } else if present.transport == wanted.transport
            && present.protocol == wanted.protocol
            && present.roots.is_empty() == wanted.roots.is_empty()
        {
            Self::InPlace
        } else {
            Self::Restart
        }
    }
}

/// What a new configuration touched. Names are `server` for the store's and `agent/server` for an
/// agent's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Servers that came.
    pub added: Vec<String>,
    /// Servers that went, disabled ones among them.
    pub removed: Vec<String>,
    /// Servers that are being connected anew; one that is ready serves on until its next life does.
    pub restarted: Vec<String>,
    /// Servers that serve on under another definition.
    pub in_place: Vec<String>,
    /// Agents that came, went, or see something else.
    pub agents: Vec<String>,
    /// Whether anything else differs: monitoring, timeouts, limits, groups, naming.
    pub settings: bool,
}

impl Changes {
    /// Whether nothing was touched at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// From what one configuration defines to what another does.
    pub(crate) fn between(
        present: &BTreeMap<Owner, OwnerSpec>,
        wanted: &BTreeMap<Owner, OwnerSpec>,
        settings: bool,
    ) -> Self {
        let mut changes = Self { settings, ..Self::default() };
        let none = OwnerSpec::default();
        let owners = present.keys().chain(wanted.keys().filter(|it| !present.contains_key(*it)));
        for owner in owners {
            let (before, after) = (present.get(owner), wanted.get(owner));
            let same_view = match (before, after) {
                (Some(before), Some(after)) => {
                    before.grants == after.grants && before.filter == after.filter
                }
                _ => false,
            };
            if !same_view {
                changes.agents.push(owner.to_string());
            }
            changes.servers(owner, before.unwrap_or(&none), after.unwrap_or(&none));
        }
        changes
    }

    fn servers(&mut self, owner: &Owner, before: &OwnerSpec, after: &OwnerSpec) {
        let enabled = |spec: &OwnerSpec| -> BTreeMap<_, _> {
            let servers = spec.servers.iter().filter(|(_, spec)| spec.config.enabled);
            servers.map(|(name, spec)| (name.clone(), spec.clone())).collect()
        };
        let (before, after) = (enabled(before), enabled(after));
        let name = |server: &dyn fmt::Display| match owner {
            Owner::Store => server.to_string(),
            Owner::Agent(agent) => format!("{agent}/{server}"),
        };
        for (server, present) in &before {
            match after.get(server).map(|it| Change::between(&present.config, &it.config)) {
                None => self.removed.push(name(server)),
                Some(Change::Restart) => self.restarted.push(name(server)),
                Some(Change::InPlace) => self.in_place.push(name(server)),
                Some(Change::Nothing) => {}
            }
        }
        self.added.extend(after.keys().filter(|it| !before.contains_key(*it)).map(|it| name(it)));
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("connecting anew", &self.restarted),
            ("changed in place", &self.in_place),
            ("agents changed", &self.agents),
        ];
        let mut parts: Vec<String> = lists
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}: {}", names.join(", ")))
            .collect();
        if self.settings {
            parts.push("settings changed".to_owned());
        }
        if parts.is_empty() {
            parts.push("nothing changed".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}
