//! Headers that a modern request must have over HTTP: what its body says, once more.
//!
//! Decisions only. A client over stdio sends none, so they are computed here.

use crate::wire::{
    Object, RawValue,
    header::{self, Annotated, encode},
    meta, method,
};

/// Names and values of headers.
pub(super) type Headers = Vec<(String, String)>;

/// The headers of any modern request.
pub(super) fn of_request(method: &str, params: Option<&RawValue>) -> Headers {
    let mut headers = vec![(header::METHOD.to_owned(), encode(method).into_owned())];
    let params = Object::read_optional(params).unwrap_or_default();
    let meta = params.object(meta::META).unwrap_or_default();
    if let Some(version) = meta.text(meta::PROTOCOL_VERSION) {
        headers.push((header::PROTOCOL_VERSION.to_owned(), version.into_owned()));
    }
    let subject = method::routed_parameter(method).and_then(|member| params.text(member));
    if let Some(subject) = subject {
        headers.push((header::NAME.to_owned(), encode(&subject).into_owned()));
    }
    headers
}

/// The headers of a call whose tool wants some of its arguments repeated.
pub(super) fn of_arguments(annotated: &[Annotated], params: Option<&RawValue>) -> Headers {
    let params = Object::read_optional(params).unwrap_or_default();
    header::params(annotated, params.get("arguments"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_request_repeats_its_method_version_and_subject() {
        let params = raw(
            r#"{"name":"größe","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            of_request("tools/call", Some(&params)),
            [
                pair("mcp-method", "tools/call"),
                pair("mcp-protocol-version", "2026-07-28"),
                pair("mcp-name", "=?base64?Z3LDtsOfZQ==?="),
            ]
        );
        let bare = [pair("mcp-method", "server/discover")];
        assert_eq!(of_request("server/discover", None), bare);
    }

    #[test]
    fn arguments_are_repeated_where_the_tool_wants_it() {
        let schema = raw(
            r#"{"properties":{"r":{"x-mcp-header":"R"},"n":{"x-mcp-header":"N"},"o":{"x-mcp-header":"O"},"x":{}}}"#,
        );
        let params = raw(r#"{"arguments":{"r":"eu","n":4,"o":null,"x":"no"}}"#);
        let headers = of_arguments(&header::annotated(&schema).unwrap(), Some(&params));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(headers, [pair("mcp-param-r", "eu"), pair("mcp-param-n", "4")]);
    }
}
