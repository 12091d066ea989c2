//! The modern era: requests that carry their own metadata and need no session.
//!
//! Independent of the transport; headers are the endpoint's affair.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Caller, Exchange, Fault, Outcome, Reply, fault,
    list::{self, Freshness},
    listen::Listen,
    received::Received,
};
use crate::{
    access::Gate,
    wire::{
        Abilities, Ability, Era, ErrorObject, Id, Object, Primitive, RawValue, Revision,
        envelope::code,
        extension, into_text,
        meta::{self, CLIENT_CAPABILITIES, META, PROTOCOL_VERSION},
        method, raw, task,
    },
};

/// A modern request whose metadata is complete.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The client's id.
    pub(crate) id: Id,
    /// What is asked.
    pub(crate) method: &'a str,
    /// Its raw parameters.
    pub(crate) params: Option<&'a RawValue>,
    /// The same, read one level deep.
    pub(crate) object: Object<'a>,
    /// Their metadata.
    meta: Object<'a>,
    /// The revision that it names.
    pub(crate) version: String,
}

impl<'a> Request<'a> {
    /// Reads a request's metadata.
    ///
    /// # Errors
    /// A fault where a required key is missing.
    pub(crate) fn read(
        id: Id,
        method: &'a str,
        params: Option<&'a RawValue>,
    ) -> Result<Self, Fault> {
        let object = Object::read_optional(params).unwrap_or_default();
        let meta = object.part(META).unwrap_or_default();
        let missing = |key: &str| {
            let text = format!("`params._meta` lacks `{key}`, which every request must carry");
            Fault::with_status(400, code::INVALID_PARAMS, text)
        };
        let version =
            meta.typed::<String>(PROTOCOL_VERSION).ok_or_else(|| missing(PROTOCOL_VERSION))?;
        if !meta.json(CLIENT_CAPABILITIES).is_some_and(|json| json.starts_with('{')) {
            return Err(missing(CLIENT_CAPABILITIES));
        }
        Ok(Self { id, method, params, object, meta, version })
    }

    /// The revision, if we speak it in this era.
    ///
    /// # Errors
    /// A fault that names the revisions to choose from.
    pub(crate) fn revision(&self) -> Result<Revision, Fault> {
        #[derive(Serialize)]
        struct Data<'a> {
            supported: [Revision; 1],
            requested: &'a str,
        }
        let spoken = Revision::parse(&self.version).filter(|known| known.era() == Era::Modern);
        spoken.ok_or_else(|| {
            let text = "unsupported protocol version";
            let data = raw(&Data { supported: Revision::MODERN, requested: &self.version });
            Fault {
                error: ErrorObject::with_data(code::UNSUPPORTED_VERSION, text, Some(&data)),
                ..Fault::with_status(400, code::UNSUPPORTED_VERSION, text)
            }
        })
    }

    /// What the request is answered with.
    pub(crate) fn answer(self, gate: &Arc<Gate>, caller: &Caller) -> Reply<Listen> {
        let revision = Revision::parse(&self.version).unwrap_or(Revision::LATEST);
        let received = Received::begin(gate, caller, &self.id, self.method, self.params, revision);
        received.observe(self.try_answer(gate, caller))
    }

    fn try_answer(self, gate: &Arc<Gate>, caller: &Caller) -> Result<Reply<Listen>, Fault> {
        let revision = self.revision()?;
        let start = || {
            let read = Some((&self.object, &self.meta));
            Exchange::start(gate, caller, self.method, self.params, read, revision)
        };
        Ok(match self.method {
            method::DISCOVER => Reply::Now(discover(gate, caller)),
            method::TOOLS_CALL
            | method::PROMPTS_GET
            | method::RESOURCES_READ
            | method::COMPLETE => Reply::Call(start()?),
            method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL => {
                takes_tasks(self.params)?;
                Reply::Call(start()?)
            }
            method::LISTEN => Reply::Listen(Listen::open(gate, caller, self.id, self.params)?),
            other => match Primitive::listed_by(other) {
                Some(primitive) => {
                    Reply::Now(list::answer(gate, caller, primitive, self.params, revision))
                }
                None if extension::may_own(other) => Reply::Call(start()?),
                None => {
                    return Err(Fault::with_status(404, code::METHOD_NOT_FOUND, "unknown method"));
                }
            },
        })
    }
}

/// Tasks are for those alone who declare that they take them (MCP extension for tasks).
pub(super) fn takes_tasks(params: Option<&RawValue>) -> Result<(), Fault> {
    let declared = meta::key(params, CLIENT_CAPABILITIES);
    let abilities = declared.as_deref().map(Abilities::read).unwrap_or_default();
    if abilities.has(Ability::Tasks) {
        return Ok(());
    }
    Err(Fault::lacking(Abilities::NONE.and(Ability::Tasks)))
}

/// `server/discover`: what we offer, and which modern revisions we speak.
pub(crate) fn discover(gate: &Gate, caller: &Caller) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct DiscoverResult {
        supported_versions: [Revision; 1],
        capabilities: Box<RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        instructions: Option<Arc<str>>,
        #[serde(flatten)]
        freshness: Freshness,
    }
    let instructions = gate
        .instructions(&caller.principal, &caller.owner)
        .map_err(|error| fault::of_request(error, Era::Modern))?;
    let discovered = raw(&DiscoverResult {
        supported_versions: Revision::MODERN,
        capabilities: Capabilities::shown(gate, caller, Revision::LATEST)?,
        instructions,
        freshness: Freshness::of_memory(),
    });
    Ok(into_text(discovered).into())
}

/// What we serve, in both eras: whatever some server may come to offer, because a legacy client
/// is told only once.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Capabilities {
    logging: Logging,
    tools: Listed,
    prompts: Listed,
    resources: Watched,
    completions: Object<'static>,
    /// Each tool says for itself whether it can be called as a task (2025-11-25).
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Box<RawValue>>,
}

/// Messages of servers go to the call that they belong to.
#[derive(Debug, Default, Serialize)]
struct Logging {}

impl Capabilities {
    fn of(revision: Revision) -> Self {
        let tasks = revision.has_tasks().then(|| {
            raw(&serde_json::json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } }))
        });
        let extensions = (revision.era() == Era::Modern).then(task::extensions);
        Self { tasks, extensions, ..Self::default() }
    }

    /// Raw capabilities, with what the caller's servers declare beyond the protocol.
    pub(crate) fn shown(
        gate: &Gate,
        caller: &Caller,
        revision: Revision,
    ) -> Result<Box<RawValue>, Fault> {
        let own = raw(&Self::of(revision));
        let extensions = gate
            .extensions(&caller.principal, &caller.owner)
            .map_err(|error| fault::of_request(error, revision.era()))?;
        Ok(extensions.map_or_else(|| own.clone(), |it| extension::added(&own, &it)))
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    list_changed: bool,
}

impl Default for Listed {
    fn default() -> Self {
        Self { list_changed: true }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Watched {
    list_changed: bool,
    subscribe: bool,
}

impl Default for Watched {
    fn default() -> Self {
        Self { list_changed: true, subscribe: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: &str) -> Result<String, i64> {
        let params = RawValue::from_string(params.to_owned()).unwrap();
        match Request::read(Id::from(1), method::TOOLS_LIST, Some(&params)) {
            Ok(request) => {
                request.revision().map(|revision| revision.to_string()).map_err(|fault| {
                    assert_eq!(fault.head.status, 400);
                    assert!(fault.error.raw().get().contains(
                        r#""data":{"supported":["2026-07-28"],"requested":"2099-01-01"}"#
                    ));
                    fault.error.code()
                })
            }
            Err(fault) => {
                assert_eq!(fault.head.status, 400);
                Err(fault.error.code())
            }
        }
    }

    #[test]
    fn a_request_states_its_revision_and_its_senders_capabilities() {
        let full = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"VERSION","io.modelcontextprotocol/clientCapabilities":{}}}"#;
        assert_eq!(read(&full.replace("VERSION", "2026-07-28")), Ok("2026-07-28".to_owned()));
        assert_eq!(read(&full.replace("VERSION", "2099-01-01")), Err(code::UNSUPPORTED_VERSION));
        for incomplete in [
            "{}",
            "[]",
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
            r#"{"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}}"#,
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":1,"io.modelcontextprotocol/clientCapabilities":{}}}"#,
        ] {
            assert_eq!(read(incomplete), Err(code::INVALID_PARAMS), "{incomplete}");
        }
    }
}
