//! A JSON object read one level deep: its members stay raw and keep their order.
//!
//! The tool for every rewrite on the way of a message: what is not named by an edit leaves
//! untouched, keys as they were written and keys that stand twice included. It never looks below
//! the first level.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::{
    Pieces, pieces,
    scan::{self, Members},
};

/// Members of an object that is read at most: each takes more memory than the shortest are long.
const MOST: usize = 65_536;

/// A JSON object whose members are raw.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    /// Each value is JSON text.
    members: Vec<(Key<'a>, Cow<'a, str>)>,
}

/// The key of a member.
#[derive(Clone, Debug)]
struct Key<'a> {
    text: Cow<'a, str>,
    /// As it was written, with its quotes, where it was read.
    written: Option<&'a str>,
}

impl<'a> Key<'a> {
    const fn ours(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), written: None }
    }

    fn read(quoted: &'a str) -> Self {
        let text = scan::plain(quoted).map(Cow::Borrowed);
        // Half of a surrogate pair is no text, and with its quotes it is nobody's key.
        let unescaped = || serde_json::from_str(quoted).map_or(Cow::Borrowed(quoted), Cow::Owned);
        Self { text: text.unwrap_or_else(unescaped), written: Some(quoted) }
    }

    /// Up to the value.
    fn write(&self, json: &mut String) {
        match self.written {
            Some(quoted) => json.push_str(quoted),
            None => scan::quote(&self.text, json),
        }
        json.push(':');
    }
}

impl PartialEq<str> for Key<'_> {
    fn eq(&self, text: &str) -> bool {
        self.text == text
    }
}

impl<'a> Object<'a> {
    /// Reads an object; `None` for any other JSON, and for one of more than 65,536 members.
    pub fn read(raw: &'a RawValue) -> Option<Self> {
        Self::of(raw.get())
    }

    /// Reads an object from JSON text that was checked.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let mut members = Vec::with_capacity(8);
        for (key, value) in Members::of(text)? {
            if members.len() == MOST {
                return None;
            }
            members.push((Key::read(key), Cow::Borrowed(value)));
        }
        Some(Self { members })
    }

    /// Whether JSON is an object, found without reading it.
    pub fn is(raw: &RawValue) -> bool {
        raw.get().starts_with('{')
    }

    /// Reads optional parameters: absent ones are an empty object.
    pub fn read_optional(raw: Option<&'a RawValue>) -> Option<Self> {
        raw.map_or_else(|| Some(Self::default()), Self::read)
    }

    /// A member's JSON text. Where a key stands twice the last one counts, as in most parsers.
    pub fn json(&self, key: &str) -> Option<&str> {
        self.members.iter().rev().find(|(name, _)| *name == *key).map(|(_, value)| &**value)
    }

    /// A member's raw value.
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        serde_json::from_str(self.json(key)?).ok()
    }

    /// A member that is an object, read one level deep.
    pub fn object(&self, key: &str) -> Option<Object<'_>> {
        Object::of(self.json(key)?)
    }

    /// The same, where the member is still as it was read.
    pub(crate) fn part(&self, key: &str) -> Option<Object<'a>> {
        let (_, value) = self.members.iter().rev().find(|(name, _)| *name == *key)?;
        match value {
            Cow::Borrowed(text) => Object::of(text),
            Cow::Owned(_) => None,
        }
    }

    /// A member that is a string.
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        scan::text_of(self.json(key)?)
    }

    /// A member read as any type; `None` where it is absent or of another shape.
    pub fn typed<T: de::DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_str(self.json(key)?).ok()
    }

    /// Sets a member in its place, or at the end.
    pub fn set(&mut self, key: &'a str, value: Cow<'a, RawValue>) {
        let value = match value {
            Cow::Borrowed(raw) => Cow::Borrowed(raw.get()),
            Cow::Owned(raw) => Cow::Owned(super::into_text(raw)),
        };
        self.set_json(key, value);
    }

    /// The same for a text.
    pub(crate) fn set_text(&mut self, key: &'a str, text: &str) {
        let mut json = String::with_capacity(text.len() + 2);
        scan::quote(text, &mut json);
        self.set_json(key, Cow::Owned(json));
    }

    /// The same for JSON text, such as that of another object.
    pub(crate) fn set_json(&mut self, key: &'a str, value: Cow<'a, str>) {
        let Some(first) = self.members.iter().position(|(name, _)| *name == *key) else {
            self.members.push((Key::ours(key), value));
            return;
        };
        let mut index = 0;
        self.members.retain(|(name, _)| {
            index += 1;
            index - 1 <= first || *name != *key
        });
        if let Some(member) = self.members.get_mut(first) {
            member.1 = value;
        }
    }

    /// Sets a member that serialises to JSON.
    pub fn put<T: Serialize + ?Sized>(&mut self, key: &'a str, value: &T) {
        self.set(key, Cow::Owned(super::raw(value)));
    }

    /// Gives each member the value that is made of its present one, if one is.
    pub fn change(&mut self, make: impl Fn(&RawValue) -> Option<Box<RawValue>>) {
        for (_, value) in &mut self.members {
            if let Some(made) = serde_json::from_str(value).ok().and_then(&make) {
                *value = Cow::Owned(super::into_text(made));
            }
        }
    }

    /// Removes a member wherever it stands.
    pub fn remove(&mut self, key: &str) {
        self.members.retain(|(name, _)| *name != *key);
    }

    /// Keeps the members whose key passes.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.members.retain(|(name, _)| keep(&name.text));
    }

    /// The members in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.members.iter().filter_map(|(key, value)| {
            let value = serde_json::from_str(value).ok()?;
            Some((&*key.text, value))
        })
    }

    /// The keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| &*name.text)
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The object as raw JSON.
    ///
    /// # Panics
    /// Never: each member is JSON.
    #[allow(clippy::expect_used, reason = "each member is JSON, so their object is")]
    pub fn to_raw(&self) -> Box<RawValue> {
        RawValue::from_string(self.to_json()).expect("members are JSON")
    }

    /// The object as JSON text: keys and values as they were written.
    pub fn to_json(&self) -> String {
        let length = |(key, value): &(Key<'_>, Cow<'_, str>)| key.text.len() + value.len() + 8;
        let mut json = String::with_capacity(2 + self.members.iter().map(length).sum::<usize>());
        let mut before = '{';
        for (key, value) in &self.members {
            json.push(before);
            key.write(&mut json);
            json.push_str(value);
            before = ',';
        }
        json.push_str(if self.is_empty() { "{}" } else { "}" });
        json
    }

    /// The object with another member before all others, of which a long one is shared.
    pub fn behind(&self, key: &str, value: &Pieces) -> Pieces {
        let mut head = "{".to_owned();
        Key::ours(key).write(&mut head);
        let rest = self.to_json();
        let tail = if self.is_empty() { "}".to_owned() } else { rest.replacen('{', ",", 1) };
        value.between(head.into(), tail.as_bytes())
    }

    /// The same, sharing what is long of the text that the object was read from.
    pub fn to_pieces(&self, source: &Pieces) -> Pieces {
        if source.len() < pieces::LONG {
            return self.to_json().into();
        }
        let mut writer = pieces::Writer::new(source);
        let mut before = '{';
        for (key, value) in &self.members {
            writer.open().push(before);
            key.write(writer.open());
            writer.push(value);
            before = ',';
        }
        writer.open().push_str(if self.is_empty() { "{}" } else { "}" });
        writer.end()
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_raw().serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Self::read(raw).ok_or_else(|| de::Error::custom("not an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_leaves_everything_else_as_it_was() {
        let raw = RawValue::from_string(
            r#"{"big":123456789012345678901234567890, "name" : "a", "u":"\u00e9", "name":"b"}"#
                .to_owned(),
        )
        .unwrap();
        let mut object = Object::read(&raw).unwrap();
        assert_eq!(object.text("name").as_deref(), Some("b"));
        object.put("name", "c");
        object.put("new", &1);
        object.remove("missing");
        assert_eq!(
            object.to_raw().get(),
            r#"{"big":123456789012345678901234567890,"name":"c","u":"\u00e9","new":1}"#
        );
    }

    #[test]
    fn a_key_leaves_as_it_was_written() {
        let text = r#"{"\u00e9":1,"\ud800":2,"n\u0061me":"a","":3,"\/":4,"x":5,"x":6}"#;
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        let mut object = Object::read(&raw).unwrap();
        assert_eq!(object.to_raw().get(), text);
        assert_eq!(object.get("é").unwrap().get(), "1");
        assert_eq!(object.text("name").as_deref(), Some("a"));
        object.put("name", "b");
        object.remove("/");
        let mut outer = Object::default();
        outer.put("inner", &object);
        assert_eq!(
            outer.to_raw().get(),
            r#"{"inner":{"\u00e9":1,"\ud800":2,"n\u0061me":"b","":3,"x":5,"x":6}}"#
        );
    }

    #[test]
    fn an_object_of_very_many_members_is_not_read() {
        let of = |count| {
            let json = format!("{{{}}}", vec!["\"a\":1"; count].join(","));
            RawValue::from_string(json).unwrap()
        };
        assert_eq!(Object::read(&of(MOST)).unwrap().len(), MOST);
        assert!(Object::read(&of(MOST + 1)).is_none());
    }

    #[test]
    fn only_objects_are_objects() {
        for text in ["[]", "1", "null", "\"x\""] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            assert!(Object::read(&raw).is_none(), "{text}");
        }
        assert!(Object::read_optional(None).unwrap().is_empty());
    }
}
