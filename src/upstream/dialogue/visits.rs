//! Addresses that clients were asked to visit: whose each of them is, for the server's word that the
//! visit is over, which names nothing but the address's id (MCP 2025-11-25, elicitation).
//!
//! Bounded: of more than there is room for the oldest are forgotten. It tells nobody.

use std::collections::VecDeque;

use super::Whose;
use crate::wire::{Object, RawValue, method};

/// Addresses of one server that are remembered at most.
const KEPT: usize = 256;
/// Bytes of an id at most; a longer one is not remembered.
const LONGEST: usize = 256;

const ID: &str = "elicitationId";

/// Whose addresses are, by their ids.
#[derive(Debug, Default)]
pub(super) struct Visits(VecDeque<(String, Option<Whose>)>);

impl Visits {
    /// A party is asked this; anything but an address with an id is nothing to remember.
    pub(super) fn add(&mut self, method: &str, params: Option<&RawValue>, whose: Option<&Whose>) {
        let Some(id) = params.filter(|_| method == method::ELICIT).and_then(id) else { return };
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((id, whose.cloned()));
    }

    /// Whose the address of this notification is; it is over with that.
    pub(super) fn take(&mut self, params: &RawValue) -> Option<Whose> {
        let id = id(params)?;
        let at = self.0.iter().position(|(known, _)| *known == id)?;
        self.0.remove(at)?.1
    }
}

fn id(params: &RawValue) -> Option<String> {
    let id = Object::read(params)?.text(ID)?.into_owned();
    (id.len() <= LONGEST).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{Owner, SessionKey},
        wire::raw,
    };

    #[test]
    fn an_address_is_remembered_once_and_not_without_end() {
        let mut visits = Visits::default();
        let whose = Whose { owner: Owner::Store, session: Some(SessionKey::of("a")) };
        let params = |id: usize| raw(&serde_json::json!({ "elicitationId": id.to_string() }));
        for id in 0..=KEPT {
            visits.add(method::ELICIT, Some(&params(id)), Some(&whose));
        }
        visits.add(method::SAMPLE, Some(&params(KEPT + 1)), Some(&whose));
        for (id, known) in [(0, false), (1, true), (1, false), (KEPT, true), (KEPT + 1, false)] {
            assert_eq!(visits.take(&params(id)).is_some(), known, "{id}");
        }
    }
}
