//! Lists of tools, prompts, resources and templates: one page of a view, and the cursor of the next.
//!
//! Built from definitions that are raw already. A cursor names the last item of its page, so
//! that a list goes on where it stopped although it changed in between.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::{Caller, Fault, Outcome, fault, translate};
use crate::{
    access::{Gate, Part, View},
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
    list.page(gate, params, revision)
}

/// What an owner sees of one kind.
#[derive(Clone, Copy)]
struct List<'a> {
    view: &'a View,
    owner: &'a Owner,
    primitive: Primitive,
}

impl List<'_> {
    fn page(self, gate: &Gate, params: Option<&RawValue>, revision: Revision) -> Outcome {
        let (primitive, limit) = (self.primitive, gate.page_size());
        let content = self.view.hash_of(primitive);
        let version = content.to_string();
        let after = self.start(params, &version)?;
        let page = self.view.page(primitive, after.as_deref(), limit).ok_or_else(gone)?;
        let items = gate.prepared(Part { content, primitive, after, limit, revision }, || {
            let items = page.items.iter();
            let shown = items.map(|item| translate::definition(primitive, &item.raw, revision));
            into_text(raw(&shown.collect::<Vec<_>>()))
        });
        let freshness = (revision.era() == Era::Modern).then(|| raw(&Freshness::of_memory()));
        let freshness = Object::read_optional(freshness.as_deref()).unwrap_or_default();
        let mut result = Object::default();
        if let Some(last) = page.next {
            let (view, list) = (self.owner.as_str(), primitive.member());
            let next = Cursor(version.into(), view.into(), list.into(), last.into());
            result.put("nextCursor", &next.seal());
        }
        for (key, value) in freshness.members() {
            result.set(key, Cow::Borrowed(value));
        }
        Ok(result.behind(primitive.member(), &items))
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
