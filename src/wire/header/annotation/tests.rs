//! Tests of annotated parameters.

use super::*;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[test]
fn an_annotation_that_can_be_no_header_spoils_the_tool() {
    for property in [
        r#""type":"string","x-mcp-header":"""#,
        r#""type":"string","x-mcp-header":"not a token""#,
        r#""type":"string","x-mcp-header":"Région""#,
        r#""type":"string","x-mcp-header":1"#,
        r#""type":"string","x-mcp-header":"TWICE""#,
        r#""type":"number","x-mcp-header":"N""#,
        r#""type":"object","x-mcp-header":"O""#,
        r#""properties":{"deep":{"type":"array","x-mcp-header":"A"}}"#,
    ] {
        let first = r#""type":"string","x-mcp-header":"Twice""#;
        let schema = format!(r#"{{"properties":{{"first":{{{first}}},"it":{{{property}}}}}}}"#);
        assert_eq!(annotated(&raw(&schema)), None, "{schema}");
    }
    assert_eq!(annotated(&raw(r#"{"properties":{"x-mcp-header":{}}}"#)), Some(Vec::new()));
}

#[test]
fn annotated_parameters_are_compared_by_value() {
    let schema = raw(r#"{"properties":{"region":{"type":"string","x-mcp-header":"Region"},
            "deep":{"properties":{"n":{"type":"integer","x-mcp-header":"N"}}},
            "off":{"items":{"x-mcp-header":"Off"}}}}"#);
    let annotated = annotated(&schema).unwrap();
    assert_eq!(annotated.len(), 2);
    let check = |arguments: &str, region: Option<&'static str>, n: Option<&'static str>| {
        check_params(&annotated, Some(&raw(arguments)), |header| {
            Ok(match header {
                "mcp-param-region" => region,
                _ => n,
            })
        })
    };
    let both = r#"{"region":"eu","deep":{"n":42}}"#;
    assert_eq!(check(both, Some("eu"), Some("42")), Ok(()));
    let said = |arguments: &str| params(&annotated, Some(&raw(arguments)));
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(said(both), [header("mcp-param-region", "eu"), header("mcp-param-n", "42")]);
    assert_eq!(
        said(r#"{"region":"größe","deep":null}"#),
        [header("mcp-param-region", "=?base64?Z3LDtsOfZQ==?=")]
    );
    assert_eq!(check(both, Some("eu"), Some("4.2e1")), Ok(()));
    assert_eq!(check(r#"{"region":null}"#, None, None), Ok(()));
    assert_eq!(
        check(both, Some("us"), Some("42")),
        Err(Mismatch::Differs("mcp-param-region".to_owned()))
    );
    assert_eq!(
        check(both, None, Some("42")),
        Err(Mismatch::Missing("mcp-param-region".to_owned()))
    );
    assert_eq!(
        check("{}", Some("eu"), None),
        Err(Mismatch::Unexpected("mcp-param-region".to_owned()))
    );
    let big = r#"{"deep":{"n":9007199254740993}}"#;
    assert_eq!(
        check(big, None, Some("9007199254740992")),
        Err(Mismatch::Differs("mcp-param-n".to_owned()))
    );
}

/// A schema of which each property is named and written by its place.
fn schema(properties: impl Iterator<Item = (String, String)>) -> Box<RawValue> {
    let properties: Vec<_> =
        properties.map(|(name, property)| format!("\"{name}\":{property}")).collect();
    raw(&format!("{{\"properties\":{{{}}}}}", properties.join(",")))
}

#[test]
fn annotations_have_bounds() {
    let header = |n: usize| format!(r#"{{"x-mcp-header":"h{n}"}}"#);
    let wide = |n| schema((0..n).map(|n| (format!("p{n}"), header(n))));
    assert_eq!(annotated(&wide(MOST)).unwrap().len(), MOST);
    assert_eq!(annotated(&wide(MOST + 1)), None);
    let deep = |depth| {
        let property = (1..depth).fold(header(0), |inner, _| {
            schema(std::iter::once(("p".to_owned(), inner))).get().to_owned()
        });
        annotated(&schema(std::iter::once(("p".to_owned(), property))))
    };
    assert_eq!(deep(DEEPEST).unwrap().len(), 1);
    assert_eq!(deep(DEEPEST + 1), None);
    let named = |length| annotated(&schema(std::iter::once(("p".repeat(length), header(0)))));
    assert_eq!(named(LONGEST_PATH).unwrap().len(), 1);
    assert_eq!(named(LONGEST_PATH + 1), None);
    let text = |length| format!("{{\"description\":\"{}\"}}", "x".repeat(length));
    let long = |length| {
        annotated(&schema(
            [("t".to_owned(), text(length)), ("p".to_owned(), header(0))].into_iter(),
        ))
    };
    assert_eq!(long(LONGEST / 2).unwrap().len(), 1);
    assert_eq!(long(LONGEST), None);
    let plain = schema(std::iter::once(("t".to_owned(), text(LONGEST))));
    assert_eq!(annotated(&plain), Some(Vec::new()), "nothing is asked of what has none");
}

#[test]
fn annotations_are_found_however_they_are_written() {
    let schema = raw(r#"{"propertie\u0073":{"a":{"x\u002dmcp-header":"A"},
        "b":{"x-mcp-header":"B"},"b":{"minimum":1e400,"pattern":"\ud800"}}}"#);
    let found = annotated(&schema).unwrap();
    let headers: Vec<_> = found.iter().map(|it| &*it.header).collect();
    assert_eq!(headers, ["mcp-param-a"], "the last property of a name counts");
}

#[test]
fn no_other_argument_hides_one_that_is_annotated() {
    let schema = raw(r#"{"properties":{"r":{"x-mcp-header":"R"},
        "d":{"x-mcp-header":"D","properties":{"n":{"x-mcp-header":"N"}}}}}"#);
    let found = annotated(&schema).unwrap();
    let check = |arguments: &str, r: Option<&'static str>, n: Option<&'static str>| {
        check_params(&found, Some(&raw(arguments)), |header| {
            Ok(match header {
                "mcp-param-r" => r,
                "mcp-param-n" => n,
                _ => None,
            })
        })
    };
    for beside in ["1e400", r#""\ud800""#, "[1e400]"] {
        let arguments = format!(r#"{{"x":{beside},"\u0072":"eu","d":{{"x":{beside},"n":5}}}}"#);
        assert_eq!(check(&arguments, Some("eu"), Some("5")), Ok(()), "{beside}");
        assert_eq!(
            check(&arguments, Some("us"), Some("5")),
            Err(Mismatch::Differs("mcp-param-r".to_owned()))
        );
        assert_eq!(
            check(&arguments, Some("eu"), None),
            Err(Mismatch::Missing("mcp-param-n".to_owned()))
        );
        let said = params(&found, Some(&raw(&arguments)));
        let said: Vec<_> = said.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(said, [("mcp-param-r", "eu"), ("mcp-param-n", "5")], "{beside}");
    }
    assert_eq!(check(r#"{"r":"us","r":"eu"}"#, Some("eu"), None), Ok(()));
    assert_eq!(check(r#"{"r":"\ud800"}"#, None, None), Ok(()));
    assert_eq!(
        check(r#"{"r":"\ud800"}"#, Some("\\ud800"), None),
        Err(Mismatch::Differs("mcp-param-r".to_owned()))
    );
}

#[test]
fn numbers_are_exact() {
    for (json, text, same) in [
        ("18446744073709551617", "18446744073709551617", true),
        ("18446744073709551617", "18446744073709551616", false),
        ("18446744073709551617", "18446744073709551617.0", true),
        ("1e400", "1e400", true),
        ("1e400", "10e399", true),
        ("1e400", "1e401", false),
        ("1e99999999999999999999", "1e99999999999999999999", true),
        ("0", "-0.0e7", true),
        ("5", "5.0", true),
        ("5", "05", false),
        ("5", " 5", false),
        ("5", "+5", false),
        ("5", "-5", false),
        ("true", "true", true),
        ("true", "1", false),
        ("\"5\"", "5.0", false),
    ] {
        let found = [Annotated { header: "n".to_owned(), path: vec!["n".to_owned()] }];
        let arguments = raw(&format!("{{\"n\":{json}}}"));
        let checked = check_params(&found, Some(&arguments), |_| Ok(Some(text)));
        assert_eq!(checked.is_ok(), same, "{json} {text}");
    }
    for (json, text) in [
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("5.0", "5"),
        ("1e2", "100"),
        ("-0", "0"),
        ("-1.5", "-1.5"),
        ("1e400", "1e400"),
        ("false", "false"),
    ] {
        assert_eq!(said(json).as_deref(), Some(text));
    }
}
