//! A JSON object read one level deep: its members stay raw and keep their order.
//!
//! The tool for every rewrite on the way of a message: what is not named by an edit leaves
//! untouched, keys as they were written and keys that stand twice included. It never looks below
//! the first level.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize, Serializer, de, ser::SerializeMap as _};
use serde_json::value::RawValue;

/// A JSON object whose members are raw.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    members: Vec<(Key<'a>, Cow<'a, RawValue>)>,
}

/// The key of a member.
#[derive(Clone, Debug)]
struct Key<'a> {
    text: Cow<'a, str>,
    /// As it was written, where we would write it in another way.
    written: Option<&'a RawValue>,
}

impl<'a> Key<'a> {
    const fn ours(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), written: None }
    }

    fn read(raw: &'a RawValue) -> Self {
        let quoted = raw.get();
        let text = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match text {
            Some(text) if !text.contains('\\') => Self::ours(text),
            // Half of a surrogate pair is no text, and with its quotes it is nobody's key.
            _ => {
                let text = serde_json::from_str(quoted).map_or(Cow::Borrowed(quoted), Cow::Owned);
                Self { text, written: Some(raw) }
            }
        }
    }
}

impl PartialEq<str> for Key<'_> {
    fn eq(&self, text: &str) -> bool {
        self.text == text
    }
}

impl<'a> Object<'a> {
    /// Reads an object; `None` for any other JSON.
    pub fn read(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// Whether JSON is an object, found without reading it.
    pub fn is(raw: &RawValue) -> bool {
        raw.get().starts_with('{')
    }

    /// Reads optional parameters: absent ones are an empty object.
    pub fn read_optional(raw: Option<&'a RawValue>) -> Option<Self> {
        raw.map_or_else(|| Some(Self::default()), Self::read)
    }

    /// A member's raw value. Where a key stands twice the last one counts, as in most parsers.
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.members.iter().rev().find(|(name, _)| *name == *key).map(|(_, value)| value.as_ref())
    }

    /// A member that is a string.
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        #[derive(Deserialize)]
        struct Text<'t>(#[serde(borrow)] Cow<'t, str>);
        let raw = self.get(key)?.get();
        serde_json::from_str::<Text<'_>>(raw).ok().map(|Text(text)| text)
    }

    /// A member read as any type; `None` where it is absent or of another shape.
    pub fn typed<T: de::DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_str(self.get(key)?.get()).ok()
    }

    /// Sets a member in its place, or at the end.
    pub fn set(&mut self, key: &'a str, value: Cow<'a, RawValue>) {
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

    /// Gives a member that is there another value.
    pub fn replace(&mut self, key: &str, value: Box<RawValue>) {
        if let Some(member) = self.members.iter_mut().rev().find(|(name, _)| name == key) {
            member.1 = Cow::Owned(value);
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
        self.members.iter().map(|(name, value)| (&*name.text, value.as_ref()))
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
    pub fn to_raw(&self) -> Box<RawValue> {
        super::raw(self)
    }

    /// The text of an object that has a key which serialising would write in another way.
    fn as_written(&self) -> Option<Box<RawValue>> {
        if self.members.iter().all(|(key, _)| key.written.is_none()) {
            return None;
        }
        let mut text = String::from("{");
        for (key, value) in &self.members {
            if text.len() > 1 {
                text.push(',');
            }
            match key.written {
                Some(raw) => text.push_str(raw.get()),
                None => text.push_str(super::raw(&key.text).get()),
            }
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        RawValue::from_string(text).ok()
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.as_written() {
            return text.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(self.members.len()))?;
        for (key, value) in &self.members {
            map.serialize_entry(&key.text, value.as_ref())?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(key) = map.next_key::<&RawValue>()? {
                    let value = map.next_value::<&RawValue>()?;
                    members.push((Key::read(key), Cow::Borrowed(value)));
                }
                Ok(Object { members })
            }
        }
        deserializer.deserialize_map(Visitor)
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
    fn only_objects_are_objects() {
        for text in ["[]", "1", "null", "\"x\""] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            assert!(Object::read(&raw).is_none(), "{text}");
        }
        assert!(Object::read_optional(None).unwrap().is_empty());
    }
}
