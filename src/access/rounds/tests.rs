//! Calls that wait, in virtual time: what becomes of them when nobody comes back.

use futures::future;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    access::seal::TTL,
    id::Owner,
    runtime::{Reply, Response},
    wire::{Id, method, raw},
};

fn asked() -> (Asked, oneshot::Receiver<Response>) {
    let (sender, answer) = oneshot::channel();
    let reply = Reply::new(method::ELICIT, move |response| {
        sender.send(response).ok();
    });
    let (server, params) = (ServerName::new("git").unwrap(), raw(&serde_json::json!({})));
    (Asked { server, id: Id::from(1), method: method::ELICIT, params, reply }, answer)
}

/// A call that waits for an answer, and whether it is still made.
fn parked(
    rounds: &Arc<Rounds>,
    server: &ServerName,
    draining: &CancellationToken,
) -> (Arc<Talk>, oneshot::Receiver<Response>, oneshot::Receiver<()>) {
    let (alive, cancelled) = oneshot::channel();
    let call = async move {
        let _alive: oneshot::Sender<()> = alive;
        future::pending().await
    };
    let (talk, answer) = parked_as(rounds, server, draining, call);
    (talk, answer, cancelled)
}

/// A call like this that waits for an answer.
fn parked_as(
    rounds: &Arc<Rounds>,
    server: &ServerName,
    draining: &CancellationToken,
    call: impl Future<Output = Outcome> + Send + 'static,
) -> (Arc<Talk>, oneshot::Receiver<Response>) {
    let (_, told) = DialogueSink::new(1);
    let run = Run::new(call.boxed(), told, None, Outward::default());
    let (principal, (asked, answer)) = (Principal::local(), asked());
    let bound = Bound::new(&principal, &Owner::Store, method::TOOLS_CALL, &raw("x"));
    let (id, talk) = rounds.park(&principal, server).unwrap();
    let place = Place { rounds: Arc::downgrade(rounds), draining: draining.clone(), id };
    rounds.carry_on(place, &talk, run, asked, bound, Abilities::of_calls());
    (talk, answer)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_comes_back_declines_and_its_call_is_cancelled() {
    let rounds = Rounds::new(&StateKeys::random());
    let (talk, answer, cancelled) = parked(&rounds, &server("a"), &CancellationToken::new());
    let wanted = talk.first().await.unwrap();
    assert!(result::wants_input(&wanted.result), "{}", wanted.result);
    let start = tokio::time::Instant::now();
    assert_eq!(answer.await.unwrap().unwrap().get(), r#"{"action":"cancel"}"#);
    assert!(cancelled.await.is_err());
    assert_eq!(start.elapsed(), TTL);
    tokio::task::yield_now().await;
    assert!(rounds.talks.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_with_its_call_whose_outcome_waits() {
    let rounds = Rounds::new(&StateKeys::random());
    let (end, ended) = oneshot::channel();
    let call = async move {
        ended.await.unwrap();
        Ok(Answer::of(server("a"), raw("done")))
    };
    let (talk, answer) = parked_as(&rounds, &server("a"), &CancellationToken::new(), call);
    talk.first().await.unwrap();
    let start = tokio::time::Instant::now();
    end.send(()).unwrap();
    assert_eq!(answer.await.unwrap().unwrap().get(), r#"{"action":"cancel"}"#);
    assert_eq!(start.elapsed(), std::time::Duration::ZERO, "nobody waits for the client");
    let responses = raw(&serde_json::json!({"q0": {"action": "accept"}}));
    let outcome = talk.answer(1, Some(responses), Outward::default()).await.unwrap();
    assert_eq!(outcome.result.get(), "\"done\"");
}

#[tokio::test(start_paused = true)]
async fn answers_that_leave_a_question_out_are_refused_and_the_round_stays_open() {
    let rounds = Rounds::new(&StateKeys::random());
    let (talk, mut answer, _) = parked(&rounds, &server("a"), &CancellationToken::new());
    talk.first().await.unwrap();
    for lacking in [None, Some(serde_json::json!({})), Some(serde_json::json!({"k": {}}))] {
        let responses = lacking.as_ref().map(raw);
        let outcome = talk.answer(1, responses, Outward::default()).await;
        assert!(matches!(outcome, Err(CallError::Invalid(_))), "{lacking:?}: {outcome:?}");
    }
    assert!(answer.try_recv().is_err(), "nobody has answered yet");
    let responses = raw(&serde_json::json!({"q0": {"action": "accept"}}));
    let given = tokio::time::timeout(TTL / 2, talk.answer(1, Some(responses), Outward::default()));
    tokio::select! {
        _ = given => panic!("the call has no outcome"),
        answer = answer => assert_eq!(answer.unwrap().unwrap().get(), r#"{"action":"accept"}"#),
    }
}

#[tokio::test(start_paused = true)]
async fn a_principal_has_so_many_calls_that_wait_and_no_more() {
    let rounds = Rounds::new(&StateKeys::random());
    let (who, never) = (Principal::local(), CancellationToken::new());
    let names: Vec<ServerName> = (0..PARKED).map(|number| server(&number.to_string())).collect();
    let waiting: Vec<_> = names.iter().map(|name| parked(&rounds, name, &never)).collect();
    assert!(rounds.park(&who, &server("a")).is_none());
    let (first, ..) = &waiting[0];
    first.finish(0, Err(CallError::Draining));
    assert!(rounds.park(&who, &server("a")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_server_has_fewer_calls_that_wait_than_may_be_in_flight() {
    let rounds = Rounds::new(&StateKeys::random());
    let (who, never) = (Principal::local(), CancellationToken::new());
    let _waiting: Vec<_> =
        (0..PARKED_OF_SERVER).map(|_| parked(&rounds, &server("a"), &never)).collect();
    assert!(rounds.park(&who, &server("a")).is_none());
    assert!(rounds.park(&who, &server("b")).is_some(), "others have places of their own");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_while_the_runtime_ends() {
    let rounds = Rounds::new(&StateKeys::random());
    let draining = CancellationToken::new();
    let (talk, answer, cancelled) = parked(&rounds, &server("a"), &draining);
    talk.first().await.unwrap();
    let start = tokio::time::Instant::now();
    draining.cancel();
    assert_eq!(answer.await.unwrap().unwrap().get(), r#"{"action":"cancel"}"#);
    assert!(cancelled.await.is_err());
    assert_eq!(start.elapsed(), std::time::Duration::ZERO);
}

fn server(name: &str) -> ServerName {
    ServerName::new(name).unwrap()
}
