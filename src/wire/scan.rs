//! Where the members of an object begin and end in JSON text that is known to be valid.
//!
//! Reads nothing below the first level and checks nothing: whoever holds a `RawValue` holds text
//! that a parser has checked. On other text it ends early, and never beyond the text.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::RawValue;

/// The members of an object, each as its key with quotes and its value, both as they were written.
#[derive(Debug)]
pub(super) struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Members<'a> {
    /// The members of an object; `None` for any other value.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        text.starts_with('{').then_some(Self { text, at: 1 })
    }

    /// The next byte that is no space, and where it stands.
    fn token(&self, mut at: usize) -> Option<(u8, usize)> {
        loop {
            match *self.text.as_bytes().get(at)? {
                b' ' | b'\n' | b'\r' | b'\t' => at += 1,
                token => return Some((token, at)),
            }
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let (mut token, mut key) = self.token(self.at)?;
        if token == b',' {
            (token, key) = self.token(key + 1)?;
        }
        if token != b'"' {
            return None;
        }
        let key_end = string_end(bytes, key + 1)?;
        let (_colon, at) = self.token(key_end)?;
        let (_first, value) = self.token(at + 1)?;
        self.at = value_end(bytes, value)?;
        Some((self.text.get(key..key_end)?, self.text.get(value..self.at)?))
    }
}

/// Behind the value that starts here.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at + 1),
        b'{' | b'[' => container_end(bytes, at + 1),
        _ => {
            let rest = bytes.get(at..)?;
            let is_end =
                |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            Some(at + rest.iter().position(is_end).unwrap_or(rest.len()))
        }
    }
}

/// Behind the string whose first character stands here.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let found = at + stop(bytes.get(at..)?)?;
        if bytes.get(found) == Some(&b'"') {
            return Some(found + 1);
        }
        at = found + 2;
    }
}

/// The first quotation mark or backslash. Nearly all strings are keys and short, for which a search
/// that is made for long ones costs more than it finds.
fn stop(rest: &[u8]) -> Option<usize> {
    const SHORT: usize = 48;
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const ESCAPES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    // The top bit of the lowest byte that is zero, and perhaps of ones above it.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let (words, _) = rest.as_chunks::<8>();
    for (place, word) in words.iter().take(SHORT / 8).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero(word ^ QUOTES) | zero(word ^ ESCAPES);
        if found != 0 {
            return Some(place * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let searched = words.len().min(SHORT / 8) * 8;
    memchr2(b'"', b'\\', rest.get(searched..)?).map(|found| searched + found)
}

/// Behind the object or list whose inside starts here.
fn container_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 1_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at + 1)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The text of a value; `None` for what is none, such as half of a surrogate pair.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    text_of(value.get())
}

/// The same for JSON text.
pub(super) fn text_of(json: &str) -> Option<Cow<'_, str>> {
    match plain(json) {
        Some(text) => Some(Cow::Borrowed(text)),
        None => serde_json::from_str(json).ok().map(Cow::Owned),
    }
}

/// A key's text, where it was written without escapes.
pub(super) fn plain(quoted: &str) -> Option<&str> {
    let text = quoted.strip_prefix('"')?.strip_suffix('"')?;
    memchr(b'\\', text.as_bytes()).is_none().then_some(text)
}

/// Writes a text as a JSON string.
pub(super) fn quote(text: &str, out: &mut String) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(super::raw(text).get());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(text: &str) -> Vec<(&str, &str)> {
        Members::of(text).unwrap().collect()
    }

    #[test]
    fn members_are_found_as_they_were_written() {
        assert_eq!(members("{}"), []);
        assert_eq!(members("{\n}"), []);
        let text =
            "{ \"a\" :\t1.50 , \"b\\\"}\":\"x\\\\\",\"c\":[{\"d\":\"]}\\\"\"},[]],\"\":null\n}";
        assert_eq!(
            members(text),
            [
                ("\"a\"", "1.50"),
                ("\"b\\\"}\"", "\"x\\\\\""),
                ("\"c\"", "[{\"d\":\"]}\\\"\"},[]]"),
                ("\"\"", "null"),
            ]
        );
        assert!(Members::of("[1]").is_none());
    }

    #[test]
    fn text_that_ends_early_ends_the_members() {
        for text in
            ["{", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":\"x", "{\"a\":[{}", "{\"a\":\"\\", "{1"]
        {
            assert!(members(text).is_empty(), "{text}");
        }
        assert_eq!(members("{\"a\":1"), [("\"a\"", "1")]);
    }

    proptest! {
        /// A parser finds the same members with the same text.
        #[test]
        fn a_parser_agrees(keys in proptest::collection::vec("[a-z\"\\\\\u{e9} {}]{0,6}", 0..6), value in "[ -~\u{e9}\n]{0,40}", deep in 0_usize..5) {
            let mut inner = serde_json::Value::from(value);
            for _ in 0..deep {
                inner = serde_json::json!([{ "k\"": inner, "n": -1.5e3 }, []]);
            }
            let object: serde_json::Map<_, _> = keys.into_iter().map(|key| (key, inner.clone())).collect();
            for text in [serde_json::to_string(&object).unwrap(), serde_json::to_string_pretty(&object).unwrap()] {
                let pairs: parsed::Pairs<'_> = serde_json::from_str(&text).unwrap();
                let expected: Vec<_> = pairs.0.iter().map(|(key, value)| (key.get(), value.get())).collect();
                prop_assert_eq!(members(&text), expected);
            }
        }
    }

    /// An object's members as `serde_json` finds them.
    mod parsed {
        use super::RawValue;
        use serde::de;

        pub(super) struct Pairs<'a>(pub(super) Vec<(&'a RawValue, &'a RawValue)>);

        impl<'de> de::Deserialize<'de> for Pairs<'de> {
            fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> de::Visitor<'de> for Visitor {
                    type Value = Pairs<'de>;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut pairs = Vec::new();
                        while let Some(pair) = map.next_entry()? {
                            pairs.push(pair);
                        }
                        Ok(Pairs(pairs))
                    }
                }
                deserializer.deserialize_map(Visitor)
            }
        }
    }
}
