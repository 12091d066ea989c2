//! Exposed names: what callers call a tool, and whose tool that is.
//!
//! A view owns its names. They are never parsed to find a server: that would make a separator
//! inside a name ambiguous.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::{CatalogConfig, OwnTool, Prefix};
use crate::id::ServerName;

/// Characters of the suffix that sets a name apart, without its underscore.
const TAG: usize = 6;

/// The names of one view: which exposed name belongs to which server and which tool there.
///
/// Exposed names have only `A-Z a-z 0-9 _ . -`, which is what MCP asks for and what models'
/// vendors accept; any other character of a server's or tool's name becomes `_`. A name that is
/// too long, or that another tool has already, ends in `_` and six characters of
/// SHA-256(server NUL tool).
///
/// An assignment stays until its server is forgotten, so a name never changes because another
/// server came or went.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: Prefix,
    separator: String,
    longest: usize,
    assigned: HashMap<ServerName, HashMap<Arc<str>, Arc<str>>>,
    taken: HashSet<Arc<str>>,
    changes: u64,
}

impl Names {
    /// No names yet but those of our own tools, which nobody else gets. A length outside [`CatalogConfig::NAME_LENGTHS`] counts as the nearest one
    /// inside.
    pub fn new(config: &CatalogConfig) -> Self {
        let lengths = CatalogConfig::NAME_LENGTHS;
        Self {
            prefix: config.prefix,
            separator: config.separator.clone(),
            longest: config.max_name_length.clamp(*lengths.start(), *lengths.end()),
            assigned: HashMap::new(),
            taken: OwnTool::ALL.into_iter().map(|tool| tool.name().into()).collect(),
            changes: 0,
        }
    }

    /// What names depend on beside their tools, as one word: assignments made by other rules are
    /// of no use.
    pub fn rules(&self) -> String {
        format!("{:?}|{}|{}", self.prefix, self.separator, self.longest)
    }

    /// Every assignment: server, the tool's name there, exposed name; in no order.
    pub fn assigned(&self) -> impl Iterator<Item = (&ServerName, &Arc<str>, &Arc<str>)> {
        self.assigned.iter().flat_map(|(server, names)| {
            names.iter().map(move |(upstream, exposed)| (server, upstream, exposed))
        })
    }

    /// Grows with each assignment that came or went.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Takes over an assignment made earlier by the same rules, unless the name is given already.
    pub fn restore(&mut self, server: &ServerName, upstream: &Arc<str>, exposed: &Arc<str>) {
        if self.is_free(exposed) && self.get(server, upstream).is_none() {
            self.insert(server, Arc::clone(upstream), Arc::clone(exposed));
        }
    }

    /// Whether these are the rules by which names were chosen.
    pub fn follows(&self, config: &CatalogConfig) -> bool {
        let Self { prefix, separator, longest, .. } = Self::new(config);
        (prefix, &separator, longest) == (self.prefix, &self.separator, self.longest)
    }

    /// The exposed name of a server's tool, assigned now if it has none.
    pub fn assign(&mut self, server: &ServerName, upstream: &str) -> Arc<str> {
        if let Some(name) = self.get(server, upstream) {
            return name;
        }
        let name: Arc<str> = self.choose(server, upstream).into();
        self.insert(server, upstream.into(), Arc::clone(&name));
        name
    }

    fn insert(&mut self, server: &ServerName, upstream: Arc<str>, exposed: Arc<str>) {
        self.taken.insert(Arc::clone(&exposed));
        self.assigned.entry(server.clone()).or_default().insert(upstream, exposed);
        self.changes += 1;
    }

    /// The exposed name of a server's tool, if it has one.
    pub fn get(&self, server: &ServerName, upstream: &str) -> Option<Arc<str>> {
        self.assigned.get(server)?.get(upstream).map(Arc::clone)
    }

    /// Whether a name has the form of this server's tools where names have prefixes: it may be
    /// one that is not assigned yet.
    pub fn may_be_of(&self, server: &ServerName, exposed: &str) -> bool {
        let prefix = clean(&format!("{server}{}", self.separator));
        let front: String = prefix.chars().take(self.longest - TAG - 1).collect();
        exposed.starts_with(&front)
    }

    /// Gives back all names of a server that left the configuration.
    pub fn forget(&mut self, server: &ServerName) {
        for name in self.assigned.remove(server).unwrap_or_default().values() {
            self.taken.remove(name);
            self.changes += 1;
        }
    }

    fn choose(&self, server: &ServerName, upstream: &str) -> String {
        let short = clean(upstream);
        let long = || clean(&format!("{server}{}{upstream}", self.separator));
        let plain = match self.prefix {
            Prefix::Always => long(),
            Prefix::OnCollision if self.taken.contains(short.as_str()) => long(),
            Prefix::OnCollision | Prefix::Never => short,
        };
        if self.is_free(&plain) {
            return plain;
        }
        // Cleaned names are ASCII, so bytes are characters.
        let front: String = plain.chars().take(self.longest - TAG - 1).collect();
        let mut round = 0;
        loop {
            let name = format!("{front}_{}", tag(server, upstream, round));
            if self.is_free(&name) {
                return name;
            }
            // Somebody has a tool of that very name: hash once more.
            round += 1;
        }
    }

    fn is_free(&self, name: &str) -> bool {
        name.len() <= self.longest && !self.taken.contains(name)
    }
}

/// Whether a character may stand in an exposed name.
pub(super) const fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-')
}

fn clean(name: &str) -> String {
    let clean = |character| {
        if is_allowed(character) { character } else { '_' }
    };
    name.chars().map(clean).collect()
}

fn tag(server: &ServerName, upstream: &str, round: u32) -> String {
    let mut hash = Sha256::new();
    hash.update(server.as_str());
    hash.update([0]);
    hash.update(upstream);
    if round > 0 {
        hash.update([0]);
        hash.update(round.to_be_bytes());
    }
    let mut tag = data_encoding::BASE32_NOPAD.encode(&hash.finalize());
    tag.truncate(TAG);
    tag.make_ascii_lowercase();
    tag
}

#[cfg(test)]
mod tests;
