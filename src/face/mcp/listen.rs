//! `subscriptions/listen`: a modern client's stream of change notifications.
//!
//! Acknowledged first with what it will carry, then fed by the gate's version of the view. It
//! ends with a result when we end it, and without one when the client goes.

use std::{collections::VecDeque, fmt, sync::Arc};

use futures::future::{BoxFuture, FutureExt as _};
use serde::Serialize;

use super::{Caller, Fault, changes::Changes, fault, modern, subscribe, translate};
use crate::{
    access::{CallError, Gate, News, Watching},
    wire::{Era, Id, Object, RawValue, envelope, meta, method, raw},
};

/// What a filter may ask for, by the notification that it stands for.
const FILTERS: [(&str, &str); 3] = [
    ("toolsListChanged", method::TOOLS_CHANGED),
    ("promptsListChanged", method::PROMPTS_CHANGED),
    ("resourcesListChanged", method::RESOURCES_CHANGED),
];

/// The member of a filter that names resources.
const RESOURCES: &str = "resourceSubscriptions";
/// The member that names tasks (MCP, extension for tasks).
const TASKS: &str = "taskIds";

/// One open subscription.
pub(crate) struct Listen {
    id: Id,
    changes: Changes,
    /// The notifications that the client wants to hear, by the names of its filter.
    wanted: Vec<(&'static str, &'static str)>,
    /// What else it is told of; `None` where it named nothing.
    watched: Option<Watched>,
    due: VecDeque<&'static str>,
    acknowledged: bool,
}

struct Watched {
    watching: Arc<Watching>,
    /// The resources and the tasks, by the client's names; `None` where it named none.
    resources: Option<Vec<Arc<str>>>,
    tasks: Option<Vec<Arc<str>>>,
    /// Puts the subscriptions on their way; gone once they are.
    opening: Option<BoxFuture<'static, ()>>,
}

impl fmt::Debug for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listen").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Meta<'a> {
    #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
    subscription: &'a Id,
    #[serde(
        rename = "io.modelcontextprotocol/serverInfo",
        skip_serializing_if = "Option::is_none"
    )]
    server_info: Option<&'a RawValue>,
}

impl Listen {
    /// Reads the filter. Changes after this moment are not missed.
    pub(crate) fn open(
        gate: &Gate,
        caller: &Caller,
        id: Id,
        params: Option<&RawValue>,
    ) -> Result<Self, Fault> {
        let Filter { wanted, resources, tasks } = filter(params)
            .ok_or_else(|| Fault::invalid("`params.notifications` is not a filter"))?;
        if tasks.is_some() {
            modern::takes_tasks(params)?;
        }
        let refused = |error| fault::of_request(error, Era::Modern);
        let changes = gate.changes(&caller.principal, &caller.owner).map_err(refused)?;
        let changes = Changes::new(changes);
        let mut watched = None;
        if resources.is_some() || tasks.is_some() {
            let watching = gate.watching(&caller.principal, &caller.owner, None);
            watched = Some(Watched::of(watching, resources, tasks).map_err(refused)?);
        }
        Ok(Self { id, changes, wanted, watched, due: VecDeque::new(), acknowledged: false })
    }

    /// The next notification as one line; `None` when the view is no more. May be dropped and
    /// asked again without losing one.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        if !self.acknowledged {
            self.acknowledged = true;
            return Some(self.acknowledgement());
        }
        loop {
            if let Some(notification) = self.due.pop_front() {
                return Some(self.changed(notification));
            }
            tokio::select! {
                biased;
                come = self.changes.come() => if !come { return None },
                news = news(&mut self.watched) => {
                    return Some(subscribe::line(&news, Some(&self.id)));
                }
            }
            let is_wanted = |due: &&str| self.wanted.iter().any(|(_, wanted)| wanted == due);
            self.due.extend(self.changes.take().into_iter().filter(is_wanted));
        }
    }

    /// The result that ends the stream when we end it.
    pub(crate) fn end(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ListenResult<'a> {
            result_type: &'static str,
            #[serde(rename = "_meta")]
            meta: Meta<'a>,
        }
        let result = raw(&ListenResult {
            result_type: "complete",
            meta: Meta { subscription: &self.id, server_info: Some(&translate::IMPLEMENTATION) },
        });
        envelope::result(&self.id, &result)
    }

    fn acknowledgement(&self) -> Vec<u8> {
        let mut notifications = Object::default();
        for (member, _) in &self.wanted {
            notifications.put(member, &true);
        }
        if let Some(Watched { resources, tasks, .. }) = &self.watched {
            for (member, agreed) in [(RESOURCES, resources), (TASKS, tasks)] {
                if let Some(agreed) = agreed {
                    notifications.put(member, agreed);
                }
            }
        }
        let mut params = Object::default();
        params.put(meta::META, &self.meta());
        params.put("notifications", &notifications);
        envelope::notification(method::LISTEN_ACKNOWLEDGED, Some(&params.to_raw()))
    }

    fn changed(&self, notification: &str) -> Vec<u8> {
        let mut params = Object::default();
        params.put(meta::META, &self.meta());
        envelope::notification(notification, Some(&params.to_raw()))
    }

    fn meta(&self) -> Meta<'_> {
        Meta { subscription: &self.id, server_info: None }
    }
}

impl Watched {
    /// Resources that nobody has and tasks that are not the client's are left out, as the
    /// acknowledgement says.
    fn of(
        watching: Arc<Watching>,
        resources: Option<Vec<String>>,
        tasks: Option<Vec<String>>,
    ) -> Result<Self, CallError> {
        let resources = resources.map(|uris| watching.known(uris)).transpose()?;
        let tasks = tasks.map(|names| watching.attend(names)).transpose()?;
        let opening = resources.clone().map(|uris| {
            let follower = Arc::clone(&watching);
            async move { follower.follow(uris).await }.boxed()
        });
        Ok(Self { watching, resources, tasks, opening })
    }
}

/// What changed next; never where nothing is named.
async fn news(watched: &mut Option<Watched>) -> News {
    let Some(watched) = watched else { return std::future::pending().await };
    if let Some(opening) = &mut watched.opening {
        tokio::select! {
            biased;
            news = watched.watching.news() => return news,
            () = opening => {}
        }
        watched.opening = None;
    }
    watched.watching.news().await
}

/// What a filter asks for, as far as we have it.
#[derive(Debug, PartialEq, Eq)]
struct Filter {
    wanted: Vec<(&'static str, &'static str)>,
    resources: Option<Vec<String>>,
    tasks: Option<Vec<String>>,
}

/// Reads a filter; `None` where it is none.
fn filter(params: Option<&RawValue>) -> Option<Filter> {
    let params = Object::read(params?)?;
    let filter = params.object("notifications")?;
    let mut wanted = Vec::new();
    for entry in FILTERS {
        if filter.get(entry.0).is_some() && filter.typed::<bool>(entry.0)? {
            wanted.push(entry);
        }
    }
    let names = |member| match filter.get(member) {
        Some(_) => filter.typed(member).map(Some),
        None => Some(None),
    };
    Some(Filter { wanted, resources: names(RESOURCES)?, tasks: names(TASKS)? })
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::access::Versions;

    fn line(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_filter_names_what_it_wants() {
        for (params, expected) in [
            (
                r#"{"notifications":{"promptsListChanged":true,"toolsListChanged":true,"x":1}}"#,
                Some((vec!["toolsListChanged", "promptsListChanged"], None)),
            ),
            (r#"{"notifications":{"toolsListChanged":false}}"#, Some((vec![], None))),
            (r#"{"notifications":{}}"#, Some((vec![], None))),
            (
                r#"{"notifications":{"resourceSubscriptions":["a:1"]}}"#,
                Some((vec![], Some(vec!["a:1".to_owned()]))),
            ),
            (r#"{"notifications":{"taskIds":["t"]}}"#, Some((vec![], Some(vec!["t".to_owned()])))),
            (r#"{"notifications":{"taskIds":{}}}"#, None),
            (r#"{"notifications":{"resourceSubscriptions":[1]}}"#, None),
            (r#"{"notifications":{"resourceSubscriptions":"a:1"}}"#, None),
            (r#"{"notifications":{"toolsListChanged":1}}"#, None),
            (r#"{"notifications":[]}"#, None),
            ("{}", None),
        ] {
            let raw = RawValue::from_string(params.to_owned()).unwrap();
            let read = filter(Some(&raw)).map(|Filter { wanted, resources, tasks }| {
                (wanted.into_iter().map(|(it, _)| it).collect::<Vec<_>>(), resources.or(tasks))
            });
            assert_eq!(read, expected, "{params}");
        }
        assert_eq!(filter(None), None);
    }

    #[tokio::test]
    async fn the_acknowledgement_comes_first_and_everything_names_the_subscription() {
        let (versions, changes) = watch::channel(Versions::default());
        let mut listen = Listen {
            id: Id::from("l-1"),
            changes: Changes::new(changes),
            wanted: FILTERS.into_iter().take(1).collect(),
            watched: None,
            due: VecDeque::new(),
            acknowledged: false,
        };
        versions.send_modify(|versions| versions.prompts += 1);
        versions.send_modify(|versions| versions.tools += 2);
        assert_eq!(
            line(listen.next().await.unwrap()),
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"l-1"},"notifications":{"toolsListChanged":true}}}"#
        );
        assert_eq!(
            line(listen.next().await.unwrap()),
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"l-1"}}}"#
        );
        drop(versions);
        assert_eq!(listen.next().await, None);
        assert!(line(listen.end()).starts_with(r#"{"jsonrpc":"2.0","id":"l-1","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"l-1","#));
    }
}
