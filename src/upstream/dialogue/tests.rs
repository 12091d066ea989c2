//! Whose a server's request is, and how it is answered when it is nobody's.

use std::time::Duration;

use super::{inquiries::OPEN_BYTES, *};
use crate::{
    upstream::{Roots, StderrRing},
    wire::Ability,
};

fn party(who: &str, sink: Option<DialogueSink>) -> Party {
    let dialogue = Dialogue {
        party: Some(Whose { owner: Owner::Store, session: Some(SessionKey::of(who)) }),
        server: Some(ServerName::new("git").unwrap()),
        abilities: Abilities::NONE.and(Ability::Form),
        extensions: None,
        hears: None,
        headers: None,
        level: Some(Level::Warning),
        sink,
    };
    let deadline = Deadline::new(Duration::from_secs(1), Duration::from_mins(1));
    Party { dialogue: Arc::new(dialogue), deadline }
}

fn text(value: &str) -> Box<RawValue> {
    RawValue::from_string(value.to_owned()).unwrap()
}

fn answered(back: Back) -> String {
    let Back::Answer(line) = back else { panic!("nobody told how far it is") };
    String::from_utf8(line).unwrap()
}

/// Asks and gives what the server is answered, then or later.
fn ask(
    open: &Arc<Inquiries>,
    party: Option<Party>,
    method: &'static str,
) -> std::sync::mpsc::Receiver<String> {
    let (sender, answers) = std::sync::mpsc::channel();
    let params = text(r#"{"message":"Who?","requestedSchema":{},"_meta":{"k":1}}"#);
    open.ask(&StderrRing::default(), party, &Id::from(7), method, Some(&params), move |back| {
        sender.send(answered(back)).unwrap();
    });
    answers
}

#[test]
fn a_request_is_the_newest_calls_where_all_calls_are_of_one_party() {
    let (mine, mine_too, other) = (party("a", None), party("a", None), party("b", None));
    let newest = addressee([(1, &mine), (3, &mine_too), (2, &mine)].into_iter()).unwrap();
    assert!(std::ptr::eq(newest, &raw const mine_too));
    assert!(addressee([(1, &mine), (2, &other)].into_iter()).is_none());
    assert!(addressee(std::iter::empty()).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_a_server_asks_after_a_call_was_given_up_is_nobody_elses() {
    let (mine, other) = (party("a", None), party("b", None));
    let mut given_up = GivenUp::default();
    assert!(given_up.allow(&mine));
    given_up.add(1, &other);
    assert!(given_up.allow(&other) && !given_up.allow(&mine));
    given_up.answered(1);
    assert!(given_up.allow(&mine), "the server is done with it");
    given_up.add(2, &other);
    tokio::time::advance(LINGERING).await;
    assert!(given_up.allow(&mine), "it is not waited for without end");
}

#[tokio::test]
async fn an_answer_reaches_the_server_and_a_dropped_question_is_declined() {
    let open = Arc::<Inquiries>::default();
    let (sink, mut told) = DialogueSink::new(1);
    let answers = ask(&open, Some(party("a", Some(sink.clone()))), method::ELICIT);
    let Some(Told::Asked(asked)) = told.recv().await else { panic!("nothing was asked") };
    assert_eq!(
        asked.params.get(),
        r#"{"message":"[git] Who?","requestedSchema":{},"_meta":{"k":1,"io.switchboard/origin":"git"}}"#
    );
    asked.reply.give(Ok(text(r#"{"action":"accept"}"#)));
    assert_eq!(answers.recv().unwrap(), r#"{"jsonrpc":"2.0","id":7,"result":{"action":"accept"}}"#);
    let answers = ask(&open, Some(party("a", Some(sink))), method::ELICIT);
    drop(told.recv().await);
    assert!(answers.recv().unwrap().contains(r#""action":"cancel""#));
    assert_eq!(open.waiting(), (0, None));
}

#[tokio::test]
async fn what_nobody_can_be_asked_is_answered_at_once() {
    let open = Arc::<Inquiries>::default();
    let (sink, _told) = DialogueSink::new(1);
    let able = || Some(party("a", Some(sink.clone())));
    for (party, method, expected) in [
        (None, method::ELICIT, r#""action":"cancel""#),
        (None, method::SAMPLE, "-32603"),
        (able(), method::SAMPLE, "-32601"),
        (Some(party("a", None)), method::ELICIT, "-32601"),
    ] {
        let answer = ask(&open, party, method).recv().unwrap();
        assert!(answer.contains(expected), "{method}: {answer}");
    }
}

#[tokio::test]
async fn an_operator_finds_why_a_question_was_nobodys() {
    let (open, ring) = (Arc::<Inquiries>::default(), StderrRing::default());
    let (sink, told) = DialogueSink::new(1);
    let _answers = ask(&open, Some(party("a", Some(sink))), method::ELICIT);
    open.ask(&ring, None, &Id::from(8), method::ELICIT, None, drop);
    let said = ring.last(1).concat();
    assert!(said.contains("elicitation/create") && said.contains("1 waiting for"), "{said}");
    drop(told);
}

#[tokio::test]
async fn a_log_message_goes_to_its_call_if_that_wants_it_and_to_the_ring_if_there_is_none() {
    let ring = StderrRing::default();
    let (sink, mut told) = DialogueSink::new(4);
    let mine = party("a", Some(sink));
    for (party, level) in [(Some(&mine), "info"), (Some(&mine), "error"), (None, "debug")] {
        let params = text(&format!(r#"{{"level":"{level}","data":1}}"#));
        log(party, Some(&params), &ring);
    }
    let Some(Told::Logged(logged, _)) = told.recv().await else { panic!("nothing was logged") };
    assert_eq!(logged.get(), r#"{"level":"error","data":1}"#);
    assert!(told.try_recv().is_err());
    assert_eq!(ring.last(9), ["1 "]);
}

#[tokio::test]
async fn the_server_may_take_a_question_back() {
    let open = Arc::<Inquiries>::default();
    let (sink, mut told) = DialogueSink::new(2);
    let _answers = ask(&open, Some(party("a", Some(sink))), method::ELICIT);
    open.withdraw(Some(&text(r#"{"requestId":8}"#)));
    open.withdraw(Some(&text(r#"{"requestId":7}"#)));
    let Some(Told::Asked(_asked)) = told.recv().await else { panic!("nothing was asked") };
    assert!(matches!(told.recv().await, Some(Told::Withdrawn(id)) if id == Id::from(7)));
}

#[tokio::test]
async fn an_answer_to_a_question_that_was_taken_back_is_not_that_of_a_later_one_with_its_id() {
    let open = Arc::<Inquiries>::default();
    let (sink, mut told) = DialogueSink::new(4);
    let first = ask(&open, Some(party("a", Some(sink.clone()))), method::ELICIT);
    let Some(Told::Asked(asked)) = told.recv().await else { panic!("nothing was asked") };
    open.withdraw(Some(&text(r#"{"requestId":7}"#)));
    assert!(matches!(told.recv().await, Some(Told::Withdrawn(_))));
    let second = ask(&open, Some(party("a", Some(sink))), method::ELICIT);
    let Some(Told::Asked(again)) = told.recv().await else { panic!("nothing was asked") };
    asked.reply.give(Ok(text(r#"{"action":"accept"}"#)));
    assert!(first.try_recv().is_err(), "nobody wants to know any more");
    assert_eq!(open.waiting().0, 1);
    again.reply.give(Ok(text(r#"{"action":"decline"}"#)));
    assert!(second.recv().unwrap().contains("decline"));
}

#[tokio::test]
async fn configured_roots_answer_for_everybody() {
    let open = Arc::<Inquiries>::default();
    let roots = Roots::default();
    open.know(roots.clone());
    assert!(ask(&open, None, method::ROOTS).recv().unwrap().contains("-32603"));
    roots.replace(&[crate::upstream::Root {
        uri: "file:///w".to_owned(),
        name: Some("W".to_owned()),
    }]);
    assert_eq!(
        ask(&open, None, method::ROOTS).recv().unwrap(),
        r#"{"jsonrpc":"2.0","id":7,"result":{"roots":[{"uri":"file:///w","name":"W"}]}}"#
    );
}

#[tokio::test]
async fn log_messages_and_questions_that_wait_are_bounded_in_bytes() {
    let (sink, mut told) = DialogueSink::new(64);
    let mine = party("a", Some(sink));
    let long = text(&format!(r#"{{"level":"error","data":"{}"}}"#, "x".repeat(1 << 20)));
    for _ in 0..9 {
        log(Some(&mine), Some(&long), &StderrRing::default());
    }
    for _ in 0..3 {
        assert!(matches!(told.try_recv(), Ok(Told::Logged(..))));
    }
    assert!(told.try_recv().is_err());

    let open = Arc::<Inquiries>::default();
    let (sender, answers) = std::sync::mpsc::channel();
    let long = text(&format!(r#"{{"message":"","x":"{}"}}"#, "x".repeat(OPEN_BYTES)));
    for (id, params) in [(1, &text(r#"{"message":"Who?"}"#)), (2, &long)] {
        let sender = sender.clone();
        let (ring, party) = (StderrRing::default(), Some(mine.clone()));
        open.ask(&ring, party, &Id::from(id), method::ELICIT, Some(params), move |back| {
            sender.send(answered(back)).unwrap();
        });
    }
    assert!(answers.try_recv().unwrap().contains(r#""id":2"#));
    assert!(matches!(told.try_recv(), Ok(Told::Asked(_))));
    assert!(answers.try_recv().unwrap().contains(r#""id":1"#), "the first was dropped here");
}
