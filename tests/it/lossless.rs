//! What is sent arrives as it was sent: bodies that no library would write, through every pair of
//! eras and in both directions, and nothing differs that the table of changes does not name.

mod body;
mod examples;
mod rows;
mod server;
mod talk;
mod tree;
mod web;

use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use switchboard::wire::{
    Revision,
    change::{self, Body},
};

use crate::support::{page, seeds};
use body::{Case, Kind, case, definitions};
use examples::Place;
use rows::Met;
use server::Offer;
use talk::{Client, Host, joined};
use tree::{Tree, differences};
use web::Way;

/// Exchanges of each pair of eras as lines, for one seed.
const CASES: u32 = 40;
/// How many of them go every other way too, where all that differs is the framing.
const FRAMED: u32 = 10;
const CLIENTS: [Revision; 4] =
    [Revision::LATEST, Revision::LATEST_LEGACY, Revision::V2025_03_26, Revision::V2024_11_05];

/// Rows that cannot be met here: around bodies, with spans that are exported
/// (`telemetry/spans.rs`), and of tasks (`tasks/told.rs`).
const ELSEWHERE: [change::Change; 4] =
    [change::ENVELOPE, change::TRACE, change::LIST, change::TASK_NAME];

#[test]
fn what_is_generated_passes_both_ways_but_for_the_table_and_all_of_the_table_is_met() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    for seed in seeds::of_runs("SWITCHBOARD_LOSS_RUNS", 1) {
        let met = Met::default();
        for (number, (is_modern, revision, way)) in (0_u64..).zip(pairs()) {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            // Each pair has exchanges of its own.
            bytes[8..16].copy_from_slice(&number.to_le_bytes());
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            let cases = if way == Way::Lines { CASES } else { FRAMED };
            let config = Config { cases, failure_persistence: None, ..Config::default() };
            let mut runner = TestRunner::new_with_rng(config, rng);
            let offered = definitions().new_tree(&mut runner).unwrap().current();
            let [tools, prompts, resources, templates] = offered;
            let offer = Offer { tools, prompts, resources, templates };
            let (host, client) = runtime.block_on(async {
                let host = Host::start(is_modern, false, way, offer.clone()).await;
                let mut client = host.client(revision).await;
                listed(&met, &mut client, &offer).await;
                (host, tokio::sync::Mutex::new(client))
            });
            let ran = runner.run(&case(), |case| {
                runtime.block_on(async {
                    let mut client = client.lock().await;
                    exchanged(&met, &host, &mut client, &case).await;
                    asked(&met, &host, &mut client, &case, is_modern).await;
                });
                Ok::<(), TestCaseError>(())
            });
            if let Err(why) = ran {
                let server = if is_modern { "modern" } else { "legacy" };
                panic!(
                    "SWITCHBOARD_SEED={seed}, {revision} client, {server} server, {way:?}: {why}"
                );
            }
        }
        let missing = met.missing();
        assert_eq!(missing, ELSEWHERE, "rows of the table that nothing met, seed {seed}");
    }
}

/// Each era of servers with each client, in each way.
fn pairs() -> impl Iterator<Item = (bool, Revision, Way)> {
    let of_client = |is_modern, revision| Way::ALL.map(|way| (is_modern, revision, way));
    let of_server = move |is_modern| CLIENTS.map(|revision| of_client(is_modern, revision));
    [true, false].map(of_server).into_iter().flatten().flatten()
}

/// Every definition is listed as its server wrote it.
async fn listed(met: &Met, client: &mut Client, offer: &Offer) {
    for (method, member, offered) in [
        ("tools/list", "tools", &offer.tools),
        ("prompts/list", "prompts", &offer.prompts),
        ("resources/list", "resources", &offer.resources),
        ("resources/templates/list", "resourceTemplates", &offer.templates),
    ] {
        let meta = if client.revision == Revision::LATEST { talk::STATED } else { "" };
        client.ask(method, &format!(r#"{{"_meta":{{{meta}}}}}"#)).await;
        let answer = client.hear().await;
        let listed = answer.at(&["result", member]).entries();
        let offered = Tree::read(offered);
        let own = &listed[listed.len() - offered.entries().len()..];
        for (sent, arrived) in offered.entries().iter().zip(own) {
            met.check(Body::Definition, client.revision, sent, arrived);
        }
    }
}

/// One request and everything that comes of it.
async fn exchanged(met: &Met, host: &Host, client: &mut Client, case: &Case) {
    let told = |method: &str, params: &str| {
        format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)
    };
    let progress = case.progress.as_ref();
    let progress = progress.map(|members| format!(r#"{{"progressToken":$TOKEN,{members}}}"#));
    let log = case.log.as_ref().map(|members| format!("{{{members}}}"));
    let body = match &case.error {
        Some(error) => format!(r#""error":{error}"#),
        None => format!(r#""result":{}"#, case.result),
    };
    let lines = [
        progress.as_ref().map(|params| told("notifications/progress", params)),
        log.as_ref().map(|params| told("notifications/message", params)),
        Some(format!(r#"{{"jsonrpc":"2.0","id":$ID,{body}}}"#)),
    ];
    host.server.says([lines.into_iter().flatten().collect()]);
    let token = if progress.is_some() { r#""progressToken":"t""# } else { "" };
    let params = client.params(case.kind, &case.params, &[&case.meta, token]);
    client.ask(case.kind.method(), &params).await;
    let mut heard = 0;
    let answer = loop {
        let message = client.hear().await;
        let Some(method) = message.get("method").and_then(Tree::text) else { break message };
        heard += 1;
        let (body, sent) = match &*method {
            "notifications/progress" => (Body::Progress, progress.as_ref().unwrap()),
            // No row is about log messages.
            _ => (Body::Message, log.as_ref().unwrap()),
        };
        let sent = Tree::read(&sent.replace("$TOKEN", "0"));
        met.check(body, client.revision, &sent, message.at(&["params"]));
    };
    assert_eq!(heard, usize::from(progress.is_some()) + usize::from(log.is_some()));
    let (kind, member, sent) = match &case.error {
        Some(error) => (Body::Error, "error", error),
        None => (Body::Result, "result", &case.result),
    };
    met.check(kind, client.revision, &Tree::read(sent), answer.at(&[member]));
    let request = Tree::read(&host.server.heard()[0]);
    met.check(Body::Request, client.revision, &Tree::read(&params), request.at(&["params"]));
}

/// A call whose server asks: what is asked and what is answered.
async fn asked(met: &Met, host: &Host, client: &mut Client, case: &Case, is_modern: bool) {
    let Case { asks, question, answer, .. } = case;
    let result = r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}"#.to_owned();
    let asking = format!(
        r#"{{"inputRequests":{{"k":{{"x":1.0,"method":"{}","params":{question}}}}},"resultType":"input_required","y":[],"requestState":"state"}}"#,
        asks.replace('/', "\\/")
    );
    let line = if is_modern {
        format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{asking}}}"#)
    } else {
        format!(r#"{{"jsonrpc":"2.0","id":"q","method":"{asks}","params":{question}}}"#)
    };
    host.server.says([vec![line], vec![result]]);
    let (question, reply) = (Tree::read(question), Tree::read(answer));
    client.ask("tools/call", &client.params(Kind::Tool, "", &[])).await;
    let message = client.hear().await;
    let request = if client.revision == Revision::LATEST {
        let key = if is_modern { "k" } else { "q0" };
        let wanted = message.at(&["result", "inputRequests", key, "params"]);
        met.check(Body::Question, client.revision, &question, wanted);
        if is_modern {
            let arrived = message.at(&["result"]).write();
            let arrived = arrived.replacen(&wanted.write(), &question.write(), 1);
            let (asking, arrived) = (Tree::read(&asking), Tree::read(&arrived));
            met.check(Body::Result, client.revision, &asking, &arrived);
        }
        let state = message.at(&["result", "requestState"]).write();
        let members = format!(r#""inputResponses":{{"{key}":{answer}}},"requestState":{state}"#);
        let params = client.params(Kind::Tool, &members, &[]);
        client.ask("tools/call", &params).await;
        params
    } else {
        met.check(Body::Question, client.revision, &question, message.at(&["params"]));
        let id = message.at(&["id"]).write();
        client.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{answer}}}"#)).await;
        client.params(Kind::Tool, "", &[])
    };
    client.hear().await.at(&["result"]);
    let heard = Tree::read(&host.server.heard()[1]);
    let learned = if is_modern {
        met.check(Body::Request, client.revision, &Tree::read(&request), heard.at(&["params"]));
        assert_eq!(heard.at(&["params", "requestState"]).write(), "\"state\"");
        heard.at(&["params", "inputResponses", "k"])
    } else {
        heard.at(&["result"])
    };
    assert!(differences(&reply, learned).is_empty(), "{answer} became {}", learned.write());
}

#[tokio::test]
async fn every_published_example_passes_both_ways_but_for_the_table() {
    let met = Met::default();
    let examples = examples::all();
    let mut offer = [vec![], vec![], vec![], vec![]];
    for (place, (member, own)) in [
        ("tools", r#"{"name":"t","inputSchema":{"type":"object"}}"#),
        ("prompts", r#"{"name":"p"}"#),
        ("resources", r#"{"uri":"x:own","name":"o"}"#),
        ("resourceTemplates", r#"{"uriTemplate":"y:{z}","name":"y"}"#),
    ]
    .into_iter()
    .enumerate()
    {
        offer[place].push(Tree::read(own));
        for (_, example) in &examples {
            if let Place::Definitions(list, definitions) = example
                && *list == member
            {
                offer[place].extend(definitions.iter().cloned());
            }
        }
    }
    let [tools, prompts, resources, templates] =
        offer.map(|of_kind| Tree::List(once(of_kind)).write());
    let offer = Offer { tools, prompts, resources, templates };
    for (is_modern, revision, way) in pairs() {
        // Each client as lines, the newest of each era over HTTP.
        let is_newest = revision >= Revision::LATEST_LEGACY;
        if way != Way::Lines && !(is_newest && way.is_posted() && way.is_served()) {
            continue;
        }
        let host = Host::start(is_modern, true, way, offer.clone()).await;
        let mut client = host.client(revision).await;
        client.is_strict = true;
        listed(&met, &mut client, &offer).await;
        for (_, example) in &examples {
            let Place::Cases(cases) = example else { continue };
            for case in cases {
                client.is_strict = true;
                exchanged(&met, &host, &mut client, case).await;
                // What older clients are asked for they declared before their revision knew it.
                client.is_strict = revision >= Revision::LATEST_LEGACY;
                asked(&met, &host, &mut client, case, is_modern).await;
            }
        }
    }
}

#[tokio::test]
async fn what_is_long_passes_as_what_is_short_does() {
    let met = Met::default();
    let text = |length| format!("\\u00e9\\\"{}", "x".repeat(length));
    let tools = format!(
        r#"[{{"name":"t","inputSchema":{{"type":"object"}},"description":"{}","z":1e400}}]"#,
        text(100_000)
    );
    let none = || "[]".to_owned();
    let offer = Offer { tools, prompts: none(), resources: none(), templates: none() };
    // One more byte than a piece of its own has, and one more than is taken out of what was read.
    let results = [1 << 16, 1 << 20].map(|length| {
        let text = text(length);
        let long = format!(r#"{{"type":"text","text":"{text}"}}"#);
        format!(r#"{{"a":1.0, "content": [{long}],  "x":{{"y":[]}}, "x":"","isError":false}}"#)
    });
    for (is_modern, revision, way) in pairs() {
        if revision < Revision::LATEST_LEGACY {
            continue;
        }
        let host = Host::start(is_modern, false, way, offer.clone()).await;
        let mut client = host.client(revision).await;
        listed(&met, &mut client, &offer).await;
        for result in &results {
            let case = Case {
                kind: Kind::Tool,
                params: String::new(),
                meta: String::new(),
                result: result.clone(),
                progress: None,
                log: None,
                error: None,
                asks: String::new(),
                question: String::new(),
                answer: String::new(),
            };
            exchanged(&met, &host, &mut client, &case).await;
        }
    }
}

/// Definitions of which each has a name or URI of its own.
fn once(definitions: Vec<Tree>) -> Vec<Tree> {
    let mut known = std::collections::BTreeSet::new();
    let key = |it: &Tree| ["uriTemplate", "uri", "name"].iter().find_map(|key| it.get(key)?.text());
    definitions.into_iter().filter(|it| known.insert(key(it))).collect()
}

#[test]
fn where_a_key_stands_twice_the_last_counts_and_alone_is_left_if_it_is_changed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let none = || "[]".to_owned();
        let tools = r#"[{"name":"t","inputSchema":{}},{"name":"u","inputSchema":{}}]"#.to_owned();
        for is_modern in [true, false] {
            let offer = Offer {
                tools: tools.clone(),
                prompts: none(),
                resources: none(),
                templates: none(),
            };
            let host = Host::start(is_modern, false, Way::Lines, offer).await;
            let mut client = host.client(Revision::LATEST).await;
            let result = r#"{"x":1,"content":[],"resultType":7,"x":2,"resultType":"complete"}"#;
            host.server.says([vec![format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#)]]);
            let twice = joined(&[r#""name":"s_u""#, r#""arguments":{"a":1,"a":2}"#]);
            client.ask("tools/call", &client.params(Kind::Tool, &twice, &[])).await;
            let answer = client.hear().await.at(&["result"]).write();
            let expected =
                r#"{"x":1,"content":[],"resultType":7,"x":2,"resultType":"complete","_meta""#;
            assert!(answer.starts_with(expected), "{answer}");
            let heard = host.server.heard().remove(0);
            assert!(heard.contains(r#""params":{"name":"u","arguments":{"a":1,"a":2}"#), "{heard}");
        }
    });
}

#[test]
fn the_table_in_the_documentation_is_the_table_in_the_code() {
    let mut table =
        "| clients | body | members | change | because |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for row in change::TABLE {
        let clients = match row.clients {
            (first, last) if first == last && last == Revision::LATEST => "modern".to_owned(),
            (first, last) if first == last => format!("{first}"),
            (Revision::V2024_11_05, Revision::LATEST) => "all".to_owned(),
            (Revision::V2024_11_05, Revision::LATEST_LEGACY) => "legacy".to_owned(),
            (first, last) => format!("{first} to {last}"),
        };
        let at = row
            .at
            .iter()
            .map(|at| if at.is_empty() { "all".to_owned() } else { format!("`{at}`") });
        let at = at.collect::<Vec<_>>().join(", ");
        let (body, what, why) = (row.body.as_str(), row.what, row.why);
        table.extend([format!(
            "| {clients} | {body} | {at} | {what} | {why} |
"
        )]);
    }
    page::agrees_with("protocol.md", "changes", &table);
}
