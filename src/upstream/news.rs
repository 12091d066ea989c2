//! What a server tells unasked, kept until somebody asks for it.
//!
//! Owned by the other side of a link. What is told several times is kept once, of a task the last
//! word, and of more changed resources than have room only that there were some. It knows no
//! watchers.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Whose;
use crate::wire::{Object, RawValue, extension, method, task};

/// Changed resources that are kept at most.
const KEPT: usize = 4096;
/// Bytes of a URI at most; nobody watches a longer one.
const LONGEST: usize = 8 * 1024;

/// Tasks and notifications of extensions that are kept at most.
const BODIES: usize = 256;
/// Bytes of them; what finds no room is lost.
const HELD: usize = 4 << 20;

/// What is otherwise than it was.
#[derive(Clone, Debug)]
pub enum Updated {
    /// The resource at this URI of the server's.
    One(String),
    /// Any resource may be: the server told of more than there is room for.
    Any,
    /// The task that the server calls so; with the raw parameters of its notification.
    Task(Arc<str>, Arc<RawValue>),
    /// Something that an extension knows.
    Notice(Notice),
    /// A visit to an address is over; whose it was, where that is known.
    Visited(Option<Whose>, Notice),
}

/// A notification of an extension.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its method.
    pub method: Arc<str>,
    /// Its raw parameters.
    pub params: Option<Arc<RawValue>>,
    /// Whether the caller of the call that it came with was told.
    pub heard: bool,
}

impl Notice {
    /// Bytes of it.
    pub fn size(&self) -> usize {
        self.method.len() + self.params.as_ref().map_or(0, |params| params.get().len())
    }
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
    tasks: VecDeque<(Arc<str>, Arc<RawValue>)>,
    notices: VecDeque<Updated>,
    /// Bytes of both.
    held: usize,
}

impl News {
    /// Takes a notification; false if it is about something else, or there is no room. `heard` says
    /// whether a caller was told already.
    pub(super) fn take(&self, method: &str, params: Option<&RawValue>, heard: bool) -> bool {
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
            method::TASK_CHANGED | method::TASK_STATUS => {
                let Some((id, params)) = params.and_then(|it| Some((task::named_in(it)?, it)))
                else {
                    return false;
                };
                let taken = self.told.lock().add_task(id, params);
                self.resources.notify_one();
                return taken;
            }
            _ if extension::may_own(method) => {
                let params = params.map(|params| Arc::from(params.to_owned()));
                let notice = Notice { method: method.into(), params, heard };
                let size = notice.size();
                let taken = self.told.lock().add_notice(size, Updated::Notice(notice));
                self.resources.notify_one();
                return taken;
            }
            _ => return false,
        }
        true
    }

    /// Takes the notification that a visit to an address is over; false if there is no room.
    pub(super) fn visited(&self, whose: Option<Whose>, params: &RawValue) -> bool {
        let params = Some(Arc::from(params.to_owned()));
        let notice = Notice { method: method::VISITED.into(), params, heard: false };
        let size = notice.size();
        let taken = self.told.lock().add_notice(size, Updated::Visited(whose, notice));
        self.resources.notify_one();
        taken
    }

    /// Resolves when a list changed since the last time.
    pub(super) async fn lists_changed(&self) {
        self.lists.notified().await;
    }

    /// Resolves with what changed since the last time.
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

    fn add_task(&mut self, id: Arc<str>, params: &RawValue) -> bool {
        if let Some(at) = self.tasks.iter().position(|(known, _)| *known == id)
            && let Some((_, before)) = self.tasks.remove(at)
        {
            self.held -= before.get().len();
        }
        let room = self.has_room(params.get().len());
        if room {
            self.tasks.push_back((id, Arc::from(params.to_owned())));
        }
        room
    }

    fn add_notice(&mut self, size: usize, notice: Updated) -> bool {
        let room = self.has_room(size);
        if room {
            self.notices.push_back(notice);
        }
        room
    }

    /// Whether there is room for so many bytes more, which is taken.
    fn has_room(&mut self, size: usize) -> bool {
        let room = self.tasks.len() + self.notices.len() < BODIES
            && self.held.saturating_add(size) <= HELD;
        self.held += if room { size } else { 0 };
        room
    }

    fn take(&mut self) -> Vec<Updated> {
        let Self { uris, overflown, tasks, notices, .. } = std::mem::take(self);
        let uris = uris.into_iter().filter(|_| !overflown).map(Updated::One);
        let any = overflown.then_some(Updated::Any);
        let tasks = tasks.into_iter().map(|(id, params)| Updated::Task(id, params));
        any.into_iter().chain(uris).chain(tasks).chain(notices).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn tell(news: &News, uri: &str) {
        let params = crate::wire::raw(&serde_json::json!({ "uri": uri }));
        assert!(news.take(method::RESOURCE_UPDATED, Some(&params), false));
    }

    fn told(news: &News) -> Vec<String> {
        let words = |updated| match updated {
            Updated::One(uri) => uri,
            Updated::Any => "any".to_owned(),
            Updated::Task(id, params) => format!("{id} {params}"),
            Updated::Notice(notice) | Updated::Visited(_, notice) => notice.method.to_string(),
        };
        let told = news.updated().now_or_never().unwrap_or_default();
        told.into_iter().map(words).collect()
    }

    #[test]
    fn what_is_told_several_times_is_kept_once_and_in_order() {
        let news = News::default();
        assert!(!news.take(method::MESSAGE, None, false));
        assert!(told(&news).is_empty());
        for uri in ["b:1", "a:1", "b:1"] {
            tell(&news, uri);
        }
        assert_eq!(told(&news), ["b:1", "a:1"]);
        assert!(told(&news).is_empty());
        tell(&news, "b:1");
        assert_eq!(told(&news), ["b:1"]);
    }

    #[test]
    fn more_than_there_is_room_for_is_told_as_such() {
        let news = News::default();
        for number in 0..=KEPT {
            tell(&news, &format!("x:{number}"));
        }
        assert_eq!(told(&news), ["any"]);
        tell(&news, &"x".repeat(LONGEST + 1));
        assert!(told(&news).is_empty());
    }

    #[test]
    fn of_a_task_the_last_word_is_kept_and_of_all_bodies_what_has_room() {
        let news = News::default();
        let task = |id: &str, n: u64| {
            RawValue::from_string(format!(r#"{{"taskId":"{id}","n":{n}}}"#)).unwrap()
        };
        for (id, n) in [("a", 1), ("b", 1), ("a", 2)] {
            assert!(news.take(method::TASK_CHANGED, Some(&task(id, n)), false));
        }
        assert!(!news.take(method::TASK_STATUS, None, false));
        assert!(news.take("acme/changed", None, false));
        let expected = [r#"b {"taskId":"b","n":1}"#, r#"a {"taskId":"a","n":2}"#, "acme/changed"];
        assert_eq!(told(&news), expected);
        let huge = crate::wire::raw(&serde_json::json!({"x": "y".repeat(HELD)}));
        assert!(!news.take("acme/changed", Some(&huge), false));
        let taken = (0..2 * BODIES).filter(|_| news.take("acme/changed", None, false)).count();
        assert_eq!((taken, told(&news).len()), (BODIES, BODIES));
    }
}
