//! `Mcp-*` headers: their names, the encoding of their values, and their comparison with a body.
//!
//! Text only: this module knows no HTTP library and quotes no value in its errors, because
//! parameters are the caller's own.

use std::{borrow::Cow, sync::Arc};

use data_encoding::BASE64;
mod annotation;

pub use annotation::{Annotated, annotated, check_params, is_annotated, params};

/// The revision that a request follows; legacy clients repeat the negotiated one.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The method of a modern request.
pub const METHOD: &str = "mcp-method";
/// What a modern request is about: a tool, a prompt, a resource.
pub const NAME: &str = "mcp-name";
/// Before the name of an annotated parameter.
pub const PARAM_PREFIX: &str = "mcp-param-";
/// A legacy session.
pub const SESSION_ID: &str = "mcp-session-id";
/// The last event that a legacy client saw.
pub const LAST_EVENT_ID: &str = "last-event-id";
/// The key of an input schema's property that asks for a header.
pub const ANNOTATION: &str = "x-mcp-header";

const SENTINEL: (&str, &str) = ("=?base64?", "?=");

/// `Mcp-Param-*` headers of a call that no schema explains, as they came: names in lower case, and
/// values.
pub type Unexplained = Arc<[(String, String)]>;

/// A header that contradicts the body that it came with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It must be there.
    #[error("the header {0} is missing")]
    Missing(String),
    /// It must not be there, because the body has nothing to repeat.
    #[error("the header {0} repeats nothing in the body")]
    Unexpected(String),
    /// It stands there more than once, so that two readers could choose differently.
    #[error("the header {0} stands more than once")]
    Repeated(String),
    /// Its characters or its Base64 cannot be read.
    #[error("the header {0} cannot be decoded")]
    Encoding(String),
    /// It says something else than the body.
    #[error("the header {0} differs from the body")]
    Differs(String),
    /// There are more of those that repeat nothing known than are passed on.
    #[error(
        "at most {0} Mcp-Param headers that no schema names, of {1} bytes together, are passed on"
    )]
    TooMuch(usize, usize),
}

/// Writes a value so that it survives as a header: as it is, or in Base64 between sentinels.
pub fn encode(value: &str) -> Cow<'_, str> {
    let (before, after) = SENTINEL;
    let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let padded = value.starts_with(' ') || value.ends_with(' ');
    let ambiguous = value.starts_with(before) && value.ends_with(after);
    if printable && !padded && !ambiguous {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{before}{}{after}", BASE64.encode(value.as_bytes())))
}

/// Reads what [`encode`] wrote; `None` where sentinels enclose what is not Base64 of UTF-8.
pub fn decode(value: &str) -> Option<Cow<'_, str>> {
    let (before, after) = SENTINEL;
    match value.strip_prefix(before).and_then(|inner| inner.strip_suffix(after)) {
        None => Some(Cow::Borrowed(value)),
        Some(inner) => {
            let bytes = BASE64.decode(inner.as_bytes()).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

/// Checks a header that must repeat a text of the body.
pub fn check_text(header: &str, found: Option<&str>, body: &str) -> Result<(), Mismatch> {
    let found = found.ok_or_else(|| Mismatch::Missing(header.to_owned()))?;
    match decode(found) {
        None => Err(Mismatch::Encoding(header.to_owned())),
        Some(text) if text == body => Ok(()),
        Some(_) => Err(Mismatch::Differs(header.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_that_a_header_cannot_carry_travel_in_base64() {
        for plain in ["", "get_weather", "file:///a b", "=?base64"] {
            assert_eq!(encode(plain), plain);
        }
        assert_eq!(encode("größe"), "=?base64?Z3LDtsOfZQ==?=");
        assert_eq!(decode("=?base64?Z3LDtsOfZQ==?=").unwrap(), "größe");
        assert_eq!(decode("=?base64?***?="), None);
        assert_eq!(encode("=?base64?eA==?="), "=?base64?PT9iYXNlNjQ/ZUE9PT89?=");
    }

    proptest! {
        #[test]
        fn every_text_survives_as_a_header(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            let decoded = decode(&encoded).unwrap();
            prop_assert_eq!(&*decoded, &*text);
        }
    }

    #[test]
    fn a_text_header_must_say_what_the_body_says() {
        assert_eq!(check_text(NAME, Some("a"), "a"), Ok(()));
        assert_eq!(check_text(NAME, Some("=?base64?YQ==?="), "a"), Ok(()));
        for (found, why) in [
            (None, Mismatch::Missing(NAME.to_owned())),
            (Some("b"), Mismatch::Differs(NAME.to_owned())),
            (Some("=?base64?!?="), Mismatch::Encoding(NAME.to_owned())),
        ] {
            assert_eq!(check_text(NAME, found, "a"), Err(why));
        }
    }
}
