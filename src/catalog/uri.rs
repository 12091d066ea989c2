//! URIs of resources in a view that has several servers: the form that names a server, where URIs
//! stand in what servers send, and which template a URI may come from.
//!
//! Pure. It never looks a resource up; the view does.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use crate::{
    id::ServerName,
    wire::{Needle, Object, RawValue, meta::META},
};

mod template;

pub use template::{Effort, Exhausted, Template};

const SCHEME: &str = "switchboard+";
/// Bytes of a URI that is worth matching; servers choose them, and everybody waits meanwhile.
const LONGEST: usize = 8 * 1024;
/// What of a server's name stands encoded in a URI.
const OUTSIDE_OF_NAMES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// Members of a body that hold URIs, and how each is rewritten.
const PLACES: [(&str, Rewrite); 4] =
    [("contents", each_uri), ("content", blocks), ("messages", messages), (META, ui)];

type Change<'c> = &'c mut dyn FnMut(&str) -> Option<String>;
type Rewrite = fn(&RawValue, Change<'_>) -> Option<Box<RawValue>>;

/// The form of a URI that names its server: `switchboard+SERVER:<uri>`, what is not allowed in a
/// name there being percent-encoded.
pub fn qualified(server: &ServerName, uri: &str) -> String {
    format!("{SCHEME}{}:{uri}", utf8_percent_encode(server.as_str(), OUTSIDE_OF_NAMES))
}

/// The server and its own URI that a qualified one names.
pub fn split(uri: &str) -> Option<(ServerName, &str)> {
    let (server, uri) = uri.strip_prefix(SCHEME)?.split_once(':')?;
    let server = percent_decode_str(server).decode_utf8().ok()?;
    Some((ServerName::new(&server).ok()?, uri))
}

/// Changes URIs of resources wherever they stand in a result or in a tool's definition: in
/// `contents`, in resource links and embedded resources of `content` and `messages`, and in
/// `_meta.ui.resourceUri` (MCP Apps). `None` where nothing changes.
pub fn rewrite(
    body: &RawValue,
    change: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<Box<RawValue>> {
    let mut object = Object::read(body)?;
    let mut changed = false;
    for (member, rewrite) in PLACES {
        let Some(new) = object.get(member).and_then(|value| rewrite(value, change)) else {
            continue;
        };
        object.set(member, Cow::Owned(new));
        changed = true;
    }
    changed.then(|| object.to_raw())
}

/// The URIs that an extension's result names, wherever in it: the values of members called `uri`,
/// at most so many of them.
pub fn named(result: &RawValue, limit: usize) -> Vec<String> {
    static NAMED: Needle = Needle::new("\"uri\"");
    fn collect(value: &Value, limit: usize, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, limit, found)),
            Value::Object(members) => {
                for (key, value) in members {
                    match value.as_str().filter(|_| key == "uri" && found.len() < limit) {
                        Some(uri) if !is_too_long(uri) => found.push(uri.to_owned()),
                        _ => collect(value, limit, found),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    if NAMED.is_in(result)
        && let Ok(value) = serde_json::from_str(result.get())
    {
        collect(&value, limit, &mut found);
    }
    found
}

fn each_uri(list: &RawValue, change: Change<'_>) -> Option<Box<RawValue>> {
    each(list, change, |item, change| text(item, "uri", change))
}

fn messages(list: &RawValue, change: Change<'_>) -> Option<Box<RawValue>> {
    each(list, change, |message, change| {
        let mut object = Object::read(message)?;
        let content = blocks(object.get("content")?, change)?;
        object.set("content", Cow::Owned(content));
        Some(object.to_raw())
    })
}

/// One block of content, or a list of them.
fn blocks(content: &RawValue, change: Change<'_>) -> Option<Box<RawValue>> {
    if content.get().starts_with('[') {
        each(content, change, block)
    } else {
        block(content, change)
    }
}

fn block(block: &RawValue, change: Change<'_>) -> Option<Box<RawValue>> {
    let mut object = Object::read(block)?;
    if object.text("type")? == "resource_link" {
        return text(block, "uri", change);
    }
    let resource = text(object.get("resource")?, "uri", change)?;
    object.set("resource", Cow::Owned(resource));
    Some(object.to_raw())
}

fn ui(meta: &RawValue, change: Change<'_>) -> Option<Box<RawValue>> {
    let mut object = Object::read(meta)?;
    let ui = text(object.get("ui")?, "resourceUri", change)?;
    object.set("ui", Cow::Owned(ui));
    Some(object.to_raw())
}

fn text(value: &RawValue, member: &'static str, change: Change<'_>) -> Option<Box<RawValue>> {
    let mut object = Object::read(value)?;
    let new = change(&object.text(member)?)?;
    object.put(member, &new);
    Some(object.to_raw())
}

fn each(list: &RawValue, change: Change<'_>, rewrite: Rewrite) -> Option<Box<RawValue>> {
    let mut items: Vec<Cow<'_, RawValue>> = serde_json::from_str::<Vec<&RawValue>>(list.get())
        .ok()?
        .into_iter()
        .map(Cow::Borrowed)
        .collect();
    let mut changed = false;
    for item in &mut items {
        if let Some(new) = rewrite(item, change) {
            *item = Cow::Owned(new);
            changed = true;
        }
    }
    changed.then(|| crate::wire::raw(&items))
}

/// Whether a URI claims to name a server.
pub fn is_qualified(uri: &str) -> bool {
    uri.starts_with(SCHEME)
}

/// Whether a URI is so long that it is looked up as it is, and neither remembered nor matched.
pub const fn is_too_long(uri: &str) -> bool {
    uri.len() > LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uris_of_an_extension_are_found_wherever_they_stand() {
        let result = r#"{"skills":[{"uri":"skill://a","files":[{"uri":"skill://b","n":1}]}],"url":"x:y","uri":7}"#;
        let result = RawValue::from_string(result.to_owned()).unwrap();
        assert_eq!(named(&result, 9), ["skill://a", "skill://b"]);
        assert_eq!(named(&result, 1), ["skill://a"]);
    }

    fn marked(text: &str) -> Option<String> {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        let mut mark = |uri: &str| uri.starts_with("a:").then(|| format!("x+{uri}"));
        rewrite(&raw, &mut mark).map(|new| new.get().to_owned())
    }

    #[test]
    fn a_qualified_uri_names_its_server() {
        let server = ServerName::new("files").unwrap();
        let uri = qualified(&server, "file:///a:b");
        assert_eq!(uri, "switchboard+files:file:///a:b");
        assert_eq!(split(&uri), Some((server, "file:///a:b")));
        let odd = ServerName::new("my: files").unwrap();
        let uri = qualified(&odd, "x:1");
        assert_eq!(uri, "switchboard+my%3A%20files:x:1");
        assert_eq!(split(&uri), Some((odd, "x:1")));
        for other in ["file:///a", "switchboard+files", "switchboard+%ff:x", "switchboard+:x"] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn uris_are_changed_where_they_stand_and_nothing_else_is() {
        for (before, after) in [
            (
                r#"{"n":1.50,"contents":[{"uri":"a:1","text":"a:1"},{"uri":"b:1"}]}"#,
                r#"{"n":1.50,"contents":[{"uri":"x+a:1","text":"a:1"},{"uri":"b:1"}]}"#,
            ),
            (
                r#"{"content":[{"type":"resource_link","uri":"a:1"},{"type":"text","text":"a:1","uri":"a:1"}]}"#,
                r#"{"content":[{"type":"resource_link","uri":"x+a:1"},{"type":"text","text":"a:1","uri":"a:1"}]}"#,
            ),
            (
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a:1"}}}]}"#,
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"x+a:1"}}}]}"#,
            ),
            (
                r#"{"name":"t","_meta":{"ui":{"resourceUri":"a:1"}}}"#,
                r#"{"name":"t","_meta":{"ui":{"resourceUri":"x+a:1"}}}"#,
            ),
        ] {
            assert_eq!(marked(before).unwrap(), after);
        }
        for same in
            ["[]", r#"{"uri":"a:1"}"#, r#"{"contents":[{"uri":"b:1"}]}"#, r#"{"content":1}"#]
        {
            assert_eq!(marked(same), None, "{same}");
        }
    }
}
