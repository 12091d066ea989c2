//! What servers send that they should not.

use std::iter::repeat_n;

use super::*;
use crate::upstream::testing::LIMIT;

#[tokio::test]
async fn a_flood_of_requests_is_bounded_and_disturbs_no_answer() {
    for method in ["ping", "roots/list"] {
        flooded(method).await;
    }
}

async fn flooded(method: &str) {
    let (peer, mut script, _) = scripted(256);
    let mut request = Box::pin(peer.request(call("patient")));
    assert!((&mut request).now_or_never().is_none());
    let (_, id) = script.asked().await;
    // The server reads nothing meanwhile.
    let flood = async {
        for n in 0..5000 {
            script.say(format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"{method}"}}"#)).await;
        }
        script.answer(id, "{}").await;
    };
    let (answer, ()) = tokio::join!(request, flood);
    answer.unwrap();
    assert!(count(&peer.shared.oddities.unanswered) > 4000, "{method}");
}

#[tokio::test]
async fn a_line_beyond_the_limit_fails_the_call_that_it_answers() {
    let (peer, mut script, _) = scripted(PIPE);
    let big = "x".repeat(3 * LIMIT);
    for by_typescript in [false, true] {
        let server = async {
            let (_, id) = script.asked().await;
            let line = if by_typescript {
                format!(r#"{{"result":{{"id":99,"text":"{big}"}},"jsonrpc":"2.0","id":{id}}}"#)
            } else {
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"text":"{big}"}}}}"#)
            };
            script.say(line).await;
        };
        let (answer, ()) = tokio::join!(peer.request(call("big")), server);
        let text = answer.unwrap_err().to_string();
        assert!(text.contains("4.0 KiB") && text.contains("limits.message_bytes"), "{text}");
    }
    script.say(&big).await;
    settle(&peer, &mut script).await;
    assert_eq!(count(&peer.shared.oddities.too_long), 3);
}

#[tokio::test]
async fn lines_at_the_limit_pass() {
    let (peer, mut script, _) = scripted(PIPE);
    for (more, passes) in [(0, true), (1, false)] {
        let server = async {
            let (_, id) = script.asked().await;
            let frame = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":""}}"#).len();
            let text: String = repeat_n('x', LIMIT - frame + more).collect();
            script.answer(id, &format!("\"{text}\"")).await;
        };
        let (answer, ()) = tokio::join!(peer.request(call("exact")), server);
        assert_eq!(answer.is_ok(), passes);
    }
}

#[tokio::test]
async fn garbage_is_survived_and_its_start_remembered() {
    let (peer, mut script, _) = scripted(PIPE);
    script.say("").await;
    script.say("\r").await;
    assert_eq!(peer.first_garbage(), None);
    script.say(format!("Welcome {}", "!".repeat(500))).await;
    script.say(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}").await;
    script.say("[1, 2").await;
    script.say(r#"{"jsonrpc":"1.0","id":77,"result":{}}"#).await;
    script.say(r#"{"jsonrpc":"2.0","id":77,"result":{}}"#).await;
    script.say(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#).await;
    script.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":{}}"#).await;
    settle(&peer, &mut script).await;
    let first = peer.first_garbage().unwrap();
    assert!(first.starts_with("Welcome !!!") && first.chars().count() == 201);
    let oddities = &peer.shared.oddities;
    assert_eq!(count(&oddities.garbage), 4);
    assert_eq!(count(&oddities.unmatched), 2);
    assert_eq!(count(&oddities.ignored), 1);
}

#[tokio::test]
async fn a_broken_answer_fails_its_own_call_at_once() {
    let (peer, mut script, _) = scripted(PIPE);
    for broken in [
        r#"{"id":ID,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":ID}"#,
        r#"{"jsonrpc":"2.0","id":ID,"result":{},"error":{"code":1}}"#,
        r#"{"jsonrpc":"2.0","id":ID,"result":{"#,
        r#"{"jsonrpc":"2.0","id":ID,"error":"no"}"#,
    ] {
        let server = async {
            let (_, id) = script.asked().await;
            script.say(broken.replace("ID", &id.to_string())).await;
        };
        let (answer, ()) = tokio::join!(peer.request(call("x")), server);
        assert!(matches!(answer, Err(RequestError::Malformed(_))), "{broken}");
    }
    settle(&peer, &mut script).await;
}

#[tokio::test(start_paused = true)]
async fn only_messages_break_the_silence() {
    let (peer, mut script, _) = scripted(PIPE);
    let second = Duration::from_secs(1);
    tokio::time::advance(10 * second).await;
    assert!(!peer.has_spoken());
    script.say("noise").await;
    settle(&peer, &mut script).await;
    assert!(peer.has_spoken());
    tokio::time::advance(7 * second).await;
    script.say("noise").await;
    assert!(
        peer.request(Call { deadline: Deadline::new(second, second), ..call("x") }).await.is_err()
    );
    assert_eq!(peer.silent_for().as_secs(), 8);
}
