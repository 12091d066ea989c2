//! Finds the `id` of a message that cannot be parsed, from its first or last bytes.
//!
//! Best effort: servers write the id before the result or after it, so both ends are looked at.
//! A wrong guess is impossible for well-formed JSON, because only the first level is read.

/// The numeric id that a response's start or end reveals. A request names an id of its sender's,
/// which means nothing here.
pub(super) fn id(head: &[u8], tail: &[u8]) -> Option<u64> {
    let (id, request) = from_head(head);
    if request {
        return None;
    }
    id.or_else(|| from_tail(tail))
}

/// Reads members as long as their values are short: the id, and whether there is a method.
fn from_head(bytes: &[u8]) -> (Option<u64>, bool) {
    let mut id = None;
    let mut rest = strip(bytes, b"{");
    while let Some((key, after)) = rest.and_then(string) {
        let value = strip(after, b":");
        if key == b"method" {
            return (None, true);
        }
        let after = if key == b"id" {
            value.and_then(leading_number).map(|(number, after)| {
                id = Some(number);
                after
            })
        } else {
            value.and_then(string).map(|(_, after)| after)
        };
        rest = after.and_then(|after| strip(after, b","));
    }
    (id, false)
}

/// Reads the last member, or the one before a last `"jsonrpc": "2.0"`.
fn from_tail(bytes: &[u8]) -> Option<u64> {
    let mut rest = strip_end(bytes.trim_ascii_end(), b"}")?;
    if let Some(before) = strip_end(rest, b"\"2.0\"")
        .and_then(|rest| strip_end(rest, b":"))
        .and_then(|rest| strip_end(rest, b"\"jsonrpc\""))
        .and_then(|rest| strip_end(rest, b","))
    {
        rest = before;
    }
    let start = rest.iter().rposition(|byte| !byte.is_ascii_digit())?.checked_add(1)?;
    let (before, digits) = rest.split_at_checked(start)?;
    let before = strip_end(strip_end(before, b":")?, b"\"id\"")?;
    matches!(before.last(), Some(b',' | b'{')).then_some(())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A string without escapes, and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = strip(bytes, b"\"")?;
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    let (text, after) = rest.split_at_checked(end)?;
    Some((text, after.strip_prefix(b"\"")?))
}

/// A whole number that another member or the end follows, and what follows it.
fn leading_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, after) = bytes.split_at_checked(end)?;
    let after = after.trim_ascii_start();
    matches!(after.first(), Some(b',' | b'}')).then_some(())?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, after))
}

fn strip<'b>(bytes: &'b [u8], prefix: &[u8]) -> Option<&'b [u8]> {
    Some(bytes.trim_ascii_start().strip_prefix(prefix)?.trim_ascii_start())
}

fn strip_end<'b>(bytes: &'b [u8], suffix: &[u8]) -> Option<&'b [u8]> {
    Some(bytes.trim_ascii_end().strip_suffix(suffix)?.trim_ascii_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_at_either_end() {
        for text in [
            r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"id":9"#,
            r#" { "id" : 7 , "jsonrpc":"2.0","result":"#,
            r#"dsf","id":3}]},"jsonrpc":"2.0","id":7}"#,
            r#"...}],"id":7,"jsonrpc":"2.0"}"#,
            "...\"id\": 7 }\r",
        ] {
            let found = id(text.as_bytes(), text.as_bytes());
            let expected = (!text.starts_with("...\"id")).then_some(7);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for text in [
            "",
            "plain text",
            r#"{"jsonrpc":"2.0","result":{"id":7},"#,
            r#"{"jsonrpc":"2.0","id":"7","result":1}"#,
            r#"{"jsonrpc":"2.0","id":7.5,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":7"#,
            r#"{"a\"id":7}"#,
            r#"..."no\"id":7}x"#,
            r#"{"id":99999999999999999999,"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"#,
            r#"{"method":"x","params":{},"jsonrpc":"2.0","id":7}"#,
        ] {
            assert_eq!(id(text.as_bytes(), text.as_bytes()), None, "{text}");
        }
    }
}
