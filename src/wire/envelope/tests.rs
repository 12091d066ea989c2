//! Tests of envelopes.

use super::*;

fn parse(text: &str) -> Message<'_> {
    Message::parse(text.as_bytes()).unwrap()
}

#[test]
fn messages_are_told_apart() {
    assert!(matches!(
        parse(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#),
        Message::Request { .. }
    ));
    assert!(matches!(
        parse(r#"{"jsonrpc":"2.0","method":"x","params":{}}"#),
        Message::Notification { .. }
    ));
    assert!(matches!(
        parse(r#"{"jsonrpc":"2.0","id":1,"result":null}"#),
        Message::Response { outcome: Ok(raw), .. } if raw.get() == "null"
    ));
    let Message::Response { id: None, outcome: Err(error) } =
        parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"m","more":1e400}}"#)
    else {
        panic!("not an error")
    };
    assert_eq!((error.code(), error.message().as_str()), (-1, "m"));
    assert!(error.raw().get().contains("1e400"));
}

#[test]
fn an_id_is_echoed_as_it_was_written() {
    for id in ["1", "18446744073709551616", "1e2", "-0", "\"a\\u00e9\"", "\"\\ud800\""] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let Message::Request { id: read, .. } = parse(&text) else { panic!("{text}") };
        let line = String::from_utf8(error(Some(&read), &ErrorObject::new(1, "x"))).unwrap();
        let echoed = Message::parse(line.as_bytes()).unwrap();
        assert!(matches!(echoed, Message::Response { id: Some(same), .. } if same == read));
        assert!(id.starts_with('"') || line.contains(&format!("\"id\":{id},")), "{line}");
    }
}

#[test]
fn a_result_is_taken_out_of_its_bytes() {
    let response = br#" {"jsonrpc":"2.0","id":7,"result":{"n":1e400} }"#;
    let mut bytes = response.to_vec();
    let (id, result) = take_result(&mut bytes).unwrap();
    assert_eq!((id, result.get()), (Some(Id::from(7)), r#"{"n":1e400}"#));
    let refusal = br#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":""}}"#;
    let mut bytes = refusal.to_vec();
    assert!(take_result(&mut bytes).is_none());
    assert_eq!(bytes, refusal);
}

#[test]
fn what_is_not_a_message_is_refused_with_a_reason() {
    for (text, why) in [
        (r#"{"id":1,"method":"x"}"#, "`jsonrpc` is not \"2.0\""),
        (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, "the `id` of a request is null"),
        (r#"{"jsonrpc":"2.0","id":1}"#, "no `method`, `result` or `error`"),
        (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, "`id` is neither a string nor a number"),
        (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1}}"#, "more than one of"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","method":"y"}"#, "`method` stands there twice"),
        (r#"{"jsonrpc":"2.0","id":1,"method":2}"#, "`method` is no text"),
        (r#"["2.0",1,"ping"]"#, "not a JSON-RPC 2.0 message: no object"),
        ("\"secret\"", "not a JSON-RPC 2.0 message: no object"),
    ] {
        let error = Message::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!(matches!(Message::parse(b"hello"), Err(ParseError::Json(_))));
    assert!(matches!(Message::parse(b"[1]"), Err(ParseError::Rpc { .. })));
}

#[test]
fn bodies_leave_as_they_came_but_on_one_line() {
    let body = RawValue::from_string("{\"a\":\n 1.0e0,\r\"b\":\"\\u00e9\\n\"}".to_owned()).unwrap();
    let line = request(&7_u64, "tools/call", Some(&body));
    let text = String::from_utf8(line).unwrap();
    assert_eq!(
        text,
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"a\":  1.0e0, \"b\":\"\\u00e9\\n\"}}"
    );
    assert_eq!(
        String::from_utf8(error(None, &ErrorObject::new(code::PARSE, "x"))).unwrap(),
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"x\"}}"
    );
}

#[test]
fn keys_are_read_however_they_are_written() {
    let message =
        parse(r#"{"\ud800":1,"\u006asonrpc":"2.\u0030","id":1,"m\u0065thod":"pin\u0067","x":{}}"#);
    assert!(matches!(message, Message::Request { method, .. } if method == "ping"));
}
