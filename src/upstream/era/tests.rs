//! Handshakes with scripted servers, in paused time.

use super::*;
use crate::{
    upstream::{
        ProcessExit,
        testing::{Script, scripted},
    },
    wire::Era,
};

const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25"],"capabilities":{"tools":{}},"instructions":"be kind","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"m","x":1}}}"#;
const INITIALISED: &str =
    r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"l"}}"#;
const MINUTE: Duration = Duration::from_mins(1);

/// Runs a handshake against a server that is asked one thing after another.
async fn shake<S: Future<Output = Script>>(
    protocol: Protocol,
    server: impl FnOnce(Script) -> S,
) -> Result<ServerFacts, Failure> {
    let (peer, script, _) = scripted(64 * 1024);
    let (facts, script) =
        tokio::join!(agree(&peer, protocol, Abilities::NONE, MINUTE), server(script));
    drop(script);
    facts
}

async fn expect(script: &mut Script, expected: &str) -> u64 {
    let (method, id) = script.asked().await;
    assert_eq!(method, expected);
    id
}

/// A legacy server from `initialize` on.
async fn initialise(script: &mut Script) {
    let id = expect(script, "initialize").await;
    script.answer(id, INITIALISED).await;
    expect(script, "notifications/initialized").await;
}

fn text(outcome: Result<ServerFacts, Failure>) -> String {
    outcome.err().unwrap().error.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_modern_server_is_found_by_the_probe() {
    for protocol in [Protocol::Auto, Protocol::Modern] {
        let facts = shake(protocol, |mut script| async {
            let message = script.next().await.unwrap();
            assert_eq!(message["method"], "server/discover");
            let meta = &message["params"]["_meta"];
            assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
            assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "switchboard");
            assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], serde_json::json!({}));
            script.answer(1, DISCOVERED).await;
            script
        })
        .await
        .ok()
        .unwrap();
        assert_eq!((facts.era, facts.revision), (Era::Modern, Revision::V2026_07_28));
        assert_eq!(facts.info.unwrap().get(), r#"{"name":"m","x":1}"#);
        assert_eq!(facts.instructions.as_deref(), Some("be kind"));
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_no_modern_answer_leads_to_initialize() {
    for (answer, code, data) in [
        (None, -32601, "null"),
        (None, -32602, "null"),
        (None, -32022, r#"{"supported":["2025-11-25"]}"#),
        (None, -32022, "null"),
        (Some("{}"), 0, ""),
        (Some(r#"{"supportedVersions":["2025-06-18"],"capabilities":{}}"#), 0, ""),
        (Some(r#"{"supportedVersions":["2026-07-28"],"capabilities":[]}"#), 0, ""),
        (Some("7"), 0, ""),
    ] {
        let facts = shake(Protocol::Auto, |mut script| async {
            let id = expect(&mut script, "server/discover").await;
            match answer {
                Some(result) => script.answer(id, result).await,
                None => script.refuse(id, code, data).await,
            }
            initialise(&mut script).await;
            script
        })
        .await
        .ok()
        .unwrap();
        assert_eq!((facts.era, facts.revision), (Era::Legacy, Revision::V2025_06_18));
        assert_eq!(facts.info.unwrap().get(), r#"{"name":"l"}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_without_an_answer_costs_five_seconds_and_its_late_answer_is_ignored() {
    let start = Instant::now();
    let facts = shake(Protocol::Auto, |mut script| async {
        let probe = expect(&mut script, "server/discover").await;
        // Nothing but `initialize` may follow: a notification would end some servers.
        let id = expect(&mut script, "initialize").await;
        assert_eq!(start.elapsed().as_secs(), 5);
        script.answer(probe, DISCOVERED).await;
        script.answer(id, INITIALISED).await;
        expect(&mut script, "notifications/initialized").await;
        script
    })
    .await
    .ok()
    .unwrap();
    assert_eq!(facts.era, Era::Legacy);
}

#[tokio::test(start_paused = true)]
async fn a_modern_server_that_was_too_slow_for_the_probe_is_asked_again() {
    let facts = shake(Protocol::Auto, |mut script| async {
        expect(&mut script, "server/discover").await;
        let id = expect(&mut script, "initialize").await;
        script.refuse(id, -32601, "null").await;
        let id = expect(&mut script, "server/discover").await;
        script.answer(id, DISCOVERED).await;
        script
    })
    .await
    .ok()
    .unwrap();
    assert_eq!(facts.era, Era::Modern);
}

#[tokio::test(start_paused = true)]
async fn a_configured_era_is_not_probed() {
    let facts = shake(Protocol::Legacy, |mut script| async {
        initialise(&mut script).await;
        script
    })
    .await;
    assert!(facts.is_ok());
    let refused = shake(Protocol::Modern, |mut script| async {
        let id = expect(&mut script, "server/discover").await;
        script.refuse(id, -32601, "null").await;
        script
    })
    .await;
    let text = text(refused);
    assert!(text.contains("does not speak a modern revision"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_server_from_the_future_is_named_as_such() {
    for by_error in [false, true] {
        let outcome = shake(Protocol::Auto, |mut script| async {
            let id = expect(&mut script, "server/discover").await;
            let supported = r#"["2027-01-01","2028-01-01"]"#;
            if by_error {
                script.refuse(id, -32022, &format!(r#"{{"supported":{supported}}}"#)).await;
            } else {
                let result = format!(r#"{{"supportedVersions":{supported},"capabilities":{{}}}}"#);
                script.answer(id, &result).await;
            }
            script
        })
        .await;
        let failure = outcome.err().unwrap();
        assert!(matches!(failure.error, ConnectError::Protocol(_)) && !failure.died_on_probe);
        let text = failure.error.to_string();
        assert!(text.contains("2027-01-01, 2028-01-01") && text.contains("2026-07-28"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_initialize_result_is_a_violation_that_says_what_came() {
    for (result, expected) in [
        (r#"{"protocolVersion":"2031-01-01","capabilities":{}}"#, "2031-01-01"),
        (r#"{"protocolVersion":"2026-07-28","capabilities":{}}"#, "2026-07-28"),
        (r#"{"capabilities":{}}"#, "protocolVersion"),
        (r#"{"protocolVersion":"2025-06-18"}"#, "capabilities"),
        (r#"{"protocolVersion":"2025-06-18","capabilities":1}"#, "no object"),
    ] {
        let outcome = shake(Protocol::Legacy, |mut script| async {
            let id = expect(&mut script, "initialize").await;
            script.answer(id, result).await;
            script
        })
        .await;
        let error = outcome.err().unwrap().error;
        assert!(matches!(error, ConnectError::Protocol(_)));
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_keeps_the_servers_words_without_secrets() {
    let (peer, mut script, _) = scripted(64 * 1024);
    peer.stderr().begin(crate::id::Incarnation(1), [&crate::secret::Secret::from("hunter2")]);
    let server = async {
        let id = expect(&mut script, "initialize").await;
        script
            .say(format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32000,"message":"bad key hunter2"}}}}"#
            ))
            .await;
    };
    let (outcome, ()) =
        tokio::join!(agree(&peer, Protocol::Legacy, Abilities::NONE, MINUTE), server);
    assert_eq!(text(outcome), "the server refused initialize: bad key *** (-32000)");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_with_the_whole_deadline_and_a_hint() {
    let start = Instant::now();
    let outcome = shake(Protocol::Auto, |mut script| async {
        script.say("Listening on port 3000").await;
        expect(&mut script, "server/discover").await;
        expect(&mut script, "initialize").await;
        script
    })
    .await;
    assert_eq!(start.elapsed(), MINUTE);
    assert_eq!(
        text(outcome),
        "no answer to initialize within 1m; its first line was not JSON: \"Listening on port 3000\""
    );
    let outcome = shake(Protocol::Modern, |script| async { script }).await;
    assert_eq!(text(outcome), "no answer to server/discover within 1m; it wrote nothing at all");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_on_the_probe_is_told_from_one_that_goes_later() {
    for on_probe in [true, false] {
        let (peer, mut script, body) = scripted(64 * 1024);
        let server = async move {
            let id = expect(&mut script, "server/discover").await;
            if !on_probe {
                script.refuse(id, -32601, "null").await;
                expect(&mut script, "initialize").await;
            }
            let end = LinkEnd::Exited(ProcessExit::Code(2));
            body.end.send_replace(Some(end));
        };
        let (outcome, ()) =
            tokio::join!(agree(&peer, Protocol::Auto, Abilities::NONE, MINUTE), server);
        let failure = outcome.err().unwrap();
        assert_eq!(failure.died_on_probe, on_probe);
        let text = failure.error.to_string();
        let expected = "the process exited with code 2 before the connection was ready";
        assert!(text.starts_with(expected), "{text}");
    }
}
