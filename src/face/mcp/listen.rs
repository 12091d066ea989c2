//! `subscriptions/listen`: a modern client's stream of change notifications.
//!
//! Acknowledged first with what it will carry, then fed by the gate's version of the view. It
//! ends with a result when we end it, and without one when the client goes.

use std::{collections::VecDeque, fmt, sync::Arc};

use futures::future::{BoxFuture, FutureExt as _};
use serde::Serialize;

use super::{Caller, Fault, changes::Changes, fault, subscribe, translate};
use crate::{
    access::{CallError, Gate, Watching},
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

/// One open subscription.
pub(crate) struct Listen {
    id: Id,
    changes: Changes,
    /// The notifications that the client wants to hear, by the names of its filter.
    wanted: Vec<(&'static str, &'static str)>,
    /// The resources that it is told of; `None` where it named none.
    resources: Option<Resources>,
    due: VecDeque<&'static str>,
    acknowledged: bool,
}

struct Resources {
    watching: Arc<Watching>,
    /// Those that are watched, by the client's names.
    agreed: Vec<Arc<str>>,
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
        let Filter { wanted, resources } = filter(params)
            .ok_or_else(|| Fault::invalid("`params.notifications` is not a filter"))?;
        let refused = |error| fault::of_request(error, Era::Modern);
        let changes = gate.changes(&caller.principal, &caller.owner).map_err(refused)?;
        let changes = Changes::new(changes);
        let resources = match resources {
            Some(uris) => {
                let watching = gate.watching(&caller.principal, &caller.owner, None);
                Some(Resources::of(watching, uris).map_err(refused)?)
            }
            None => None,
        };
        Ok(Self { id, changes, wanted, resources, due: VecDeque::new(), acknowledged: false })
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
                uri = updated(&mut self.resources) => return Some(self.updated(&uri)),
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
        if let Some(resources) = &self.resources {
            notifications.put(RESOURCES, &resources.agreed);
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

    fn updated(&self, uri: &str) -> Vec<u8> {
        let mut params = Object::default();
        params.put(meta::META, &self.meta());
        subscribe::updated(uri, params)
    }

    fn meta(&self) -> Meta<'_> {
        Meta { subscription: &self.id, server_info: None }
    }
}

impl Resources {
    /// Resources that nobody has are left out, as the acknowledgement says.
    fn of(watching: Arc<Watching>, uris: Vec<String>) -> Result<Self, CallError> {
        let agreed = watching.known(uris)?;
        let (follower, uris) = (Arc::clone(&watching), agreed.clone());
        let opening = Some(async move { follower.follow(uris).await }.boxed());
        Ok(Self { watching, agreed, opening })
    }
}

/// The next resource that changed; never where none is named.
async fn updated(resources: &mut Option<Resources>) -> String {
    let Some(resources) = resources else { return std::future::pending().await };
    if let Some(opening) = &mut resources.opening {
        tokio::select! {
            biased;
            uri = resources.watching.updated() => return uri,
            () = opening => {}
        }
        resources.opening = None;
    }
    resources.watching.updated().await
}

/// What a filter asks for, as far as we have it.
#[derive(Debug, PartialEq, Eq)]
struct Filter {
    wanted: Vec<(&'static str, &'static str)>,
    resources: Option<Vec<String>>,
}

/// Reads a filter; `None` where it is none.
fn filter(params: Option<&RawValue>) -> Option<Filter> {
    let params = Object::read(params?)?;
    let filter = Object::read(params.get("notifications")?)?;
    let mut wanted = Vec::new();
    for entry in FILTERS {
        if filter.get(entry.0).is_some() && filter.typed::<bool>(entry.0)? {
            wanted.push(entry);
        }
    }
    let resources = match filter.get(RESOURCES) {
        Some(_) => Some(filter.typed(RESOURCES)?),
        None => None,
    };
    Some(Filter { wanted, resources })
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
            (r#"{"notifications":{"resourceSubscriptions":[1]}}"#, None),
            (r#"{"notifications":{"resourceSubscriptions":"a:1"}}"#, None),
            (r#"{"notifications":{"toolsListChanged":1}}"#, None),
            (r#"{"notifications":[]}"#, None),
            ("{}", None),
        ] {
            let raw = RawValue::from_string(params.to_owned()).unwrap();
            let read = filter(Some(&raw)).map(|Filter { wanted, resources }| {
                (wanted.into_iter().map(|(it, _)| it).collect::<Vec<_>>(), resources)
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
            resources: None,
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
