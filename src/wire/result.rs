//! What a result says of itself, read without taking it apart.
//!
//! The body stays raw: only the one member that is asked for is looked at.

use super::{Needle, Object, RawValue};

/// The type of a result that wants input first (MCP 2026-07-28, `InputRequiredResult`).
pub const INPUT_REQUIRED: &str = "input_required";
/// The member of a result that says its type.
pub const RESULT_TYPE: &str = "resultType";

/// The member of such a result, and of the request that follows, with what only its sender reads.
pub const STATE: &str = "requestState";
/// The member of the request that follows with the answers.
pub const RESPONSES: &str = "inputResponses";

/// The member of such a result with what it asks.
pub const REQUESTS: &str = "inputRequests";
/// What one result may ask at most.
pub const QUESTIONS: usize = 64;

/// A result is searched up to this many bytes: texts of errors are short.
const SEARCHED: usize = 64 * 1024;

static WANTING: Needle = Needle::new(INPUT_REQUIRED);
static FAILED: Needle = Needle::new("\"isError\"");

/// Whether a tool says in its result, which is JSON text, that it failed (`isError`; MCP,
/// `CallToolResult`). A result of more than 64 KiB is taken for a success.
pub fn is_error(text: &str) -> bool {
    text.len() <= SEARCHED
        && (FAILED.after(text).any(is_true) || FAILED.may_hide_in(text))
        && Object::of(text).and_then(|result| result.typed("isError")) == Some(true)
}

/// Whether a result wants input before there is a complete one.
pub fn wants_input(result: &RawValue) -> bool {
    WANTING.is_in(result)
        && Object::read(result).is_some_and(|result| {
            result.text(RESULT_TYPE).is_some_and(|kind| kind == INPUT_REQUIRED)
        })
}

/// Whether what follows a key says `true`: most results say `false`, which spares reading them.
fn is_true(rest: &str) -> bool {
    let value = rest.trim_start().strip_prefix(':').map(str::trim_start);
    value.is_some_and(|value| value.starts_with("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_results_own_member_counts() {
        assert!(is_error(r#"{"content":[],"isError":true}"#));
        assert!(is_error("{\"isError\" :\n true}"));
        assert!(is_error(r#"{"\u0069sError":true}"#), "however its key is written");
        assert!(!is_error(r#"{"content":[],"isError":false}"#));
        assert!(!is_error(r#"{"isError":true,"isError":false}"#));
        assert!(!is_error(r#"{"content":[],"structuredContent":{"isError":true}}"#));
        assert!(!is_error("{}"));
    }

    #[test]
    fn a_wish_for_input_is_seen_however_it_is_written() {
        for (result, wants) in [
            (r#"{"resultType":"input_required"}"#, true),
            (r#"{"result\u0054ype":"\u0069nput_required"}"#, true),
            (r#"{"resultType":"complete","text":"input_required"}"#, false),
        ] {
            let result = RawValue::from_string(result.to_owned()).unwrap();
            assert_eq!(wants_input(&result), wants, "{result}");
        }
    }
}
