//! The peer against scripted servers.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};

use super::*;
use crate::upstream::{
    Progress,
    testing::{Script, call, json, scripted, scripted_with},
};

mod ending;
mod noise;

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
    let (sink, mut progress) = ProgressSink::new(16);
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
    let request = peer.request(Call { progress: Some(sink), ..call("slow") });
    let (answer, ()) = tokio::join!(request, server);
    answer.unwrap();
    let mut values = Vec::new();
    while let Some(Progress { params, .. }) = progress.recv().await {
        let params: serde_json::Value = serde_json::from_str(params.get()).unwrap();
        values.push(params["progress"].as_f64().unwrap());
    }
    assert_eq!(values, [1.0, 3.0, 3.5, 4.0]);
}

#[tokio::test(start_paused = true)]
async fn progress_extends_the_deadline_and_a_full_sink_stops_nobody() {
    let (peer, mut script, _) = scripted(PIPE);
    let (sink, _progress) = ProgressSink::new(1);
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
async fn pings_are_answered_and_other_requests_refused() {
    let (peer, mut script, _) = scripted(PIPE);
    script.say(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#).await;
    let line = r#"{"jsonrpc":"2.0","id":2,"method":"server/nothing","params":{}}"#;
    script.say(line).await;
    let pong = script.next().await.unwrap();
    assert_eq!((&pong["id"], &pong["result"]), (&"a".into(), &serde_json::json!({})));
    let refused = script.next().await.unwrap();
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&2.into(), &(-32601).into()));
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
    let mut calls: FuturesUnordered<_> =
        [call("a"), call("b")].map(|c| peer.request(c)).into_iter().collect();
    let all = async {
        while let Some(answer) = calls.next().await {
            answer.unwrap();
        }
    };
    tokio::join!(all, server);
}

#[tokio::test]
async fn changes_of_the_tools_are_told_once_however_many_came() {
    let (peer, mut script, _) = scripted(PIPE);
    for _ in 0..100 {
        script.say(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#).await;
    }
    settle(&peer, &mut script).await;
    peer.news().lists_changed().await;
    assert!(peer.news().lists_changed().now_or_never().is_none());
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
}
