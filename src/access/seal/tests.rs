//! What a state and a name of a task open for, and what they do not.

use super::*;

fn bound(owner: &Owner, method: &str, params: &str) -> Bound {
    let params = RawValue::from_string(params.to_owned()).unwrap();
    Bound::new(&Principal::local(), owner, method, &params)
}

const PARAMS: &str = r#"{"name":"t","arguments":{"a":1,"b":[2]},"_meta":{"x":1}}"#;

fn mine() -> Bound {
    bound(&Owner::Store, "tools/call", PARAMS)
}

#[test]
fn a_state_opens_for_its_own_request_only() {
    let (seal, now) = (Seal::new(&StateKeys::random()), SystemTime::now());
    let state = seal.seal(&mine(), Ticket::Again, now).unwrap();
    let same = r#"{"_meta":{},"requestState":"s","inputResponses":{},"arguments":{"b":[2],"a":1},"name":"t"}"#;
    for bound in [mine(), bound(&Owner::Store, "tools/call", same)] {
        assert_eq!(seal.open(&bound, &state, now), Some(Ticket::Again));
    }
    let agent = Owner::Agent(crate::id::AgentId::new("a").unwrap());
    for foreign in [
        bound(&agent, "tools/call", PARAMS),
        bound(&Owner::Store, "prompts/get", PARAMS),
        bound(&Owner::Store, "tools/call", &PARAMS.replace("[2]", "[3]")),
        bound(&Owner::Store, "tools/call", &PARAMS.replace("\"t\"", "\"u\"")),
    ] {
        assert_eq!(seal.open(&foreign, &state, now), None);
    }
}

#[test]
fn what_our_own_numbers_and_texts_cannot_tell_apart_is_told_apart_all_the_same() {
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let (one, other) = (deep(200), deep(201));
    for (mine, other) in [
        (r#"{"x":1e400,"do":"read"}"#, r#"{"x":1e400,"do":"delete"}"#),
        (r#"{"x":"\ud800","do":"read"}"#, r#"{"x":"\ud800","do":"delete"}"#),
        ("1.0", "1.00000000000000000000001"),
        ("99999999999999999999999991", "99999999999999999999999992"),
        (&*one, &*other),
    ] {
        let params = |value: &str| format!(r#"{{"name":"t","arguments":{value}}}"#);
        let of = |value| bound(&Owner::Store, "tools/call", &params(value)).0;
        assert_eq!(of(mine), of(mine));
        assert_ne!(of(mine), of(other), "{mine}");
    }
}

#[test]
fn a_state_that_was_changed_or_has_expired_does_not_open() {
    let (seal, now) = (Seal::new(&StateKeys::random()), SystemTime::now());
    let state = seal.seal(&mine(), Ticket::Again, now).unwrap();
    assert!(seal.open(&mine(), &state, now + TTL - Duration::from_secs(2)).is_some());
    assert!(seal.open(&mine(), &state, now + TTL).is_none());
    for at in 0..state.len() {
        let mut bytes = state.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        // The last character has bits that mean nothing; only a canonical one is read.
        assert_eq!(seal.open(&mine(), &changed, now), None, "{at}");
    }
    for odd in ["", "A", "*", &state[..32]] {
        assert_eq!(seal.open(&mine(), odd, now), None, "{odd}");
    }
}

#[test]
fn the_first_key_seals_and_all_of_them_open() {
    let (old, now) = (StateKeys::random(), SystemTime::now());
    let state = Seal::new(&old).seal(&mine(), Ticket::Again, now).unwrap();
    let text = format!("# newest first\n{}\n{}", StateKeys::random().expose(), old.expose());
    let rotated = Seal::new(&StateKeys::read(&text).unwrap());
    assert!(rotated.open(&mine(), &state, now).is_some());
    let newer = rotated.seal(&mine(), Ticket::Again, now).unwrap();
    assert!(Seal::new(&old).open(&mine(), &newer, now).is_none());
    assert_eq!(StateKeys::read("\nabc").unwrap_err().line, 2);
    assert!(StateKeys::read("# nothing").is_err());
}

#[test]
fn a_task_has_one_name_that_is_its_callers_alone() {
    let seal = Seal::new(&StateKeys::random());
    let task = |id: &str| {
        let server = ServerName::new("git").unwrap();
        TaskTicket { server, program: "p".into(), id: id.to_owned() }
    };
    let bound = Bound::of_tasks(&Principal::local(), &Owner::Store, Era::Modern);
    let name = seal.name(&bound, &task("t-1")).unwrap();
    assert_eq!(seal.name(&bound, &task("t-1")).unwrap(), name, "the same each time");
    assert_ne!(seal.name(&bound, &task("t-2")).unwrap()[..32], name[..32], "another nonce");
    assert_eq!(seal.named(&bound, &name), Some(task("t-1")));
    let agent = Owner::Agent(crate::id::AgentId::new("a").unwrap());
    for foreign in [
        Bound::of_tasks(&Principal::named("other"), &Owner::Store, Era::Modern),
        Bound::of_tasks(&Principal::local(), &agent, Era::Modern),
        Bound::of_tasks(&Principal::local(), &Owner::Store, Era::Legacy),
        mine(),
    ] {
        assert_eq!(seal.named(&foreign, &name), None);
        assert_ne!(seal.name(&foreign, &task("t-1")).unwrap()[..32], name[..32], "another nonce");
    }
    assert_eq!(Seal::new(&StateKeys::random()).named(&bound, &name), None);
    let state = seal.seal(&bound, Ticket::Again, SystemTime::now()).unwrap();
    assert_eq!(seal.named(&bound, &state), None, "a state is no name");
}

#[test]
fn the_longest_name_of_a_task_opens_and_a_longer_one_is_not_looked_at() {
    let seal = Seal::new(&StateKeys::random());
    let bound = Bound::of_tasks(&Principal::local(), &Owner::Store, Era::Modern);
    let server = ServerName::new("s".repeat(64)).unwrap();
    let task =
        |id: String| TaskTicket { server: server.clone(), program: "f".repeat(64).into(), id };
    let longest = task("\u{1}".repeat(crate::wire::task::LONGEST_ID));
    let name = seal.name(&bound, &longest).unwrap();
    assert_eq!(seal.named(&bound, &name), Some(longest));
    let huge = seal.name(&bound, &task("x".repeat(LONGEST_NAME))).unwrap();
    assert_eq!(seal.named(&bound, &huge), None);
}
