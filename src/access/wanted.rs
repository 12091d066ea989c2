//! Results that want input (MCP 2026-07-28, `InputRequiredResult`): what they ask, and how the
//! request is repeated with the answers. Also the older error that sends the user to an address.
//!
//! Shapes only; who asks and who answers is decided elsewhere.

use std::borrow::Cow;

use super::{
    CallError,
    seal::{RESPONSES, STATE},
};
use crate::{
    id::ServerName,
    runtime::introduced,
    wire::{
        Abilities, ErrorObject, Needle, Object, RawValue,
        envelope::code,
        method, raw,
        result::{INPUT_REQUIRED, QUESTIONS, REQUESTS, RESULT_TYPE},
    },
};

/// The error of revision 2025-11-25 that wants an address visited first.
pub(super) const URL_REQUIRED: i64 = -32042;

/// One thing that is asked.
#[derive(Debug)]
pub(super) struct Question {
    /// The asker's name for it.
    pub(super) key: String,
    pub(super) method: &'static str,
    /// Its raw parameters, which name the server.
    pub(super) params: Box<RawValue>,
}

/// What a result wants.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) questions: Vec<Question>,
    /// What the server wants back with the answers.
    pub(super) state: Option<String>,
}

impl Wanted {
    /// Reads a result that wants input from a caller that can do so much.
    ///
    /// # Errors
    /// [`CallError::Server`]: the result cannot be understood, or the caller lacks what it wants.
    pub(super) fn read(
        server: &ServerName,
        result: &RawValue,
        abilities: Abilities,
    ) -> Result<Self, CallError> {
        let wrong = |why: &str| CallError::Server {
            server: server.clone(),
            error: ErrorObject::new(code::INTERNAL, why),
        };
        let object = Object::read(result).unwrap_or_default();
        let state = object.typed::<String>(STATE);
        let requests = object.get(REQUESTS).map(|raw| {
            Object::read(raw).ok_or_else(|| wrong("the server asks for input in no known way"))
        });
        let requests = requests.transpose()?.unwrap_or_default();
        if requests.len() > QUESTIONS {
            let count = requests.len();
            let why = format!("{server} asks {count} questions at once; {QUESTIONS} are the most");
            return Err(wrong(&why));
        }
        let mut questions = Vec::new();
        for key in requests.keys() {
            let asked = requests.object(key);
            let asked = asked.ok_or_else(|| wrong("the server asks for input in no known way"))?;
            let (method, params) = (asked.text("method").unwrap_or_default(), asked.get("params"));
            let known = method::of_servers(&method);
            let needed = Abilities::needed(&method, params);
            let (Some(method), Some(needed)) = (known, needed) else {
                return Err(wrong("the server asks for something that no client has"));
            };
            if !abilities.include(needed) {
                return Err(CallError::Server { server: server.clone(), error: lacking(needed) });
            }
            let params = introduced(server.as_str(), method, params);
            questions.push(Question { key: key.to_owned(), method, params });
        }
        if questions.is_empty() && state.is_none() {
            return Err(wrong("the server wants input and does not say which"));
        }
        Ok(Self { questions, state })
    }

    /// What an error of a server that wants an address visited asks for; `None` for any other.
    pub(super) fn of_error(server: &ServerName, error: &ErrorObject) -> Option<Self> {
        if error.code() != URL_REQUIRED {
            return None;
        }
        let error = Object::read(error.raw())?;
        let data = error.object("data")?;
        let elicitations: Vec<Box<RawValue>> = data.typed("elicitations")?;
        if elicitations.len() > QUESTIONS {
            return None;
        }
        let questions = elicitations.iter().enumerate().map(|(place, params)| Question {
            key: format!("url{place}"),
            method: method::ELICIT,
            params: introduced(server.as_str(), method::ELICIT, Some(params)),
        });
        Some(Self { questions: questions.collect(), state: None })
    }
}

/// Everything that a task wants to know, with its server named in each.
pub(super) fn introduced_all(server: &str, requests: &RawValue) -> Box<RawValue> {
    let Some(mut object) = Object::read(requests) else { return requests.to_owned() };
    object.change(|request| {
        let mut asked = Object::read(request)?;
        let params = introduced(server, &asked.text("method")?, asked.get("params"));
        asked.put("params", &params);
        Some(asked.to_raw())
    });
    object.to_raw()
}

/// An error of a server that lacks an ability of its caller, where the caller has it and the server
/// was not told: says what kept it from that. `None` for any other error.
pub(super) fn untold(error: &CallError, declared: Abilities, why: Untold) -> Option<CallError> {
    let CallError::Server { server, error } = error else { return None };
    let object = Object::read(error.raw()).filter(|_| error.code() == code::MISSING_CAPABILITY)?;
    let data = object.object("data")?;
    let needed = Abilities::read(data.get("requiredCapabilities")?);
    if needed.is_empty() || !declared.include(needed) {
        return None;
    }
    Some(match why {
        Untold::Keyed => CallError::Invalid(format!(
            "{server} has a question to this call, and a call under an idempotency key asks nothing; \
             make it without the key"
        )),
        Untold::Shared => {
            let text = format!(
                "{server} has a question to this call, and agents share it (isolation = \"shared\"), \
                 so it cannot ask; it needs isolation = \"agent\" or \"session\""
            );
            CallError::Server {
                server: server.clone(),
                error: ErrorObject::new(code::INTERNAL, text),
            }
        }
    })
}

/// Why a server was not told what its caller can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untold {
    /// The call is under an idempotency key.
    Keyed,
    /// Agents share the server.
    Shared,
}

/// The error of a caller that lacks a capability.
fn lacking(needed: Abilities) -> ErrorObject {
    let data = raw(&serde_json::json!({ "requiredCapabilities": needed.to_raw() }));
    let text = "the server needs input that this client has not declared to give";
    ErrorObject::with_data(code::MISSING_CAPABILITY, text, Some(&data))
}

/// A result that asks a modern client; of a server's own one, if that asked by one, whatever is
/// not ours to say stays.
pub(super) fn input_required<'q>(
    own: Option<&RawValue>,
    questions: impl Iterator<Item = (&'q str, &'q str, &'q RawValue)>,
    state: &str,
) -> Box<RawValue> {
    let mut result = own.and_then(Object::read).unwrap_or_default();
    let asked = result.get(REQUESTS).map(ToOwned::to_owned);
    let mut requests = asked.as_deref().and_then(Object::read).unwrap_or_default();
    for (key, method, params) in questions {
        let had = requests.get(key).map(ToOwned::to_owned);
        let mut request = had.as_deref().and_then(Object::read).unwrap_or_default();
        if request.is_empty() {
            request.put("method", method);
        }
        request.put("params", &*timeless(params));
        requests.set(key, Cow::Owned(request.to_raw()));
    }
    if own.is_none() {
        result.put(RESULT_TYPE, INPUT_REQUIRED);
    }
    if !requests.is_empty() {
        result.put(REQUESTS, &requests);
    }
    result.put(STATE, state);
    result.to_raw()
}

/// An address has no id of its own any more.
fn timeless(params: &RawValue) -> Box<RawValue> {
    let mut object = Object::read(params).unwrap_or_default();
    object.remove("elicitationId");
    object.to_raw()
}

/// A request again, with the answers and the state that its server wants.
pub(super) fn repeated(
    params: &RawValue,
    responses: Option<&RawValue>,
    state: Option<&str>,
) -> Box<RawValue> {
    let mut object = Object::read(params).unwrap_or_default();
    object.remove(RESPONSES);
    object.remove(STATE);
    if let Some(responses) = responses {
        object.put(RESPONSES, responses);
    }
    if let Some(state) = state {
        object.put(STATE, state);
    }
    object.to_raw()
}

/// Whether the answers that a request brings, if it brings any, are an object for each question.
pub(super) fn has_sound_answers(params: &RawValue) -> bool {
    static ANSWERING: Needle = Needle::new(RESPONSES);
    if !ANSWERING.is_in(params) {
        return true;
    }
    let params = Object::read(params).unwrap_or_default();
    params.get(RESPONSES).is_none_or(|answers| {
        Object::read(answers)
            .is_some_and(|answers| answers.members().all(|(_, answer)| Object::is(answer)))
    })
}

/// The result that tells a model of an address that its client cannot show.
pub(super) fn told_to_visit(server: &ServerName, error: &ErrorObject) -> Box<RawValue> {
    let wanted = Wanted::of_error(server, error);
    let questions = wanted.map(|wanted| wanted.questions).unwrap_or_default();
    let mut text =
        format!("{server} wants its user to visit an address first: {}", error.message());
    for question in &questions {
        let url = Object::read(&question.params).and_then(|params| params.typed::<String>("url"));
        if let Some(url) = url {
            text.push(' ');
            text.push_str(&url);
        }
    }
    raw(&serde_json::json!({
        "content": [{ "type": "text", "text": text }],
        "isError": true,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Ability;

    fn json(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn an_address_that_no_client_can_show_is_told_to_the_model() {
        let error = r#"{"code":-32042,"message":"log in","data":{"elicitations":[{"mode":"url","url":"https://a.test/x","message":"m"}]}}"#;
        let error = ErrorObject::read(&json(error)).unwrap();
        let told = told_to_visit(&ServerName::new("git").unwrap(), &error);
        assert!(told.get().contains("address first: log in https://a.test/x"), "{told}");
    }

    #[test]
    fn a_result_that_wants_what_the_caller_lacks_is_refused_with_what_is_lacking() {
        let server = ServerName::new("git").unwrap();
        let form = Abilities::NONE.and(Ability::Form);
        let read = |text: &str| Wanted::read(&server, &json(text), form);
        let wanted = read(
            r#"{"inputRequests":{"k":{"method":"elicitation/create","params":{"message":"m"}}},"requestState":"s"}"#,
        );
        let wanted = wanted.unwrap();
        assert_eq!(wanted.state.as_deref(), Some("s"));
        let message = Object::read(&wanted.questions[0].params).unwrap().typed::<String>("message");
        assert_eq!(message.as_deref(), Some("[git] m"));
        let refused = read(r#"{"inputRequests":{"k":{"method":"roots/list"}}}"#).unwrap_err();
        let CallError::Server { error, .. } = refused else { panic!("{refused}") };
        assert_eq!(error.code(), code::MISSING_CAPABILITY);
        assert!(error.raw().get().contains(r#""requiredCapabilities":{"roots":{}}"#));
        for odd in [
            "{}",
            r#"{"inputRequests":[]}"#,
            r#"{"inputRequests":{"k":{"method":"ping"}}}"#,
            r#"{"inputRequests":{"k":1}}"#,
        ] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_result_asks_so_many_questions_and_no_more() {
        let server = ServerName::new("git").unwrap();
        let asking = |count: usize| {
            let asked = |place| format!(r#""k{place}":{{"method":"elicitation/create"}}"#);
            let asked: Vec<_> = (0..count).map(asked).collect();
            json(&format!("{{{}}}", asked.join(",")))
        };
        let read = |count| {
            let result = json(&format!(r#"{{"inputRequests":{}}}"#, asking(count)));
            Wanted::read(&server, &result, Abilities::NONE.and(Ability::Form))
        };
        assert_eq!(read(QUESTIONS).unwrap().questions.len(), QUESTIONS);
        let refused = read(20_000).unwrap_err().to_string();
        assert!(refused.contains("git asks 20000 questions at once; 64 are"), "{refused}");
        // Its time would grow with the square.
        let all = introduced_all("git", &asking(20_000));
        assert_eq!(Object::read(&all).unwrap().len(), 20_000);
        assert!(all.get().contains(r#""io.switchboard/origin":"git""#));
    }

    #[test]
    fn a_caller_that_has_what_its_server_was_not_told_of_is_not_blamed() {
        let server = ServerName::new("git").unwrap();
        let error = lacking(Abilities::NONE.and(Ability::Form));
        let error = CallError::Server { server, error };
        let form = Abilities::of_calls();
        let said = |declared, why| untold(&error, declared, why).map(|error| error.to_string());
        assert!(said(form, Untold::Keyed).unwrap().contains("without the key"));
        assert!(said(form, Untold::Shared).unwrap().contains("isolation = \"shared\""));
        assert_eq!(said(Abilities::NONE, Untold::Keyed), None, "it lacks it");
        assert!(untold(&CallError::Draining, form, Untold::Keyed).is_none());
    }

    #[test]
    fn answers_are_an_object_for_each_question() {
        for (params, sound) in [
            ("{}", true),
            (r#"{"arguments":{"inputResponses":1}}"#, true),
            (r#"{"inputResponses":{"k":{"action":"accept"}}}"#, true),
            (r#"{"inputResponses":{"k":12345}}"#, false),
            (r#"{"inputResponses":null}"#, false),
            (r#"{"inputResponses":[]}"#, false),
        ] {
            assert_eq!(has_sound_answers(&json(params)), sound, "{params}");
        }
    }

    #[test]
    fn a_request_is_repeated_with_the_answers_in_the_place_of_old_ones() {
        let params = json(r#"{"name":"t","requestState":"ours","inputResponses":{"a":1}}"#);
        assert_eq!(repeated(&params, None, None).get(), r#"{"name":"t"}"#);
        let again = repeated(&params, Some(&json(r#"{"k":2}"#)), Some("theirs"));
        assert_eq!(again.get(), r#"{"name":"t","inputResponses":{"k":2},"requestState":"theirs"}"#);
    }
}
