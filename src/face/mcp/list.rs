//! `tools/list`: one page of a view, and the cursor of the next.
//!
//! Built from definitions that are raw already. A cursor names the last tool of its page, so
//! that a list goes on where it stopped although it changed in between.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::{Fault, translate};
use crate::{
    access::View,
    id::Owner,
    wire::{Era, Object, RawValue, Revision, raw},
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

/// Where a list goes on: the catalog's version, the view, the last name.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
);

impl Cursor<'_> {
    fn seal(&self) -> String {
        BASE64URL_NOPAD.encode(raw(self).get().as_bytes())
    }
}

/// One page of the view's tools, for a client of any revision.
pub(crate) fn page(
    view: &View,
    owner: &Owner,
    page_size: usize,
    params: Option<&RawValue>,
    revision: Revision,
) -> Result<Box<RawValue>, Fault> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ListToolsResult<'a> {
        tools: Vec<Cow<'a, RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_cursor: Option<String>,
        #[serde(flatten)]
        freshness: Option<Freshness>,
    }
    let hash = view.hash().to_string();
    let after = start(params, owner, &hash)?;
    let page = view.page(after.as_deref(), page_size).ok_or_else(gone)?;
    let tools = page.tools.iter().map(|tool| translate::tool(&tool.raw, revision)).collect();
    let next_cursor =
        page.next.map(|last| Cursor(hash.into(), owner.as_str().into(), last.into()).seal());
    Ok(raw(&ListToolsResult {
        tools,
        next_cursor,
        freshness: (revision.era() == Era::Modern).then(Freshness::of_memory),
    }))
}

/// The name after which the page starts; `None` for the first page.
fn start(params: Option<&RawValue>, owner: &Owner, hash: &str) -> Result<Option<String>, Fault> {
    let params =
        Object::read_optional(params).ok_or_else(|| Fault::invalid("`params` is not an object"))?;
    if params.get("cursor").is_none() {
        return Ok(None);
    }
    let foreign = || Fault::invalid("`params.cursor` is not a cursor of this list");
    let sealed = params.text("cursor").ok_or_else(foreign)?;
    let bytes = BASE64URL_NOPAD.decode(sealed.as_bytes()).map_err(|_| foreign())?;
    let Cursor(version, view, last) = serde_json::from_slice(&bytes).map_err(|_| foreign())?;
    if view != owner.as_str() {
        return Err(foreign());
    }
    if version != hash {
        tracing::debug!(view = %owner, "a list goes on after it changed");
    }
    Ok(Some(last.into_owned()))
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

    fn start_at(params: &RawValue) -> Result<Option<String>, Fault> {
        start(Some(params), &Owner::Store, "now")
    }

    #[test]
    fn a_list_goes_on_by_name_in_the_same_view_only() {
        assert_eq!(start(None, &Owner::Store, "now").unwrap(), None);
        for version in ["now", "then"] {
            let sealed = Cursor(version.into(), "store".into(), "git_log".into()).seal();
            let params = cursor(&format!("\"{sealed}\""));
            assert_eq!(start_at(&params).unwrap().as_deref(), Some("git_log"));
        }
        let other = Cursor("now".into(), "research".into(), "git_log".into()).seal();
        for unusable in [&*format!("\"{other}\""), "\"\"", "\"!\"", "\"e30\"", "null", "7"] {
            let fault = start_at(&cursor(unusable)).unwrap_err();
            assert_eq!(fault.error.code(), -32602, "{unusable}");
        }
    }
}
