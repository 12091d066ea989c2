//! The peer against scripted servers.

use std::{iter::repeat_n, sync::atomic::Ordering, time::Duration};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::{sync::mpsc, time::timeout};

use super::*;
use crate::upstream::Progress;
use crate::upstream::testing::{LIMIT, Script, call, json, later, scripted, scripted_with};

const PIPE: usize = 64 * 1024;

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Makes sure that everything said before has been taken in.
async fn settle(peer: &Peer, script: &mut Script) {
    let asked = async {
        let (_, id) = script.asked().await;
        script.answer(id, "{}").await;
    };
    let (answer, ()) = tokio::join!(peer.request(call("settle")), asked);
    answer.unwrap();
}

#[tokio::test]
async fn a_thousand_requests_at_a_time_get_their_own_answers() {
    let (peer, mut script, _) = scripted(PIPE);
    let server = async {
        let mut ids = Vec::new();
        for _ in 0..1000 {
            ids.push(script.asked().await);
        }
        for (method, id) in ids.into_iter().rev() {
            script.answer(id, &format!("{{\"to\":\"{method}\"}}")).await;
        }
    };
    let methods: Vec<String> = (0..1000).map(|n| format!("m{n}")).collect();
    let peer = &peer;
    let calls = methods.iter().map(|method| async move {
        let result = peer.request(call(method)).await.unwrap();
        assert_eq!(result.get(), format!("{{\"to\":\"{method}\"}}"));
    });
    tokio::join!(futures::future::join_all(calls), server);
    assert_eq!(peer.in_flight(), 0);
}

#[tokio::test]
async fn a_result_of_twenty_megabytes_arrives_as_it_was_sent() {
    let (peer, mut script, _) = scripted_with(PIPE, 64 << 20);
    let big: String = format!("\"{}\"", "x".repeat(20 << 20));
    let server = async {
        let (_, id) = script.asked().await;
        script.answer(id, &big).await;
    };
    let (answer, ()) = tokio::join!(peer.request(call("big")), server);
    assert_eq!(answer.unwrap().get(), big);
}

#[tokio::test]
async fn progress_comes_in_order_and_only_if_it_increases() {
    let (peer, mut script, _) = scripted(PIPE);
    let (sink, mut progress) = mpsc::channel(16);
    let server = async {
        let message = script.next().await.unwrap();
        let token = &message["params"]["_meta"]["progressToken"];
        assert_eq!(token, &message["id"]);
        for value in ["1", "3", "2", "3", "3.5", "4e0"] {
            let line = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{value}}}}}"#
            );
            script.say(line).await;
        }
        script.answer(message["id"].as_u64().unwrap(), "{}").await;
    };
    let request = peer.request(Call {
        progress: Some(sink),
        ..call("slow")
    });
    let (answer, ()) = tokio::join!(request, server);
    answer.unwrap();
    let mut values = Vec::new();
    while let Some(Progress { params }) = progress.recv().await {
        let params: serde_json::Value = serde_json::from_str(params.get()).unwrap();
        values.push(params["progress"].as_f64().unwrap());
    }
    assert_eq!(values, [1.0, 3.0, 3.5, 4.0]);
}

#[tokio::test(start_paused = true)]
async fn progress_extends_the_deadline_and_a_full_sink_stops_nobody() {
    let (peer, mut script, _) = scripted(PIPE);
    let (sink, _progress) = mpsc::channel(1);
    let second = Duration::from_secs(1);
    let server = async {
        let (_, id) = script.asked().await;
        for value in 1..9 {
            tokio::time::sleep(second).await;
            let line = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id},"progress":{value}}}}}"#
            );
            script.say(line).await;
        }
        script.asked().await
    };
    let request = peer.request(Call {
        progress: Some(sink),
        deadline: Deadline::new(2 * second, 5 * second),
        ..call("slow")
    });
    let start = Instant::now();
    let (answer, (method, _)) = tokio::join!(
        async {
            let answer = request.await;
            assert_eq!(start.elapsed().as_secs(), 5);
            answer
        },
        server
    );
    assert!(matches!(answer, Err(RequestError::Timeout { sent: true })));
    assert_eq!(method, method::CANCELLED);
}

#[tokio::test]
async fn the_server_learns_that_a_caller_is_gone() {
    let (peer, mut script, _) = scripted(PIPE);
    let mut request = Box::pin(peer.request(call("slow")));
    let (_, id) = tokio::select! {
        _ = &mut request => panic!("answered"),
        asked = script.asked() => asked,
    };
    assert_eq!(peer.in_flight(), 1);
    drop(request);
    assert_eq!(peer.in_flight(), 0);
    let told = script.next().await.unwrap();
    assert_eq!(told["method"], "notifications/cancelled");
    assert_eq!(told["params"]["requestId"], id);
    // A late answer hurts nobody.
    script.answer(id, "{}").await;
    settle(&peer, &mut script).await;
    assert_eq!(count(&peer.shared.oddities.unmatched), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_is_given_up_in_silence() {
    let (peer, mut script, _) = scripted(PIPE);
    let second = Duration::from_secs(1);
    let answer = peer
        .request(Call {
            deadline: Deadline::new(second, second),
            cancellable: false,
            ..call("server/discover")
        })
        .await;
    assert!(matches!(answer, Err(RequestError::Timeout { sent: true })));
    assert_eq!(script.asked().await.0, "server/discover");
    assert!(timeout(second, script.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_written_is_not_sent_after_its_caller_left() {
    let (peer, mut script, _) = scripted(16);
    let second = Duration::from_secs(1);
    let short = || Call {
        deadline: Deadline::new(second, second),
        ..call("second")
    };
    let mut first = Box::pin(peer.request(call("first")));
    // The first fills the pipe, so the second stays in the queue.
    assert!(timeout(second, &mut first).await.is_err());
    let second_answer = peer.request(short()).await;
    assert!(matches!(
        second_answer,
        Err(RequestError::Timeout { sent: false })
    ));
    let server = async {
        assert_eq!(script.asked().await.0, "first");
        script.answer(1, "{}").await;
        assert!(timeout(second, script.next()).await.is_err());
    };
    let (answer, ()) = tokio::join!(first, server);
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_tells_what_was_sent_from_what_was_not() {
    let (peer, mut script, body) = scripted(128);
    let mut sent = Box::pin(peer.request(call("sent")));
    tokio::select! {
        _ = &mut sent => panic!("answered"),
        asked = script.asked() => assert_eq!(asked.0, "sent"),
    }
    let long = json(&format!("{{\"text\":\"{}\"}}", "x".repeat(500)));
    let half = peer.request(Call {
        params: Some(&long),
        ..call("half")
    });
    let mut unsent = Box::pin(futures::future::join(half, peer.request(call("queued"))));
    assert!(timeout(Duration::from_secs(1), &mut unsent).await.is_err());

    let start = Instant::now();
    drop(script);
    let (sent, (half, queued)) = tokio::join!(sent, unsent);
    assert!(start.elapsed() < Duration::from_millis(100), "at once");
    assert!(matches!(sent, Err(RequestError::Lost { .. })), "{sent:?}");
    for answer in [half, queued, peer.request(call("late")).await] {
        assert!(
            matches!(answer, Err(RequestError::NotSent(_))),
            "{answer:?}"
        );
    }
    // The better cause is waited for.
    let end = LinkEnd::Exited("exited with code 3".to_owned());
    body.end.send_replace(Some(end.clone()));
    assert_eq!(peer.ended().await, end);
    assert_eq!(peer.ended().await, end);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_its_output_but_lives_has_closed_the_link() {
    let (peer, script, _) = scripted(PIPE);
    drop(script);
    assert_eq!(peer.ended().await, LinkEnd::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_said_before_it_ended_still_counts() {
    let (peer, mut script, body) = scripted(PIPE);
    let server = async {
        let (_, id) = script.asked().await;
        // The end is known before the answer is read.
        let end = LinkEnd::Exited("exited with code 0".to_owned());
        body.end.send_replace(Some(end));
        script.answer(id, "{}").await;
        drop(script);
    };
    let (answer, ()) = tokio::join!(peer.request(call("last")), server);
    answer.unwrap();
    assert_eq!(
        peer.ended().await.to_string(),
        "the process exited with code 0"
    );
}

#[tokio::test(start_paused = true)]
async fn closing_ends_what_waits_and_the_servers_input() {
    let (peer, mut script, body) = scripted(PIPE);
    let mut request = Box::pin(peer.request(call("slow")));
    assert!((&mut request).now_or_never().is_none());
    script.asked().await;
    let server = async { assert!(script.next().await.is_none()) };
    let ((), answer, ()) = tokio::join!(peer.close(Duration::from_secs(2)), request, server);
    assert!(matches!(
        answer,
        Err(RequestError::Lost {
            end: LinkEnd::Stopped,
            ..
        })
    ));
    assert_eq!(peer.ended().await, LinkEnd::Stopped);
    assert!(!body.killed.load(Ordering::SeqCst));
    drop(peer);
    assert!(body.killed.load(Ordering::SeqCst));
}

#[tokio::test]
async fn pings_are_answered_and_other_requests_refused() {
    let (peer, mut script, _) = scripted(PIPE);
    script
        .say(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#)
        .await;
    let line = r#"{"jsonrpc":"2.0","id":2,"method":"roots/list","params":{}}"#;
    script.say(line).await;
    let pong = script.next().await.unwrap();
    assert_eq!(
        (&pong["id"], &pong["result"]),
        (&"a".into(), &serde_json::json!({}))
    );
    let refused = script.next().await.unwrap();
    assert_eq!(
        (&refused["id"], &refused["error"]["code"]),
        (&2.into(), &(-32601).into())
    );
    settle(&peer, &mut script).await;
}

#[tokio::test]
async fn a_flood_of_requests_is_bounded_and_disturbs_no_answer() {
    let (peer, mut script, _) = scripted(256);
    let mut request = Box::pin(peer.request(call("patient")));
    assert!((&mut request).now_or_never().is_none());
    let (_, id) = script.asked().await;
    // The server reads nothing meanwhile.
    let flood = async {
        for n in 0..5000 {
            script
                .say(format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"ping"}}"#))
                .await;
        }
        script.answer(id, "{}").await;
    };
    let (answer, ()) = tokio::join!(request, flood);
    answer.unwrap();
    assert!(count(&peer.shared.oddities.unanswered) > 4000);
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
        assert!(
            text.contains("4.0 KiB") && text.contains("limits.message_bytes"),
            "{text}"
        );
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
    script
        .say(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}")
        .await;
    script.say("[1, 2").await;
    script.say(r#"{"jsonrpc":"1.0","id":77,"result":{}}"#).await;
    script.say(r#"{"jsonrpc":"2.0","id":77,"result":{}}"#).await;
    script
        .say(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#)
        .await;
    script
        .say(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#)
        .await;
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
        assert!(
            matches!(answer, Err(RequestError::Malformed(_))),
            "{broken}"
        );
    }
    settle(&peer, &mut script).await;
}

#[tokio::test]
async fn batches_are_taken_apart() {
    let (peer, mut script, _) = scripted(PIPE);
    let server = async {
        let ids = [script.asked().await.1, script.asked().await.1];
        let answers = ids.map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{id}}}"#));
        script.say(format!("[{}]", answers.join(","))).await;
    };
    let mut calls: FuturesUnordered<_> = [call("a"), call("b")]
        .map(|c| peer.request(c))
        .into_iter()
        .collect();
    let all = async {
        while let Some(answer) = calls.next().await {
            answer.unwrap();
        }
    };
    tokio::join!(all, server);
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
        peer.request(Call {
            deadline: Deadline::new(second, second),
            ..call("x")
        })
        .await
        .is_err()
    );
    assert_eq!(peer.silent_for().as_secs(), 8);
}

#[tokio::test]
async fn changes_of_the_tools_are_told_once_however_many_came() {
    let (peer, mut script, _) = scripted(PIPE);
    for _ in 0..100 {
        script
            .say(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#)
            .await;
    }
    settle(&peer, &mut script).await;
    peer.tools_changed().await;
    assert!(peer.tools_changed().now_or_never().is_none());
}

#[tokio::test]
async fn requests_leave_in_the_order_in_which_they_came() {
    let (peer, mut script, _) = scripted(64);
    let methods: Vec<String> = (0..200).map(|n| format!("m{n}")).collect();
    let calls = futures::future::join_all(methods.iter().map(|method| peer.request(call(method))));
    let server = async {
        for expected in &methods {
            let (method, id) = script.asked().await;
            assert_eq!(&method, expected);
            script.answer(id, "{}").await;
        }
    };
    let (answers, ()) = tokio::join!(calls, server);
    assert!(answers.iter().all(Result::is_ok));
    assert!(later().remaining() > Duration::ZERO);
}
