//! The exact texts for every state.

use super::*;
use crate::{
    actor::event::{Detail, Waiting},
    id::{AgentId, ServerName},
    runtime::Trouble,
    upstream::ProcessExit,
};

/// Three minutes after the epoch.
const NOW: Duration = Duration::from_mins(3);

fn status(state: State, incarnation: u64) -> ServerStatus {
    ServerStatus {
        owner: Owner::Store,
        server: ServerName::new("github").unwrap(),
        session: None,
        state,
        health: Health::Healthy,
        incarnation: Incarnation(incarnation),
        since: Some(Duration::from_millis(1500)),
        cause: None,
        caused: None,
        next_try: None,
        transport: "pipe",
        era: None,
        revision: None,
        pid: None,
        tools: 0,
        in_flight: 0,
        waiting: 0,
        asking: 0,
        asked: None,
        waited: None,
        calls: 0,
        failures: 0,
        overdue: 0,
        unheard: 0,
        required: false,
        description: None,
    }
}

/// An event of ten seconds ago.
fn event(from: State, to: State, cause: &str, decision: &str, detail: Detail) -> Arc<Event> {
    Arc::new(Event {
        time: SystemTime::UNIX_EPOCH + NOW.saturating_sub(Duration::from_secs(10)),
        owner: Owner::Store,
        server: ServerName::new("github").unwrap(),
        session: None,
        incarnation: Incarnation(2),
        from,
        to,
        cause: cause.into(),
        decision: decision.into(),
        next: None,
        waiting: Waiting::default(),
        detail,
        earlier: false,
    })
}

fn killed(to: State, decision: &str) -> Arc<Event> {
    let down = Down {
        trouble: Some(Trouble::Exited),
        pid: Some(41),
        exit: Some(ProcessExit::Signal("SIGKILL".to_owned())),
        lasted: Some(Duration::from_secs(126)),
        served: Some(Duration::from_secs(125)),
        stderr: vec!["a last word".to_owned()],
    };
    event(State::Ready, to, "the process was killed by SIGKILL", decision, Detail::Down(down))
}

fn troubled(trouble: Trouble, to: State) -> Arc<Event> {
    let lasted = Some(Duration::from_millis(200));
    let down = Down { trouble: Some(trouble), lasted, ..Down::default() };
    event(State::Connecting, to, "SERVER'S WORDS", "given up", Detail::Down(down))
}

fn told_of(status: &ServerStatus, events: &[Arc<Event>]) -> Explanation {
    explain(status, events, SystemTime::UNIX_EPOCH + NOW)
}

/// Summary, why, remedy and brief, a line each.
fn lines(found: &Explanation) -> String {
    let parts =
        [Some(&found.summary), found.why.as_ref(), found.remedy.as_ref(), Some(&found.brief)];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    parts.join("\n")
}

#[test]
fn a_server_that_is_well_has_nothing_to_explain() {
    let ready = ServerStatus { pid: Some(41), ..status(State::Ready, 1) };
    let found = told_of(&ready, &[killed(State::Backoff, "x")]);
    assert_eq!(lines(&found), "github is ready (life #1, pid 41, for 1.5 s)\ngithub is ready.");
    assert!(found.stderr.is_empty() && found.decided.is_none() && found.next.is_none());
}

#[test]
fn a_server_that_is_back_says_why_it_was_away() {
    let ready = ServerStatus { health: Health::Warning, ..status(State::Ready, 3) };
    let mut up =
        (*event(State::Connecting, State::Ready, "connected", "serve", Detail::Step)).clone();
    up.waiting = Waiting { calls: 2, longest: Duration::from_millis(400) };
    let found = told_of(&ready, &[killed(State::Backoff, "try again in 0.3 s"), Arc::new(up)]);
    assert_eq!(
        lines(&found),
        "github is ready again (life #3, for 1.5 s)\n\
         the process was killed by SIGKILL (pid 41, it had served for 2m 5s, 10 s ago)\n\
         github is ready again; before that, its process was killed by SIGKILL."
    );
    assert_eq!(found.waiting.as_deref(), Some("none now; 2 calls had waited, up to 0.4 s"));
    assert_eq!(found.stderr, ["a last word"]);
}

#[test]
fn a_lost_server_says_when_it_is_tried_again_and_who_waits() {
    let lost = ServerStatus {
        next_try: Some(Duration::from_millis(2100)),
        waiting: 1,
        waited: Some(Duration::from_millis(300)),
        ..status(State::Backoff, 2)
    };
    let found = told_of(&lost, &[killed(State::Backoff, "try again in 3.6 s")]);
    assert_eq!(
        lines(&found),
        "github waits before its next try (life #2, for 1.5 s)\n\
         the process was killed by SIGKILL (pid 41, it had served for 2m 5s, 10 s ago)\n\
         nothing yet: it is tried again by itself; `switchboard restart github` tries at once\n\
         github waits before its next try: its process was killed by SIGKILL; next try in 2.1 s."
    );
    assert_eq!(found.decided.as_deref(), Some("try again in 3.6 s"));
    assert_eq!(found.next.as_deref(), Some("in 2.1 s"));
    assert_eq!(found.waiting.as_deref(), Some("1 call, the first for 0.3 s"));
}

#[test]
fn an_open_circuit_says_what_to_put_right() {
    let open = ServerStatus {
        next_try: Some(Duration::from_secs(5)),
        owner: Owner::Agent(AgentId::new("research").unwrap()),
        server: ServerName::new("My Server").unwrap(),
        ..status(State::Open, 7)
    };
    let found = told_of(&open, &[killed(State::Open, "too many failures: pause, probe in 5.0 s")]);
    assert_eq!(
        lines(&found),
        "My Server of agent research keeps failing and is paused (life #7, for 1.5 s)\n\
         the process was killed by SIGKILL (pid 41, it had served for 2m 5s, 10 s ago)\n\
         put right what makes it fail, then `switchboard restart 'My Server' --agent research`\n\
         My Server keeps failing and is paused: its process was killed by SIGKILL; next try in 5.0 s."
    );
}

#[test]
fn every_quiet_state_has_its_sentence() {
    let wish = |from, to, cause| vec![event(from, to, cause, "close", Detail::Step)];
    for (state, life, events, expected) in [
        (
            State::Idle,
            0,
            vec![],
            "github was not started yet (for 1.5 s)\nnothing: the next call starts it\n\
             github was not started yet.",
        ),
        (
            State::Idle,
            2,
            wish(State::Ready, State::Idle, "nobody called it for a while"),
            "github is idle (life #2, for 1.5 s)\nnobody called it for a while\n\
             nothing: the next call starts it\ngithub is idle: nobody called it for a while.",
        ),
        (
            State::Connecting,
            1,
            wish(State::Idle, State::Connecting, "configured"),
            "github is connecting for the first time (life #1, for 1.5 s)\nconfigured\n\
             nothing: it is being tried\ngithub is connecting for the first time.",
        ),
        (
            State::Draining,
            2,
            wish(State::Ready, State::Draining, "shutdown"),
            "github finishes its calls and ends (life #2, for 1.5 s)\nshutdown\n\
             github finishes its calls and ends: shutdown.",
        ),
        (
            State::Stopped,
            2,
            wish(State::Draining, State::Stopped, "closed"),
            "github is stopped (life #2, for 1.5 s)\nclosed\n\
             `switchboard restart github` starts it\ngithub is stopped: closed.",
        ),
    ] {
        assert_eq!(lines(&told_of(&status(state, life), &events)), expected);
    }
}

#[test]
fn a_try_after_a_pause_says_what_went_wrong_before() {
    for (state, from, phrase) in [
        (State::Connecting, State::Backoff, "is connecting again"),
        (State::HalfOpen, State::Open, "kept failing and is being tried once"),
    ] {
        let again = event(from, state, "the pause is over", "connect", Detail::Step);
        let found = told_of(&status(state, 3), &[killed(from, "x"), again]);
        assert_eq!(
            lines(&found),
            format!(
                "github {phrase} (life #3, for 1.5 s)\n\
                 the process was killed by SIGKILL (pid 41, it had served for 2m 5s, 10 s ago)\n\
                 nothing: it is being tried\n\
                 github {phrase}: its process was killed by SIGKILL."
            )
        );
    }
}

#[test]
fn each_trouble_has_a_remedy_and_an_agent_reads_no_word_of_the_server() {
    for (trouble, remedy, brief) in [
        (
            Trouble::Command,
            "install the program, or correct `command`, `args` or `cwd` of the server in the configuration; it is looked for again by itself, `switchboard restart github` does so at once",
            "its program cannot be started",
        ),
        (
            Trouble::Configuration,
            "correct the server in the configuration, which tries it again",
            "its definition cannot work",
        ),
        (
            Trouble::Protocol,
            "see that it is an MCP server, and which revision it speaks (`protocol` of the server in the configuration); then `switchboard restart github`",
            "it does not speak the protocol as it should",
        ),
        (
            Trouble::Credentials,
            "renew its credentials (`headers` or `env` of the server in the configuration), then `switchboard restart github`",
            "it refuses our credentials",
        ),
        (
            Trouble::Silent,
            "see what it is doing; if it needs more time, raise `timeouts.start` or `timeouts.connect`; then `switchboard restart github`",
            "it does not answer",
        ),
        (
            Trouble::Busy,
            "nothing: it is tried when the pause is over; `switchboard restart github` tries at once",
            "it asked to be left alone for a while",
        ),
        (Trouble::Lost, "`switchboard restart github` starts it", "the connection to it was lost"),
        (Trouble::Exited, "`switchboard restart github` starts it", "its process ended"),
        (
            Trouble::Bug,
            "this is a bug of Switchboard: report it with this text and the log; `switchboard restart github` starts the server anew",
            "a bug of Switchboard",
        ),
    ] {
        let found = told_of(&status(State::Failed, 2), &[troubled(trouble, State::Failed)]);
        assert_eq!(found.why.as_deref(), Some("SERVER'S WORDS (after 0.2 s, 10 s ago)"));
        assert_eq!(found.remedy.as_deref(), Some(remedy));
        assert_eq!(found.brief, format!("github was given up: {brief}."));
    }
}

#[test]
fn without_events_the_standing_cause_is_told_to_the_operator_alone() {
    let failed =
        ServerStatus { cause: Some("SERVER'S WORDS".to_owned()), ..status(State::Failed, 2) };
    let found = told_of(&failed, &[]);
    assert_eq!(found.why.as_deref(), Some("SERVER'S WORDS"));
    assert_eq!(found.brief, "github was given up.");
}

#[test]
fn durations_are_told_as_people_say_them() {
    for (millis, expected) in [
        (0, "0.0 s"),
        (9_949, "9.9 s"),
        (9_960, "10 s"),
        (119_400, "119 s"),
        (3_725_900, "1h 2m 5s"),
    ] {
        assert_eq!(told(Duration::from_millis(millis)), expected);
    }
}

#[test]
fn a_life_that_was_not_replaced_says_why_and_an_agent_reads_that_it_is_ready() {
    let cause = "#3 did not take over: SERVER'S WORDS";
    let told = event(State::Ready, State::Ready, cause, "#2 serves on", Detail::Step);
    let kept = ServerStatus { cause: Some(cause.to_owned()), ..status(State::Ready, 2) };
    let found = explain(&kept, &[Arc::clone(&told)], SystemTime::UNIX_EPOCH + NOW);
    assert_eq!(found.why.as_deref(), Some(cause));
    let remedy = found.remedy.unwrap();
    assert!(remedy.ends_with("from serving, then `switchboard restart github`"), "{remedy}");
    assert_eq!(found.brief, "github is ready.");
    let found = explain(&status(State::Ready, 2), &[told], SystemTime::UNIX_EPOCH + NOW);
    assert_eq!((found.why, found.remedy), (None, None), "what is over needs no word");
}
