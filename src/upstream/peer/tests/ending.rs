//! How requests are given up and how links end.

use tokio::time::timeout;

use super::*;
use crate::upstream::ProcessExit;

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
    let short = || Call { deadline: Deadline::new(second, second), ..call("second") };
    let mut first = Box::pin(peer.request(call("first")));
    // The first fills the pipe, so the second stays in the queue.
    assert!(timeout(second, &mut first).await.is_err());
    let second_answer = peer.request(short()).await;
    assert!(matches!(second_answer, Err(RequestError::Timeout { sent: false })));
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
    let half = peer.request(Call { params: Some(&long), ..call("half") });
    let mut unsent = Box::pin(futures::future::join(half, peer.request(call("queued"))));
    assert!(timeout(Duration::from_secs(1), &mut unsent).await.is_err());

    let start = Instant::now();
    drop(script);
    let (sent, (half, queued)) = tokio::join!(sent, unsent);
    assert!(start.elapsed() < Duration::from_millis(100), "at once");
    assert!(matches!(sent, Err(RequestError::Lost { .. })), "{sent:?}");
    for answer in [half, queued, peer.request(call("late")).await] {
        assert!(matches!(answer, Err(RequestError::NotSent(_))), "{answer:?}");
    }
    // The better cause is waited for.
    let end = LinkEnd::Exited(ProcessExit::Code(3));
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
        let end = LinkEnd::Exited(ProcessExit::Code(0));
        body.end.send_replace(Some(end));
        script.answer(id, "{}").await;
        drop(script);
    };
    let (answer, ()) = tokio::join!(peer.request(call("last")), server);
    answer.unwrap();
    assert_eq!(peer.ended().await.to_string(), "the process exited with code 0");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_what_waits_and_the_servers_input() {
    let (peer, mut script, body) = scripted(PIPE);
    let mut request = Box::pin(peer.request(call("slow")));
    assert!((&mut request).now_or_never().is_none());
    script.asked().await;
    let server = async { assert!(script.next().await.is_none()) };
    let ((), answer, ()) = tokio::join!(peer.close(Duration::from_secs(2)), request, server);
    assert!(matches!(answer, Err(RequestError::Lost { end: LinkEnd::Stopped, .. })));
    assert_eq!(peer.ended().await, LinkEnd::Stopped);
    assert!(!body.killed.load(Ordering::SeqCst));
    drop(peer);
    assert!(body.killed.load(Ordering::SeqCst));
}

#[tokio::test]
async fn what_failed_as_not_sent_is_never_carried_out_beside_the_stream() {
    let (peer, ..) = scripted(PIPE);
    let pending = &peer.shared.pending;
    let (taken, refused) = (call("taken"), call("refused"));
    let first = pending.register(1, &taken).unwrap();
    let second = pending.register(2, &refused).unwrap();
    assert!(pending.begin(1));
    pending.end(&LinkEnd::Closed);
    assert!(!pending.begin(2));
    assert!(matches!(first.await, Ok(Err(RequestError::Lost { .. }))));
    assert!(matches!(second.await, Ok(Err(RequestError::NotSent(_)))));
}
