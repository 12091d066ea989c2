//! Headers of the MCP endpoint, read and compared with the body.
//!
//! Decisions only. Values are never quoted: a mismatch names the header.

use axum::http::{
    HeaderMap, HeaderName,
    header::{ACCEPT, CONTENT_TYPE},
};

use crate::{
    face::mcp::{Fault, modern::Request},
    trace::{Context, KEYS},
    wire::{
        Revision,
        envelope::code,
        header::{self, Annotated, Mismatch, Unexplained},
        method,
    },
};

/// The revision of a message.
pub(super) const VERSION: HeaderName = HeaderName::from_static(header::PROTOCOL_VERSION);
const METHOD: HeaderName = HeaderName::from_static(header::METHOD);
const NAME: HeaderName = HeaderName::from_static(header::NAME);
/// The legacy session of a message.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static(header::SESSION_ID);
static TRACE: [HeaderName; 3] = {
    let [parent, state, baggage] = KEYS;
    [
        HeaderName::from_static(parent),
        HeaderName::from_static(state),
        HeaderName::from_static(baggage),
    ]
};

/// A JSON body or answer.
pub(super) const JSON: &str = "application/json";
/// Both, as clients of the official SDKs list them.
const BOTH: &str = "application/json, text/event-stream";
/// A stream of events.
pub(super) const EVENTS: &str = "text/event-stream";

/// The one value of a header.
pub(super) fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h str>, Mismatch> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Mismatch::Repeated(name.to_string()));
    }
    let text = value.to_str();
    text.map(Some).map_err(|_| Mismatch::Encoding(name.to_string()))
}

/// Whether the client takes a media type, by name or by range.
pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let kind = media_type.split('/').next().unwrap_or_default();
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .map(str::trim)
        .any(|range| {
            range.eq_ignore_ascii_case(media_type)
                || range == "*/*"
                || range.strip_suffix("/*").is_some_and(|any| any.eq_ignore_ascii_case(kind))
        })
}

/// The trace that a message belongs to, where its own metadata names none.
pub(super) fn trace(headers: &HeaderMap) -> Context {
    let name = |key| TRACE.iter().find(|name| name.as_str() == key);
    Context::read(|key| headers.get(name(key)?)?.to_str().ok())
}

/// Checks what a client must say about any message that it posts.
pub(super) fn check_post(headers: &HeaderMap) -> Result<(), Fault> {
    let refused = |status, text| Err(Fault::with_status(status, code::INVALID_REQUEST, text));
    // As nearly every client says it, which spares reading the ranges.
    let is_usual = headers.get(ACCEPT).is_some_and(|accept| accept == BOTH);
    if !(is_usual || accepts(headers, JSON) && accepts(headers, EVENTS)) {
        return refused(406, "`Accept` must list application/json and text/event-stream");
    }
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(JSON));
    if !is_json {
        return refused(415, "`Content-Type` must be application/json");
    }
    Ok(())
}

/// Checks the revision that a legacy client repeats; absent is fine, because it came with
/// 2025-06-18.
pub(super) fn check_legacy_version(headers: &HeaderMap) -> Result<(), Fault> {
    match single(headers, &VERSION) {
        Ok(None) => Ok(()),
        Ok(Some(text)) if Revision::parse(text).is_some() => Ok(()),
        Ok(Some(_)) | Err(_) => {
            Err(Fault::with_status(400, code::INVALID_REQUEST, "unsupported MCP-Protocol-Version"))
        }
    }
}

/// `Mcp-Param-*` headers that no schema names and that are passed on at most.
const UNEXPLAINED: usize = 16;
/// Bytes of their names and values together.
const UNEXPLAINED_BYTES: usize = 8 * 1024;

/// Checks that a modern request's headers repeat its body; `annotated` finds the
/// parameters that the tool which is called wants repeated. Gives those beside that claim to be
/// parameters too, which belong to the call.
pub(super) fn check_request(
    headers: &HeaderMap,
    request: &Request<'_>,
    annotated: impl FnOnce(&str) -> Vec<Annotated>,
) -> Result<Option<Unexplained>, Fault> {
    let version = single(headers, &VERSION);
    version
        .and_then(|found| header::check_text(header::PROTOCOL_VERSION, found, &request.version))
        .map_err(mismatch)?;
    // Which headers a revision wants is known of revisions that are known.
    request.revision()?;
    check_method(headers, request.method)?;
    let Some(member) = method::routed_parameter(request.method) else {
        return Ok(None);
    };
    let Some(subject) = request.object.text(member) else {
        return Ok(None);
    };
    single(headers, &NAME)
        .and_then(|found| header::check_text(header::NAME, found, &subject))
        .map_err(mismatch)?;
    if request.method != method::TOOLS_CALL {
        return Ok(None);
    }
    let annotated = annotated(&subject);
    let arguments = (!annotated.is_empty()).then(|| request.object.get("arguments")).flatten();
    header::check_params(&annotated, arguments, |name| {
        // What is no name of a header is in no request.
        HeaderName::from_bytes(name.as_bytes()).map_or(Ok(None), |name| single(headers, &name))
    })
    .and_then(|()| unexplained(headers, &annotated))
    .map_err(mismatch)
}

/// The headers that claim to be parameters and that no schema names.
fn unexplained(
    headers: &HeaderMap,
    annotated: &[Annotated],
) -> Result<Option<Unexplained>, Mismatch> {
    let mut passed = Vec::new();
    let mut bytes = 0;
    for name in headers.keys().filter(|name| name.as_str().starts_with(header::PARAM_PREFIX)) {
        if annotated.iter().any(|known| known.header == name.as_str()) {
            continue;
        }
        let value = single(headers, name)?.unwrap_or_default();
        bytes += name.as_str().len() + value.len();
        passed.push((name.to_string(), value.to_owned()));
        if passed.len() > UNEXPLAINED || bytes > UNEXPLAINED_BYTES {
            return Err(Mismatch::TooMuch(UNEXPLAINED, UNEXPLAINED_BYTES));
        }
    }
    Ok((!passed.is_empty()).then(|| passed.into()))
}

/// Checks the header that repeats the method of a modern message.
pub(super) fn check_method(headers: &HeaderMap, method: &str) -> Result<(), Fault> {
    single(headers, &METHOD)
        .and_then(|found| header::check_text(header::METHOD, found, method))
        .map_err(mismatch)
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err calls")]
fn mismatch(mismatch: Mismatch) -> Fault {
    Fault::with_status(400, code::HEADER_MISMATCH, mismatch.to_string())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::wire::{Id, RawValue};

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn a_post_takes_both_answers_and_brings_json() {
        let both = "application/json, text/event-stream";
        for (accept, content, status) in [
            (both, "application/json", None),
            ("TEXT/*;q=0.5,application/json", "Application/JSON; charset=utf-8", None),
            ("*/*", "application/json", None),
            ("application/json", "application/json", Some(406)),
            ("text/event-stream", "application/json", Some(406)),
            (both, "text/plain", Some(415)),
        ] {
            let headers = headers(&[("accept", accept), ("content-type", content)]);
            let found = check_post(&headers).err().map(|fault| fault.head.status);
            assert_eq!(found, status, "{accept} {content}");
        }
        assert_eq!(check_post(&HeaderMap::new()).unwrap_err().head.status, 406);
    }

    #[test]
    fn a_modern_request_repeats_itself_in_its_headers() {
        let params = RawValue::from_string(r#"{"name":"größe","arguments":{"r":"eu"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#.to_owned()).unwrap();
        let schema = RawValue::from_string(
            r#"{"properties":{"r":{"type":"string","x-mcp-header":"R"}}}"#.to_owned(),
        )
        .unwrap();
        let request = Request::read(Id::from(1), method::TOOLS_CALL, Some(&params)).unwrap();
        let right = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "=?base64?Z3LDtsOfZQ==?="),
            ("mcp-param-r", "eu"),
        ];
        let check = |pairs: &[(&str, &str)]| {
            check_request(&headers(pairs), &request, |_| header::annotated(&schema).unwrap())
                .map_err(|fault| (fault.head.status, fault.error.code()))
        };
        assert_eq!(check(&right), Ok(None));
        for index in 0..right.len() {
            let mut missing = right.to_vec();
            missing.remove(index);
            assert_eq!(check(&missing), Err((400, code::HEADER_MISMATCH)));
            let mut wrong = right;
            wrong[index].1 = "other";
            assert_eq!(check(&wrong), Err((400, code::HEADER_MISMATCH)));
            let mut twice = right.to_vec();
            twice.push(right[index]);
            assert_eq!(check(&twice), Err((400, code::HEADER_MISMATCH)));
        }
    }

    #[test]
    fn parameters_that_no_schema_names_are_passed_on_within_bounds() {
        let schema = RawValue::from_string(
            r#"{"properties":{"r":{"type":"string","x-mcp-header":"R"}}}"#.to_owned(),
        );
        let annotated = header::annotated(&schema.unwrap()).unwrap();
        let of = |pairs: &[(&str, &str)]| unexplained(&headers(pairs), &annotated);
        assert_eq!(of(&[("mcp-param-r", "eu"), ("mcp-name", "t"), ("cookie", "c")]), Ok(None));
        let passed = of(&[("Mcp-Param-Tenant", "=?base64?YQ==?="), ("mcp-param-r", "eu")]);
        let expected = ("mcp-param-tenant".to_owned(), "=?base64?YQ==?=".to_owned());
        assert_eq!(passed.unwrap().as_deref(), Some(&[expected][..]));
        let twice = of(&[("mcp-param-x", "1"), ("mcp-param-x", "2")]);
        assert_eq!(twice, Err(Mismatch::Repeated("mcp-param-x".to_owned())));
        let names: Vec<String> = (0..=UNEXPLAINED).map(|it| format!("mcp-param-{it}")).collect();
        let many: Vec<_> = names.iter().map(|name| (&**name, "1")).collect();
        assert!(of(&many[1..]).is_ok());
        let refused = of(&many).map_err(|why| why.to_string()).unwrap_err();
        assert!(refused.contains("at most 16") && refused.contains("8192 bytes"), "{refused}");
        assert!(of(&[("mcp-param-x", &"y".repeat(UNEXPLAINED_BYTES))]).is_err());
    }

    #[test]
    fn a_legacy_version_may_be_absent_but_not_unknown() {
        assert!(check_legacy_version(&HeaderMap::new()).is_ok());
        for (version, fine) in [("2025-06-18", true), ("2024-11-05", true), ("1.0", false)] {
            let headers = headers(&[("mcp-protocol-version", version)]);
            assert_eq!(check_legacy_version(&headers).is_ok(), fine, "{version}");
        }
    }
}
