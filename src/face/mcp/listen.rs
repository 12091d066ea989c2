//! `subscriptions/listen`: a modern client's stream of change notifications.
//!
//! Acknowledged first with what it will carry, then fed by the gate's version of the view. It
//! ends with a result when we end it, and without one when the client goes.

use serde::Serialize;
use tokio::sync::watch;

use super::{Caller, Fault, fault, translate};
use crate::{
    access::Gate,
    wire::{Era, Id, Object, RawValue, envelope, meta, method, raw},
};

const TOOLS_CHANGED: &str = "toolsListChanged";

/// One open subscription.
#[derive(Debug)]
pub(crate) struct Listen {
    id: Id,
    /// Versions of the view, where the client wants to hear of them.
    changes: Option<watch::Receiver<u64>>,
    acknowledged: bool,
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
        let wants_tools = wants_tools(params)
            .ok_or_else(|| Fault::invalid("`params.notifications` is not a filter"))?;
        let changes = gate
            .changes(&caller.principal, &caller.owner)
            .map_err(|error| fault::of_request(error, Era::Modern))?;
        Ok(Self { id, changes: wants_tools.then_some(changes), acknowledged: false })
    }

    /// The next notification as one line; `None` when the view is no more. May be dropped and
    /// asked again without losing one.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        if !self.acknowledged {
            self.acknowledged = true;
            return Some(self.acknowledgement());
        }
        match &mut self.changes {
            Some(changes) => changes.changed().await.ok()?,
            None => std::future::pending().await,
        }
        Some(self.tools_changed())
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
        if self.changes.is_some() {
            notifications.put(TOOLS_CHANGED, &true);
        }
        let mut params = Object::default();
        params.put(meta::META, &self.meta());
        params.put("notifications", &notifications);
        envelope::notification(method::LISTEN_ACKNOWLEDGED, Some(&params.to_raw()))
    }

    fn tools_changed(&self) -> Vec<u8> {
        let mut params = Object::default();
        params.put(meta::META, &self.meta());
        envelope::notification(method::TOOLS_CHANGED, Some(&params.to_raw()))
    }

    fn meta(&self) -> Meta<'_> {
        Meta { subscription: &self.id, server_info: None }
    }
}

/// Whether a filter asks for changes of tools; `None` where it is no filter.
fn wants_tools(params: Option<&RawValue>) -> Option<bool> {
    let params = Object::read(params?)?;
    let filter = Object::read(params.get("notifications")?)?;
    match filter.get(TOOLS_CHANGED) {
        None => Some(false),
        Some(_) => filter.typed(TOOLS_CHANGED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_filter_names_what_it_wants() {
        for (params, expected) in [
            (r#"{"notifications":{"toolsListChanged":true}}"#, Some(true)),
            (r#"{"notifications":{"promptsListChanged":true}}"#, Some(false)),
            (r#"{"notifications":{}}"#, Some(false)),
            (r#"{"notifications":{"toolsListChanged":1}}"#, None),
            (r#"{"notifications":[]}"#, None),
            ("{}", None),
        ] {
            let raw = RawValue::from_string(params.to_owned()).unwrap();
            assert_eq!(wants_tools(Some(&raw)), expected, "{params}");
        }
        assert_eq!(wants_tools(None), None);
    }

    #[tokio::test]
    async fn the_acknowledgement_comes_first_and_everything_names_the_subscription() {
        let (version, changes) = watch::channel(0);
        let mut listen =
            Listen { id: Id::from("l-1"), changes: Some(changes), acknowledged: false };
        version.send_replace(1);
        version.send_replace(2);
        assert_eq!(
            line(listen.next().await.unwrap()),
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"l-1"},"notifications":{"toolsListChanged":true}}}"#
        );
        assert_eq!(
            line(listen.next().await.unwrap()),
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"l-1"}}}"#
        );
        drop(version);
        assert_eq!(listen.next().await, None);
        assert!(line(listen.end()).starts_with(r#"{"jsonrpc":"2.0","id":"l-1","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"l-1","#));
    }
}
