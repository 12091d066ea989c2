//! Why a request has no result, as MCP says it: the one table from kinds of failure to JSON-RPC
//! codes and HTTP statuses, and the failures of tools that a model should read.
//!
//! Used by every transport of the MCP face. It invents no text about servers: the kernel's own
//! sentence is passed on.

use std::time::Duration;

use serde::Serialize;

use crate::{
    access::{CallError, Failure},
    error::{Classify as _, Kind},
    wire::{
        Abilities, Era, ErrorObject, Object, Primitive, RawValue,
        envelope::code,
        meta::{FAILURE, META},
        raw,
    },
};

/// Revision 2025-11-25 and earlier: a resource that does not exist.
const LEGACY_NOT_FOUND: i64 = -32002;
/// When to come back to a runtime that is shutting down: its successor needs a moment.
const DRAINING_RETRY: Duration = Duration::from_secs(5);

/// A JSON-RPC error, and how HTTP says the same.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What the client reads.
    pub(crate) error: ErrorObject,
    /// What HTTP adds, as long as the response's head is not sent.
    pub(crate) head: Head,
}

/// What the head of an HTTP response says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status.
    pub(crate) status: u16,
    /// When trying again makes sense.
    pub(crate) retry_after: Option<Duration>,
}

impl Head {
    /// Fine, as far as HTTP is concerned.
    pub(crate) const OK: Self = Self::status(200);

    const fn status(status: u16) -> Self {
        Self { status, retry_after: None }
    }
}

impl Fault {
    /// An error inside a response that is otherwise fine.
    pub(crate) fn new(code: i64, message: impl AsRef<str>) -> Self {
        Self { error: ErrorObject::new(code, message), head: Head::OK }
    }

    /// An error that HTTP knows too.
    pub(crate) fn with_status(status: u16, code: i64, message: impl AsRef<str>) -> Self {
        Self { error: ErrorObject::new(code, message), head: Head::status(status) }
    }

    /// Parameters that fail their check.
    pub(crate) fn invalid(message: impl AsRef<str>) -> Self {
        Self::new(code::INVALID_PARAMS, message)
    }

    /// The client has not declared what its request needs.
    pub(crate) fn lacking(needed: Abilities) -> Self {
        let text = "this request needs a capability that the client has not declared";
        let data = raw(&serde_json::json!({ "requiredCapabilities": needed.to_raw() }));
        let error = ErrorObject::with_data(code::MISSING_CAPABILITY, text, Some(&data));
        Self { error, head: Head::status(400) }
    }

    fn of_kind(kind: Kind, message: &str, data: Option<&RawValue>) -> Self {
        let (code, status) = row(kind);
        Self { error: ErrorObject::with_data(code, message, data), head: Head::status(status) }
    }

    const fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.head.retry_after = after;
        self
    }
}

/// The table: a kind's JSON-RPC code and HTTP status. 200 is an error that only JSON-RPC knows.
const fn row(kind: Kind) -> (i64, u16) {
    match kind {
        Kind::Invalid | Kind::NotFound => (code::INVALID_PARAMS, 200),
        Kind::Unauthenticated => (code::INVALID_REQUEST, 401),
        Kind::Denied => (code::INVALID_REQUEST, 403),
        Kind::Limited => (code::OVERLOADED, 429),
        Kind::Overloaded => (code::OVERLOADED, 503),
        Kind::Unavailable => (code::UNAVAILABLE, 200),
        Kind::Timeout => (code::TIMEOUT, 200),
        Kind::OutcomeUnknown => (code::OUTCOME_UNKNOWN, 200),
        // A caller that cancelled gets no answer; one whose call someone else ended gets this.
        Kind::Cancelled | Kind::Upstream | Kind::Internal => (code::INTERNAL, 200),
    }
}

/// Whether a failed tool call is a result that the model reads, because it lets an agent carry
/// on, instead of an error that only its program sees.
const fn is_for_the_model(kind: Kind) -> bool {
    matches!(kind, Kind::Overloaded | Kind::Unavailable | Kind::Timeout | Kind::OutcomeUnknown)
}

/// What a failed `tools/call` is answered with.
pub(crate) fn of_call(error: CallError, era: Era) -> Result<Box<RawValue>, Fault> {
    if let CallError::Failed(failure) = &error
        && is_for_the_model(failure.kind)
    {
        return Ok(tool_failure(failure));
    }
    Err(of_request(error, era))
}

/// What any other failed request is answered with.
pub(crate) fn of_request(error: CallError, era: Era) -> Fault {
    let kind = error.kind();
    let text = error.to_string();
    match error {
        CallError::Failed(failure) => {
            Fault::of_kind(kind, &text, Some(&raw(&failure))).retry_after(failure.retry_after)
        }
        CallError::Server { error, .. } => relayed(error, era),
        // The endpoint itself names an agent, so an unknown one is an unknown address.
        CallError::Unknown { what: "agent", .. } => {
            Fault { head: Head::status(404), ..Fault::of_kind(kind, &text, None) }
        }
        CallError::Unknown { what, name, .. } if what == Primitive::Resource.noun() => {
            no_resource(&name, &text, era)
        }
        CallError::UnknownMethod(why) => {
            // A client of the legacy era would take a 404 for the end of its session.
            let status = if era == Era::Modern { 404 } else { 200 };
            Fault::with_status(status, code::METHOD_NOT_FOUND, why)
        }
        CallError::Draining => Fault::of_kind(kind, &text, None).retry_after(Some(DRAINING_RETRY)),
        CallError::UnknownTool { .. } | CallError::Unknown { .. } | CallError::Invalid(_) => {
            Fault::of_kind(kind, &text, None)
        }
        // The client's own affair: a status would look like trouble on the way.
        CallError::TooMany { .. } => Fault { head: Head::OK, ..Fault::of_kind(kind, &text, None) },
    }
}

/// A URI that leads nowhere is repeated; legacy revisions have a code of its own for it (MCP,
/// resources, error handling).
fn no_resource(uri: &str, text: &str, era: Era) -> Fault {
    let code = match era {
        Era::Legacy => LEGACY_NOT_FOUND,
        Era::Modern => code::INVALID_PARAMS,
    };
    let mut data = Object::default();
    data.put("uri", uri);
    Fault { error: ErrorObject::with_data(code, text, Some(&data.to_raw())), head: Head::OK }
}

fn tool_failure(failure: &Failure) -> Box<RawValue> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Text<'a> {
        r#type: &'static str,
        text: &'a str,
    }
    let mut meta = Object::default();
    meta.put(FAILURE, failure);
    let mut result = Object::default();
    result.put("content", &[Text { r#type: "text", text: &failure.text }]);
    result.put("isError", &true);
    result.put(META, &meta);
    result.to_raw()
}

/// A server's own error: relayed raw, except what concerns only our connection to it and what
/// the client's era has no meaning for.
fn relayed(error: ErrorObject, era: Era) -> Fault {
    /// Revision 2025-11-25: the user has to visit an address first.
    const LEGACY_URL_REQUIRED: i64 = -32042;
    let (code, status) = match (error.code(), era) {
        (code::MISSING_CAPABILITY, Era::Modern) => (code::MISSING_CAPABILITY, 400),
        // A client of that era would take a 400 for a broken session.
        (code::MISSING_CAPABILITY, Era::Legacy) => (code::MISSING_CAPABILITY, 200),
        // Only a client that can visit an address gets here with it (`access::live`).
        (LEGACY_URL_REQUIRED, Era::Legacy) => (LEGACY_URL_REQUIRED, 200),
        (-32099..=-32020, _) => (code::INTERNAL, 200),
        (LEGACY_NOT_FOUND, Era::Modern) => (code::INVALID_PARAMS, 200),
        (other, _) => (other, 200),
    };
    let error = if code == error.code() { error } else { with_code(&error, code) };
    Fault { error, head: Head::status(status) }
}

fn with_code(error: &ErrorObject, code: i64) -> ErrorObject {
    let edited = Object::read(error.raw()).and_then(|mut object| {
        object.put("code", &code);
        ErrorObject::read(&object.to_raw())
    });
    edited.unwrap_or_else(|| ErrorObject::new(code, error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::Delivery,
        id::{Incarnation, ServerName},
    };

    fn failure(kind: Kind) -> Failure {
        Failure {
            kind,
            server: ServerName::new("github").unwrap(),
            incarnation: Incarnation(3),
            phase: Delivery::Queued,
            written: None,
            retry_after: Some(Duration::from_secs(8)),
            text: "github is restarting, next try in 8 s; the call was not sent".to_owned(),
        }
    }

    fn upstream(text: &str, era: Era) -> Fault {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        relayed(ErrorObject::read(&raw).unwrap(), era)
    }

    #[test]
    fn a_server_that_is_away_is_told_to_the_model() {
        let result = of_call(CallError::Failed(failure(Kind::Unavailable)), Era::Modern).unwrap();
        assert_eq!(
            result.get(),
            r#"{"content":[{"type":"text","text":"github is restarting, next try in 8 s; the call was not sent"}],"isError":true,"_meta":{"io.switchboard/failure":{"kind":"unavailable","server":"github","incarnation":3,"phase":"queued","sent":false,"retryAfterMs":8000}}}"#
        );
        for kind in [Kind::Overloaded, Kind::Timeout, Kind::OutcomeUnknown] {
            assert!(of_call(CallError::Failed(failure(kind)), Era::Legacy).is_ok());
        }
    }

    #[test]
    fn what_only_a_program_can_mend_is_an_error_with_the_same_data() {
        let fault = of_call(CallError::Failed(failure(Kind::Limited)), Era::Modern).unwrap_err();
        assert_eq!((fault.head.status, fault.error.code()), (429, code::OVERLOADED));
        assert_eq!(fault.head.retry_after, Some(Duration::from_secs(8)));
        assert!(fault.error.raw().get().contains(r#""retryAfterMs":8000"#));

        let fault =
            of_call(CallError::UnknownTool { name: "x".to_owned(), near: None }, Era::Modern)
                .unwrap_err();
        assert_eq!((fault.head.status, fault.error.code()), (200, code::INVALID_PARAMS));
        let fault = of_call(CallError::Draining, Era::Legacy).unwrap_err();
        assert_eq!((fault.head.status, fault.error.code()), (503, code::OVERLOADED));
        assert!(fault.head.retry_after.is_some());
    }

    #[test]
    fn a_servers_own_error_is_relayed_raw_but_not_what_concerns_our_leg() {
        let own = upstream(r#"{"code":-7,"message":"m","data":1e400,"x":1}"#, Era::Modern);
        assert_eq!(own.error.raw().get(), r#"{"code":-7,"message":"m","data":1e400,"x":1}"#);
        for (code, era, becomes) in [
            (-32020, Era::Modern, code::INTERNAL),
            (-32022, Era::Legacy, code::INTERNAL),
            (-32042, Era::Modern, code::INTERNAL),
            (-32021, Era::Modern, code::MISSING_CAPABILITY),
            (-32002, Era::Modern, code::INVALID_PARAMS),
            (-32002, Era::Legacy, -32002),
            (-32601, Era::Modern, code::METHOD_NOT_FOUND),
        ] {
            let fault = upstream(&format!(r#"{{"message":"m","code":{code}}}"#), era);
            assert_eq!(fault.error.code(), becomes, "{code}");
            assert_eq!(fault.error.message(), "m");
        }
    }
}
