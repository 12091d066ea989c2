//! Lists of tools, prompts, resources and templates: one page of a view, and the cursor of the next.
//!
//! Built from definitions that are raw already. A cursor names the last item of its page, so
//! that a list goes on where it stopped although it changed in between.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize, Serializer};

use super::{Caller, Fault, Outcome, fault, translate};
use crate::{
    access::{Gate, View},
    id::Owner,
    wire::{Era, Object, Primitive, RawValue, Revision, into_text, raw},
};

/// What a modern result says about keeping it. Our lists answer from memory and changes are
/// announced, so a copy that may be stale would save nothing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Freshness {
    result_type: &'static str,
    ttl_ms: u64,
    cache_scope: &'static str,
    #[serde(rename = "_meta")]
    meta: Meta,
}

#[derive(Debug, Serialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server_info: &'static RawValue,
}

impl Freshness {
    /// Complete, of the caller's own view, and stale at once.
    pub(crate) fn of_memory() -> Self {
        Self {
            result_type: "complete",
            ttl_ms: 0,
            cache_scope: "private",
            meta: Meta { server_info: &translate::IMPLEMENTATION },
        }
    }
}

/// Where a list goes on: the catalog's version, the view, the list, the last name.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
);

impl Cursor<'_> {
    fn seal(&self) -> String {
        BASE64URL_NOPAD.encode(raw(self).get().as_bytes())
    }
}

/// One page of what a caller sees of one kind.
pub(crate) fn answer(
    gate: &Gate,
    caller: &Caller,
    primitive: Primitive,
    params: Option<&RawValue>,
    revision: Revision,
) -> Outcome {
    let view = gate
        .view(&caller.principal, &caller.owner)
        .map_err(|error| fault::of_request(error, revision.era()))?;
    let list = List { view: &view, owner: &caller.owner, primitive };
    list.page(gate.page_size(), params, revision).map(into_text)
}

/// What an owner sees of one kind.
#[derive(Clone, Copy)]
struct List<'a> {
    view: &'a View,
    owner: &'a Owner,
    primitive: Primitive,
}

/// The result of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(flatten)]
    items: Items<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(flatten)]
    freshness: Option<Freshness>,
}

/// What stands on a page, under the name of its kind.
struct Items<'a>(&'static str, Vec<Cow<'a, RawValue>>);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.0, &self.1)])
    }
}

impl List<'_> {
    fn page(
        self,
        page_size: usize,
        params: Option<&RawValue>,
        revision: Revision,
    ) -> Result<Box<RawValue>, Fault> {
        let hash = self.view.hash_of(self.primitive).to_string();
        let after = self.start(params, &hash)?;
        let page = self.view.page(self.primitive, after.as_deref(), page_size).ok_or_else(gone)?;
        let shown = |raw| translate::definition(self.primitive, raw, revision);
        let items = page.items.iter().map(|item| shown(&item.raw)).collect();
        let (view, list) = (self.owner.as_str(), self.primitive.member());
        let next_cursor =
            page.next.map(|last| Cursor(hash.into(), view.into(), list.into(), last.into()).seal());
        let freshness = (revision.era() == Era::Modern).then(Freshness::of_memory);
        Ok(raw(&Page { items: Items(list, items), next_cursor, freshness }))
    }

    /// The name after which the page starts; `None` for the first page.
    fn start(self, params: Option<&RawValue>, hash: &str) -> Result<Option<String>, Fault> {
        let params = Object::read_optional(params)
            .ok_or_else(|| Fault::invalid("`params` is not an object"))?;
        if params.get("cursor").is_none() {
            return Ok(None);
        }
        let foreign = || Fault::invalid("`params.cursor` is not a cursor of this list");
        let sealed = params.text("cursor").ok_or_else(foreign)?;
        let bytes = BASE64URL_NOPAD.decode(sealed.as_bytes()).map_err(|_| foreign())?;
        let Cursor(version, view, list, last) =
            serde_json::from_slice(&bytes).map_err(|_| foreign())?;
        if view != self.owner.as_str() || list != self.primitive.member() {
            return Err(foreign());
        }
        if version != hash {
            tracing::debug!(view = %self.owner, list = &*list, "a list goes on after it changed");
        }
        Ok(Some(last.into_owned()))
    }
}

fn gone() -> Fault {
    Fault::invalid("the list changed since `params.cursor` was given; start again without it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(value: &str) -> Box<RawValue> {
        RawValue::from_string(format!(r#"{{"cursor":{value}}}"#)).unwrap()
    }

    fn start_at(params: Option<&RawValue>) -> Result<Option<String>, Fault> {
        let view = View::default();
        let list = List { view: &view, owner: &Owner::Store, primitive: Primitive::Tool };
        list.start(params, "now")
    }

    #[test]
    fn a_list_goes_on_by_name_in_the_same_view_only() {
        assert_eq!(start_at(None).unwrap(), None);
        let seal = |version: &str, view: &str, list: &str| {
            Cursor(version.into(), view.into(), list.into(), "git_log".into()).seal()
        };
        for version in ["now", "then"] {
            let params = cursor(&format!("\"{}\"", seal(version, "store", "tools")));
            assert_eq!(start_at(Some(&params)).unwrap().as_deref(), Some("git_log"));
        }
        let foreign = format!("\"{}\"", seal("now", "research", "tools"));
        let other = format!("\"{}\"", seal("now", "store", "prompts"));
        for unusable in [&*foreign, &other, "\"\"", "\"!\"", "\"e30\"", "null", "7"] {
            let fault = start_at(Some(&cursor(unusable))).unwrap_err();
            assert_eq!(fault.error.code(), -32602, "{unusable}");
        }
    }
}
