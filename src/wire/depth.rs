//! How deep JSON is nested, found without recursion.
//!
//! Everything else here skips what it does not read without recursion too, so that no depth harms
//! us; the parsers of servers have limits of their own.

use memchr::memchr2_iter;

use super::RawValue;

/// Whether objects and lists stand in one another more than `limit` times.
pub fn is_deeper_than(limit: usize, json: &RawValue) -> bool {
    // What opens no more than that is no deeper, which spares reading nearly all.
    let text = json.get().as_bytes();
    memchr2_iter(b'{', b'[', text).nth(limit).is_some() && nests_deeper_than(limit, text)
}

fn nests_deeper_than(limit: usize, text: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Message, Object};

    #[test]
    fn what_stands_in_strings_and_beside_one_another_is_not_deep() {
        for (text, depth) in [
            ("1", 0),
            (r#""[[[[""#, 0),
            (r#"{"a\"[[":[],"b\\":[{}],"c":[[]]}"#, 3),
            (r#"[[],[[]],"]]]]",[[[]]]]"#, 4),
        ] {
            let json: &RawValue = serde_json::from_str(text).unwrap();
            assert!(!is_deeper_than(depth, json), "{text}");
            assert!(depth == 0 || is_deeper_than(depth - 1, json), "{text}");
        }
    }

    #[test]
    fn no_depth_ends_the_program() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","arguments":{deep}}}}}"#
        );
        let Ok(Message::Request { params: Some(params), .. }) = Message::parse(text.as_bytes())
        else {
            panic!("not a request")
        };
        let object = Object::read(params).unwrap();
        assert_eq!(object.text("name").unwrap(), "a");
        assert!(object.text("arguments").is_none());
        assert!(object.typed::<serde_json::Value>("arguments").is_none());
        assert_eq!(object.to_raw().get().len(), params.get().len());
        assert!(is_deeper_than(999_999, params));
    }
}
