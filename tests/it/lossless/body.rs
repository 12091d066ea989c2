//! Bodies as no library would write them: unknown members at every level, numbers that no float
//! holds, escapes, halves of surrogate pairs, keys that stand twice, deep nesting.

use proptest::{collection::vec, option, prelude::*, sample::select, strategy::Union};

/// Any JSON text.
type Json = BoxedStrategy<String>;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tool,
    Prompt,
    Resource,
    Template,
}

/// One exchange.
#[derive(Clone, Debug)]
pub struct Case {
    pub kind: Kind,
    /// Members of the request's parameters and of their `_meta`, as they stand in it.
    pub params: String,
    pub meta: String,
    pub result: String,
    /// Members of a notification about progress, and of a log message.
    pub progress: Option<String>,
    pub log: Option<String>,
    /// An error instead of the result.
    pub error: Option<String>,
    /// A request of the server, its parameters, and what it is answered with.
    pub asks: String,
    pub question: String,
    pub answer: String,
}

/// The URI that another server has too.
pub const CONTESTED: &str = "x:shared";

fn number() -> Json {
    select(vec![
        "0",
        "-0",
        "1.0",
        "1.50",
        "-1E-400",
        "1e400",
        "123456789012345678901234567890",
        "9007199254740993",
        "0.1000000000000000055511151231257827",
        "1E+2",
    ])
    .prop_map(str::to_owned)
    .boxed()
}

fn text() -> Json {
    let written = select(vec![
        r#""""#,
        r#""\u00e9""#,
        r#""\ud83d\ude00""#,
        r#""\ud800""#,
        r#""\udfff\ud800""#,
        r#""\/""#,
        r#""\u0000""#,
        r#""é😀""#,
        r#""\"{[""#,
        r#""\\""#,
        "\"\u{2028}\"",
        r#""resultType""#,
    ]);
    let any = any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
    prop_oneof![3 => written.prop_map(str::to_owned), 1 => any].boxed()
}

/// Keys that mean nothing.
fn key() -> Json {
    select(vec![
        r#""""#,
        r#""x""#,
        r#""é""#,
        r#""\u00e9""#,
        r#""\ud800""#,
        r#""\/""#,
        r#""a b""#,
        r#""0""#,
        r#""io.example/x""#,
        r#""__proto__""#,
    ])
    .prop_map(str::to_owned)
    .boxed()
}

fn value() -> Json {
    let constant = select(vec!["null", "true", "false", "{}", "[]"]).prop_map(str::to_owned);
    let deep =
        (1_usize..60).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let leaf = prop_oneof![number(), text(), constant, deep];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let space = select(vec!["", " ", "\t"]);
        let list = (vec(inner.clone(), 0..4), space.clone())
            .prop_map(|(entries, space)| format!("[{space}{}{space}]", entries.join(",")));
        let object = (vec((key(), inner), 0..4), space).prop_map(|(members, space)| {
            let members = members.iter().map(|(key, it)| format!("{key}{space}:{space}{it}"));
            format!("{{{space}{}}}", members.collect::<Vec<_>>().join(","))
        });
        prop_oneof![list, object]
    })
    .boxed()
}

/// Members that nobody knows, each key once.
fn unknown() -> BoxedStrategy<Vec<String>> {
    vec((key(), value()), 0..3)
        .prop_map(|mut members| {
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            members.dedup_by(|(one, _), (other, _)| one == other);
            members.iter().map(|(key, it)| format!("{key}:{it}")).collect()
        })
        .boxed()
}

/// A member with a value of its own, or without it.
fn member(key: &'static str, value: Json) -> Json {
    value.prop_map(move |value| format!("\"{key}\":{value}")).boxed()
}

fn maybe(key: &'static str, value: Json) -> Json {
    option::of(member(key, value)).prop_map(Option::unwrap_or_default).boxed()
}

/// The members that are there, some unknown ones among them.
fn members(known: Vec<Json>) -> Json {
    (known, unknown(), any::<bool>())
        .prop_map(|(mut known, unknown, is_first)| {
            known.retain(|member| !member.is_empty());
            let (first, second) = if is_first { (unknown, known) } else { (known, unknown) };
            [first, second].concat().join(",")
        })
        .boxed()
}

fn object(known: Vec<Json>) -> Json {
    members(known).prop_map(|members| format!("{{{members}}}")).boxed()
}

fn list(entry: Json) -> Json {
    vec(entry, 0..3).prop_map(|entries| format!("[{}]", entries.join(","))).boxed()
}

fn just(text: &str) -> Json {
    Just(text.to_owned()).boxed()
}

fn uri() -> Json {
    prop_oneof![just("\"x:own\""), just(&format!("\"{CONTESTED}\"")), text()].boxed()
}

fn block() -> Json {
    let resource = object(vec![member("uri", uri()), member("text", text())]);
    let kinds = [
        vec![member("type", just("\"text\"")), member("text", text())],
        vec![member("type", just("\"image\"")), member("data", just("\"AA==\""))],
        vec![member("type", just("\"audio\"")), member("data", just("\"AA==\""))],
        vec![member("type", just("\"resource_link\"")), member("uri", uri())],
        vec![member("type", just("\"resource\"")), member("resource", resource)],
        vec![member("type", just("\"novel\"")), member("data", value())],
    ];
    let notes = || maybe("annotations", object(vec![member("priority", number())]));
    let kinds =
        kinds.map(|known| object([known, vec![notes(), maybe("_meta", object(vec![]))]].concat()));
    Union::new(kinds).boxed()
}

fn result(kind: Kind) -> Json {
    let own = match kind {
        Kind::Tool => vec![
            member("content", list(block())),
            maybe("structuredContent", value()),
            maybe("isError", just("false")),
        ],
        Kind::Prompt => {
            let message =
                object(vec![member("role", just("\"user\"")), member("content", block())]);
            vec![maybe("description", text()), member("messages", list(message))]
        }
        Kind::Resource => {
            let contents = object(vec![member("uri", uri()), member("text", text())]);
            let scope = maybe("cacheScope", just("\"public\""));
            vec![member("contents", list(contents)), maybe("ttlMs", just("5.0")), scope]
        }
        Kind::Template => {
            let completion = object(vec![member("values", list(text())), maybe("total", number())]);
            vec![member("completion", completion)]
        }
    };
    let ui = object(vec![member("resourceUri", uri())]);
    let meta =
        object(vec![maybe("ui", ui), maybe("io.modelcontextprotocol/serverInfo", object(vec![]))]);
    let common = vec![maybe("resultType", just("\"complete\"")), maybe("_meta", meta)];
    object([own, common].concat())
}

fn params(kind: Kind) -> Json {
    let own = match kind {
        Kind::Tool | Kind::Prompt => vec![maybe("arguments", object(vec![]))],
        Kind::Resource => vec![],
        Kind::Template => {
            let argument = object(vec![member("name", text()), member("value", text())]);
            vec![member("argument", argument), maybe("context", object(vec![]))]
        }
    };
    members(own)
}

fn error() -> Json {
    let code = select(vec!["-7", "-32602", "-32002", "-32050", "5"]);
    let code = code.prop_map(str::to_owned).boxed();
    object(vec![member("code", code), member("message", text()), maybe("data", value())])
}

fn question() -> Json {
    let meta = || maybe("_meta", object(vec![maybe("progressToken", text())]));
    let schema = member("requestedSchema", object(vec![]));
    let by_form = vec![member("message", text()), schema, meta()];
    let by_url = vec![
        meta(),
        member("mode", just("\"url\"")),
        member("message", text()),
        member("url", text()),
        maybe("elicitationId", text()),
    ];
    prop_oneof![object(by_form), object(by_url)].boxed()
}

/// Any exchange.
pub fn case() -> BoxedStrategy<Case> {
    let kind = select(vec![Kind::Tool, Kind::Prompt, Kind::Resource, Kind::Template]);
    kind.prop_flat_map(|kind| {
        let progress = members(vec![
            member("progress", just("1.50")),
            maybe("total", number()),
            maybe("message", text()),
        ]);
        let log = members(vec![
            member("level", just("\"error\"")),
            member("data", value()),
            maybe("logger", text()),
        ]);
        let answer =
            object(vec![member("action", just("\"accept\"")), maybe("content", object(vec![]))]);
        let error = option::weighted(0.2, error());
        let asked = (question(), answer);
        (
            params(kind),
            members(vec![]),
            result(kind),
            option::of(progress),
            option::of(log),
            error,
            asked,
        )
            .prop_map(
                move |(params, meta, result, progress, log, error, (question, answer))| {
                    let asks = "elicitation/create".to_owned();
                    Case {
                        kind,
                        params,
                        meta,
                        result,
                        progress,
                        log,
                        error,
                        asks,
                        question,
                        answer,
                    }
                },
            )
    })
    .boxed()
}

/// Definitions to list: of tools, prompts, resources and templates.
pub fn definitions() -> BoxedStrategy<[String; 4]> {
    let one = |known: Vec<Json>| object(known).prop_map(|it| format!("[{it}]")).boxed();
    let schema = |kind: &str| just(&format!(r#"{{"type":"{kind}","x":1.0}}"#));
    let input = || member("inputSchema", schema("object"));
    let tools = (
        object(vec![
            member("name", just("\"t\"")),
            input(),
            member("outputSchema", schema("array")),
        ]),
        object(vec![
            member("name", just("\"u\"")),
            input(),
            member("outputSchema", schema("object")),
        ]),
    );
    let tools = tools.prop_map(|(one, two)| format!("[{one},{two}]"));
    let prompts = one(vec![member("name", just("\"p\"")), maybe("description", text())]);
    let shared =
        object(vec![member("uri", just(&format!("\"{CONTESTED}\""))), member("name", text())]);
    let own = object(vec![
        member("uri", just("\"x:own\"")),
        member("name", text()),
        maybe("size", number()),
    ]);
    let resources = (own, shared).prop_map(|(own, shared)| format!("[{own},{shared}]"));
    let templates = one(vec![member("uriTemplate", just("\"y:{z}\"")), member("name", text())]);
    (tools, prompts, resources, templates).prop_map(|all| [all.0, all.1, all.2, all.3]).boxed()
}
