//! What a server tells unasked, kept until somebody asks for it.
//!
//! Owned by the other side of a link. What is told several times is kept once, and of more changed
//! resources than have room only that there were some. It knows no watchers.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::wire::{Object, RawValue, method};

/// Changed resources that are kept at most.
const KEPT: usize = 4096;
/// Bytes of a URI at most; nobody watches a longer one.
const LONGEST: usize = 8 * 1024;

/// Which resource changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updated {
    /// The one at this URI of the server's.
    One(String),
    /// Any of them may have: the server told of more than there is room for.
    Any,
}

/// What was told and not asked for yet.
#[derive(Debug, Default)]
pub(super) struct News {
    lists: Notify,
    resources: Notify,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// In their order.
    uris: VecDeque<String>,
    known: HashSet<String>,
    overflown: bool,
}

impl News {
    /// Takes a notification; false if it is about something else.
    pub(super) fn take(&self, method: &str, params: Option<&RawValue>) -> bool {
        match method {
            method::TOOLS_CHANGED | method::PROMPTS_CHANGED | method::RESOURCES_CHANGED => {
                self.lists.notify_one();
            }
            method::RESOURCE_UPDATED => {
                let params = Object::read_optional(params).unwrap_or_default();
                if let Some(uri) = params.text("uri").filter(|uri| uri.len() <= LONGEST) {
                    self.told.lock().add(uri.into_owned());
                    self.resources.notify_one();
                }
            }
            _ => return false,
        }
        true
    }

    /// Resolves when a list changed since the last time.
    pub(super) async fn lists_changed(&self) {
        self.lists.notified().await;
    }

    /// Resolves with the resources that changed since the last time.
    pub(super) async fn updated(&self) -> Vec<Updated> {
        loop {
            let updated = self.told.lock().take();
            if !updated.is_empty() {
                return updated;
            }
            self.resources.notified().await;
        }
    }
}

impl Told {
    fn add(&mut self, uri: String) {
        if self.overflown || self.known.contains(&uri) {
            return;
        }
        self.overflown = self.uris.len() == KEPT;
        self.known.insert(uri.clone());
        self.uris.push_back(uri);
    }

    fn take(&mut self) -> Vec<Updated> {
        let Self { uris, overflown, .. } = std::mem::take(self);
        if overflown { vec![Updated::Any] } else { uris.into_iter().map(Updated::One).collect() }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn tell(news: &News, uri: &str) {
        let params = crate::wire::raw(&serde_json::json!({ "uri": uri }));
        assert!(news.take(method::RESOURCE_UPDATED, Some(&params)));
    }

    #[test]
    fn what_is_told_several_times_is_kept_once_and_in_order() {
        let news = News::default();
        assert!(!news.take(method::MESSAGE, None));
        assert_eq!(news.updated().now_or_never(), None);
        for uri in ["b:1", "a:1", "b:1"] {
            tell(&news, uri);
        }
        let one = |uri: &str| Updated::One(uri.to_owned());
        assert_eq!(news.updated().now_or_never().unwrap(), [one("b:1"), one("a:1")]);
        assert_eq!(news.updated().now_or_never(), None);
        tell(&news, "b:1");
        assert_eq!(news.updated().now_or_never().unwrap(), [one("b:1")]);
    }

    #[test]
    fn more_than_there_is_room_for_is_told_as_such() {
        let news = News::default();
        for number in 0..=KEPT {
            tell(&news, &format!("x:{number}"));
        }
        assert_eq!(news.updated().now_or_never().unwrap(), [Updated::Any]);
        tell(&news, &"x".repeat(LONGEST + 1));
        assert_eq!(news.updated().now_or_never(), None);
    }
}
