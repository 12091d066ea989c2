//! Exposed names: which name a server's tool has in a view, for as long as the server is configured.
//!
//! Names are looked up, never parsed. Characters beyond `A-Z a-z 0-9 _ . -` become `_`: the
//! protocol advises these (2026-07-28, "Tool names"), and model vendors refuse others.

use std::{collections::HashMap, sync::Arc};

use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};

use super::{CatalogConfig, Prefix};
use crate::id::ServerName;

/// Characters of the suffix that keeps a long or taken name unique.
const SUFFIX: usize = 6;

/// The stable assignments of one view.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: Prefix,
    separator: Arc<str>,
    max_length: usize,
    exposed: HashMap<ServerName, HashMap<Arc<str>, Arc<str>>>,
    taken: HashMap<Arc<str>, ServerName>,
}

/// Whether a byte may stand in an exposed name.
pub(super) const fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn clean(name: &str) -> String {
    let allowed = |c: char| u8::try_from(c).is_ok_and(allowed);
    name.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

impl Names {
    /// No assignments yet.
    pub fn new(config: &CatalogConfig) -> Self {
        Self {
            prefix: config.prefix,
            separator: config.separator.as_str().into(),
            max_length: config.max_name_length,
            exposed: HashMap::new(),
            taken: HashMap::new(),
        }
    }

    /// The name of a server's tool: the one that it has, or a new one that stays.
    pub fn assign(&mut self, server: &ServerName, upstream: &str) -> Arc<str> {
        if let Some(name) = self.get(server, upstream) {
            return name;
        }
        let name: Arc<str> = self.choose(server, upstream).into();
        self.taken.insert(Arc::clone(&name), server.clone());
        let of_server = self.exposed.entry(server.clone()).or_default();
        of_server.insert(upstream.into(), Arc::clone(&name));
        name
    }

    /// The name that a server's tool has.
    pub fn get(&self, server: &ServerName, upstream: &str) -> Option<Arc<str>> {
        self.exposed.get(server)?.get(upstream).cloned()
    }

    /// Gives the names of a server that left the configuration free.
    pub fn forget(&mut self, server: &ServerName) {
        if let Some(names) = self.exposed.remove(server) {
            for name in names.values() {
                self.taken.remove(name);
            }
        }
    }

    /// Whether a name has the form that this server's tools get when names have prefixes.
    pub fn may_be_of(&self, server: &ServerName, exposed: &str) -> bool {
        let front: String = self.prefixed(server, "").chars().take(self.kept()).collect();
        exposed.starts_with(&front)
    }

    fn prefixed(&self, server: &ServerName, upstream: &str) -> String {
        format!("{}{}{}", clean(server.as_str()), self.separator, clean(upstream))
    }

    fn free(&self, name: &str) -> bool {
        name.len() <= self.max_length && !self.taken.contains_key(name)
    }

    /// Characters of a name that stay before a suffix.
    const fn kept(&self) -> usize {
        self.max_length.saturating_sub(SUFFIX + 1)
    }

    fn choose(&self, server: &ServerName, upstream: &str) -> String {
        let bare = clean(upstream);
        let first = match self.prefix {
            Prefix::Always => self.prefixed(server, upstream),
            Prefix::OnCollision if self.taken.contains_key(bare.as_str()) => {
                self.prefixed(server, upstream)
            }
            Prefix::OnCollision | Prefix::Never => bare,
        };
        if self.free(&first) {
            return first;
        }
        let front: String = first.chars().take(self.kept()).collect();
        // The first suffix is free but for a collision of hashes; each round draws another.
        let mut round = 0_u32;
        loop {
            let mut hash = Sha256::new();
            hash.update(server.as_str());
            hash.update([0]);
            hash.update(upstream);
            if round > 0 {
                hash.update(round.to_le_bytes());
            }
            let suffix = BASE32_NOPAD.encode(&hash.finalize()).to_lowercase();
            let suffix: String = suffix.chars().take(SUFFIX).collect();
            let name = format!("{front}_{suffix}");
            if self.free(&name) {
                return name;
            }
            round += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn server(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    fn names(prefix: Prefix) -> Names {
        Names::new(&CatalogConfig { prefix, ..CatalogConfig::default() })
    }

    #[test]
    fn each_prefix_mode_names_as_documented() {
        for (prefix, first, second) in [
            (Prefix::Always, "a_get", "b_get"),
            (Prefix::OnCollision, "get", "b_get"),
            (Prefix::Never, "get", "get_"),
        ] {
            let mut names = names(prefix);
            assert_eq!(&*names.assign(&server("a"), "get"), first);
            let other = names.assign(&server("b"), "get");
            assert!(other.starts_with(second), "{other}");
        }
        let mut names = names(Prefix::Always);
        assert_eq!(&*names.assign(&server("My Server"), "größe/x"), "My_Server_gr__e_x");
        assert!(names.may_be_of(&server("My Server"), "My_Server_other"));
        assert!(!names.may_be_of(&server("My Server"), "Other_x"));
    }

    #[test]
    fn two_origins_of_one_text_get_two_names() {
        let mut names = names(Prefix::Always);
        assert_eq!(&*names.assign(&server("a"), "b_c"), "a_b_c");
        let second = names.assign(&server("a_b"), "c");
        assert!(second.starts_with("a_b_c_") && second.len() == 12, "{second}");
        names.forget(&server("a"));
        assert_eq!(names.assign(&server("a_b"), "c"), second);
        assert_eq!(&*names.assign(&server("x"), "y"), "x_y");
    }

    proptest! {
        #[test]
        fn names_are_unique_short_allowed_and_stable(
            tools in prop::collection::vec(("[a-c _.é]{1,40}", "[a-c _/é]{1,90}"), 1..40),
            max in 16_usize..=128,
            prefix in prop::sample::select(vec![Prefix::Always, Prefix::OnCollision, Prefix::Never]),
        ) {
            let config = CatalogConfig { prefix, max_name_length: max, ..CatalogConfig::default() };
            let mut names = Names::new(&config);
            let origins: Vec<_> = tools
                .iter()
                .filter_map(|(of, tool)| Some((ServerName::new(of.trim()).ok()?, tool)))
                .collect();
            let given: Vec<_> = origins.iter().map(|(of, tool)| names.assign(of, tool)).collect();
            for ((of, tool), name) in origins.iter().zip(&given) {
                prop_assert_eq!(&names.assign(of, tool), name);
                prop_assert!(!name.is_empty() && name.len() <= max);
                prop_assert!(name.bytes().all(allowed));
                if prefix == Prefix::Always {
                    prop_assert!(names.may_be_of(of, name));
                }
            }
            let distinct: HashSet<_> = origins.iter().collect();
            let exposed: HashSet<_> = given.iter().collect();
            prop_assert_eq!(distinct.len(), exposed.len());
        }
    }
}
