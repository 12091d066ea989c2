//! Links over scripted peers: lists, probes, results and events.

use std::time::Duration;

use futures::FutureExt as _;

use super::*;
use crate::{
    upstream::testing::{Script, json, later, scripted},
    wire::Revision,
};

fn link(era: Era, capabilities: &str) -> (Link, Script) {
    let (peer, script, _) = scripted(64 * 1024);
    let facts = ServerFacts {
        era,
        revision: match era {
            Era::Modern => Revision::LATEST,
            Era::Legacy => Revision::LATEST_LEGACY,
        },
        info: None,
        capabilities: json(capabilities).into(),
        instructions: None,
        pid: None,
    };
    (Link::new(Channel::Stream(peer), facts, 4096), script)
}

fn tools_call(params: &str) -> Request {
    Request {
        method: method::TOOLS_CALL.into(),
        params: Some(json(params).into()),
        name: None,
        progress: None,
        deadline: later(),
        trace: None,
        dialogue: None,
    }
}

#[tokio::test]
async fn a_modern_request_states_us_and_a_legacy_one_nothing() {
    let params = r#"{"name":"x","_meta":{"progressToken":"theirs","io.modelcontextprotocol/clientInfo":{"name":"them"},"k":1}}"#;
    for era in [Era::Modern, Era::Legacy] {
        let (link, mut script) = link(era, "{}");
        let server = async {
            let message = script.next().await.unwrap();
            script.answer(1, "{}").await;
            message["params"]["_meta"].clone()
        };
        let (answer, meta) = tokio::join!(link.request(tools_call(params)), server);
        answer.unwrap();
        assert_eq!(meta["k"], 1);
        assert!(meta.get("progressToken").is_none());
        let client = &meta["io.modelcontextprotocol/clientInfo"]["name"];
        let revision = &meta["io.modelcontextprotocol/protocolVersion"];
        match era {
            Era::Modern => {
                assert_eq!((client, revision), (&"switchboard".into(), &"2026-07-28".into()));
            }
            Era::Legacy => assert!(client.is_null() && revision.is_null()),
        }
    }
}

#[tokio::test]
async fn only_complete_results_pass() {
    for (era, result, passes) in [
        (Era::Modern, r#"{"content":[]}"#, true),
        (Era::Modern, r#"{"resultType":"complete"}"#, true),
        (Era::Modern, r#"{"resultType":"input_required"}"#, false),
        (Era::Modern, r#"{"resultType":7}"#, false),
        (Era::Legacy, r#"{"resultType":"table"}"#, true),
        (Era::Legacy, r#""text""#, false),
        (Era::Modern, "null", false),
    ] {
        let (link, mut script) = link(era, "{}");
        let server = async {
            let (_, id) = script.asked().await;
            script.answer(id, result).await;
        };
        let (answer, ()) = tokio::join!(link.request(tools_call("{}")), server);
        assert_eq!(answer.is_ok(), passes, "{result}");
        if result.contains("input_required") {
            assert!(answer.unwrap_err().to_string().contains("input_required"));
        }
    }
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page() {
    let (link, mut script) = link(Era::Legacy, r#"{"tools":{}}"#);
    let server = async {
        let pages = [
            (serde_json::Value::Null, r#"{"tools":[{"name":"a","n":1.0}],"nextCursor":""}"#),
            ("".into(), r#"{"tools":[],"nextCursor":"x"}"#),
            ("x".into(), r#"{"tools":[{"name":"b"}],"nextCursor":null}"#),
        ];
        for (cursor, page) in pages {
            let message = script.next().await.unwrap();
            assert_eq!(message["params"]["cursor"], cursor);
            script.answer(message["id"].as_u64().unwrap(), page).await;
        }
    };
    let (tools, ()) = tokio::join!(link.list(Primitive::Tool, later()), server);
    let tools: Vec<String> = tools.unwrap().iter().map(|tool| tool.get().to_owned()).collect();
    assert_eq!(tools, [r#"{"name":"a","n":1.0}"#, r#"{"name":"b"}"#]);
}

#[tokio::test]
async fn a_server_without_tools_is_not_asked_for_them() {
    let (link, mut script) = link(Era::Modern, r#"{"prompts":{}}"#);
    assert!(link.list(Primitive::Tool, later()).await.unwrap().is_empty());
    assert!(script.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_list_without_end_is_given_up() {
    type Page = fn(u64) -> String;
    let same = |_| r#"{"tools":[],"nextCursor":"same"}"#.to_owned();
    let wide = |n| format!(r#"{{"tools":["{}"],"nextCursor":"{n}"}}"#, "x".repeat(1000));
    let wrong = |_| r#"{"tools":[],"nextCursor":7}"#.to_owned();
    let none = |_| r#"{"items":[]}"#.to_owned();
    let pages: [(&str, Page); 4] = [
        ("repeats a cursor", same),
        ("limits.message_bytes", wide),
        ("no string", wrong),
        ("no `tools` array", none),
    ];
    for (expected, page) in pages {
        let (link, mut script) = link(Era::Legacy, r#"{"tools":{}}"#);
        let server = async {
            loop {
                let (_, id) = script.asked().await;
                script.answer(id, &page(id)).await;
            }
        };
        let error = tokio::select! {
            listed = link.list(Primitive::Tool, later()) => listed.unwrap_err().to_string(),
            () = server => unreachable!(),
        };
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn any_answer_to_a_probe_is_a_sign_of_life() {
    for (era, asked) in [(Era::Modern, "server/discover"), (Era::Legacy, "ping")] {
        let (link, mut script) = link(era, "{}");
        let server = async {
            let (method, id) = script.asked().await;
            script.refuse(id, -32601, "null").await;
            method
        };
        let (alive, method) = tokio::join!(link.probe(later()), server);
        alive.unwrap();
        assert_eq!(method, asked);
        let second = Duration::from_secs(1);
        let silent = link.probe(Deadline::new(second, second)).await;
        assert!(matches!(silent, Err(RequestError::Timeout { sent: true })));
        assert_eq!(link.silent_for().as_secs(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn events_end_with_the_link() {
    let (link, mut script) = link(Era::Legacy, "{}");
    script.say(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#).await;
    assert_eq!(link.event().await, Some(LinkEvent::ListsChanged));
    drop(script);
    assert_eq!(link.event().await, None);
    assert_eq!(link.ended().await, LinkEnd::Closed);
    assert_eq!(link.in_flight(), 0);
}
