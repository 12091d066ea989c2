//! Roots of the configuration: the places that a server is told of when it asks for them, during a
//! call or outside one, whoever calls.
//!
//! Shared by a connection and its link, because they may change while the server is connected.
//! Where none are configured, a server's question goes to the client of its call.

use std::sync::Arc;

use parking_lot::RwLock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::{Object, RawValue, method, raw, result};

/// One place that a server may work in (MCP, `Root`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Where it is; the protocol allows `file://` alone.
    pub uri: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The configured roots of one connection. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Roots(Arc<RwLock<Vec<Root>>>);

impl Roots {
    /// These roots.
    pub fn new(roots: Vec<Root>) -> Self {
        Self(Arc::new(RwLock::new(roots)))
    }

    /// Other roots from now on; says whether they differ.
    pub fn replace(&self, roots: &[Root]) -> bool {
        let mut known = self.0.write();
        let differ = *known != roots;
        if differ {
            roots.clone_into(&mut known);
        }
        differ
    }

    /// Whether there are any.
    pub(super) fn are_known(&self) -> bool {
        !self.0.read().is_empty()
    }

    /// The raw result of `roots/list`; `None` where nothing is configured.
    pub(super) fn answer(&self) -> Option<Box<RawValue>> {
        let roots = self.0.read();
        (!roots.is_empty()).then(|| raw(&serde_json::json!({ "roots": *roots })))
    }

    /// The parameters of a request again, with the answer, where a modern server wants nothing but
    /// roots before it goes on; `None` where it wants something else.
    pub(super) fn continued(
        &self,
        params: Option<&RawValue>,
        wanted: &RawValue,
    ) -> Option<Box<RawValue>> {
        if !result::wants_input(wanted) {
            return None;
        }
        let answer = self.answer()?;
        let wanted = Object::read(wanted)?;
        let requests = wanted.object(result::REQUESTS)?;
        // Whoever is called by it learns that these are too many.
        if requests.len() > result::QUESTIONS {
            return None;
        }
        let mut responses = Object::default();
        for (key, request) in requests.members() {
            if Object::read(request)?.text("method")? != method::ROOTS {
                return None;
            }
            responses.put(key, &answer);
        }
        let mut params = Object::read_optional(params).filter(|_| !responses.is_empty())?;
        params.put(result::RESPONSES, &responses);
        match wanted.get(result::STATE) {
            Some(state) => params.put(result::STATE, state),
            None => params.remove(result::STATE),
        }
        Some(params.to_raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Box<RawValue> {
        RawValue::from_string(value.to_owned()).unwrap()
    }

    #[test]
    fn a_server_that_wants_only_roots_gets_them_with_its_state() {
        let roots = Roots::default();
        let params = text(r#"{"name":"t","requestState":"old"}"#);
        let wanted = text(
            r#"{"resultType":"input_required","inputRequests":{"r":{"method":"roots/list"}},"requestState":"s"}"#,
        );
        assert!(roots.continued(Some(&params), &wanted).is_none());
        let place = Root { uri: "file:///w".to_owned(), name: None };
        assert!(roots.replace(std::slice::from_ref(&place)) && !roots.replace(&[place]));
        assert_eq!(
            roots.continued(Some(&params), &wanted).unwrap().get(),
            r#"{"name":"t","requestState":"s","inputResponses":{"r":{"roots":[{"uri":"file:///w"}]}}}"#
        );
        for other in [
            r#"{"resultType":"input_required","requestState":"s"}"#,
            r#"{"resultType":"input_required","inputRequests":{"r":{"method":"roots/list"},"e":{"method":"elicitation/create"}}}"#,
            r#"{"inputRequests":{"r":{"method":"roots/list"}}}"#,
        ] {
            assert!(roots.continued(Some(&params), &text(other)).is_none(), "{other}");
        }
    }
}
