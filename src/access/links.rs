//! Resources that servers told callers of in results, and whose they are.
//!
//! Bounded for each principal; the oldest give way. It remembers URIs, never contents.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use super::{Answer, Principal, Subject};
use crate::id::{Owner, ServerName};

/// URIs that are remembered of one principal in one view.
const KEPT: usize = 1024;

/// Whose resources were told, by principal and view.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<HashMap<(Principal, Owner), Told>>);

#[derive(Debug, Default)]
struct Told {
    servers: HashMap<String, ServerName>,
    /// Oldest first.
    order: VecDeque<String>,
}

impl Links {
    /// A server told of resources in its answer.
    pub(super) fn heard(
        &self,
        principal: &Principal,
        owner: &Owner,
        subject: &Subject,
        answer: &Answer,
    ) {
        let uris = match subject {
            Subject::Extension { .. } => answer.uris(KEPT),
            Subject::Tool(_)
            | Subject::Prompt(_)
            | Subject::Resource(_)
            | Subject::Completion(..)
            | Subject::Task { .. } => answer.links(),
        };
        self.told(principal, owner, &answer.server, uris);
    }

    /// A server told of these.
    fn told(&self, principal: &Principal, owner: &Owner, server: &ServerName, uris: Vec<String>) {
        if uris.is_empty() {
            return;
        }
        let mut all = self.0.lock();
        let told = all.entry((principal.clone(), owner.clone())).or_default();
        for uri in uris {
            if told.servers.insert(uri.clone(), server.clone()).is_none() {
                told.order.push_back(uri);
            }
            if told.order.len() > KEPT
                && let Some(oldest) = told.order.pop_front()
            {
                told.servers.remove(&oldest);
            }
        }
    }

    /// Who told of a resource last.
    pub(super) fn server(
        &self,
        principal: &Principal,
        owner: &Owner,
        uri: &str,
    ) -> Option<ServerName> {
        let all = self.0.lock();
        all.get(&(principal.clone(), owner.clone()))?.servers.get(uri).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_told_counts_and_the_oldest_give_way() {
        let (links, who) = (Links::default(), Principal::local());
        let (a, b) = (ServerName::new("a").unwrap(), ServerName::new("b").unwrap());
        links.told(&who, &Owner::Store, &a, vec!["x:1".to_owned(), "x:2".to_owned()]);
        links.told(&who, &Owner::Store, &b, vec!["x:2".to_owned()]);
        let of = |uri: &str| links.server(&who, &Owner::Store, uri);
        assert_eq!((of("x:1"), of("x:2"), of("x:3")), (Some(a.clone()), Some(b), None));
        let many = (0..KEPT).map(|number| format!("y:{number}")).collect();
        links.told(&who, &Owner::Store, &a, many);
        assert_eq!((of("x:1"), of("x:2")), (None, None));
        assert!(of("y:0").is_some() && of("y:1023").is_some());
    }
}
