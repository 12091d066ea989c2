//! One call: what is asked, what is answered, and how it can fail.
//!
//! The vocabulary of the way of a call, shared by the connection handle, the runtime and the
//! faces. Texts here are read by models and people; nothing that a server printed stands in them.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{handle::Maker, subject::Subject};
use crate::{
    catalog::uri,
    error::{Classify, Kind},
    id::{Incarnation, ServerName, SessionKey},
    upstream::{Dialogue, ProgressSink},
    wire::{ErrorObject, Needle, Object, RawValue, Task},
};

/// One request to a server: a call of a tool, or something else that it offers. Dropping the
/// future that carries it out cancels it.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// What it is about.
    pub subject: Subject,
    /// The request's whole parameters as the caller sent them; the name of what it is about is
    /// replaced on the way, `_meta` is restated for the next leg, everything else stays.
    pub params: Arc<RawValue>,
    /// The caller's own deadline, if it is shorter than the configured one.
    pub timeout: Option<Duration>,
    /// Where progress goes, if the caller asked for it.
    pub progress: Option<ProgressSink>,
    /// Whose connection serves it where the server has `isolation = "session"`; `None` for the
    /// owner's common one.
    pub session: Option<SessionKey>,
    /// The server that told the caller of a resource which no list names, or that made a task.
    pub origin: Option<ServerName>,
    /// Where the server may ask back, and log. By default it may not.
    pub dialogue: Dialogue,
}

impl CallRequest {
    /// A call of a tool with arguments and nothing else.
    ///
    /// ```
    /// use switchboard::runtime::CallRequest;
    /// let request = CallRequest::new("demo_add", &serde_json::json!({ "a": 1, "b": 2 }));
    /// assert_eq!(request.params.get(), r#"{"name":"demo_add","arguments":{"a":1,"b":2}}"#);
    /// ```
    pub fn new<A: Serialize + ?Sized>(tool: impl Into<String>, arguments: &A) -> Self {
        #[derive(Serialize)]
        struct Params<'a, A: ?Sized> {
            name: &'a str,
            arguments: &'a A,
        }
        let tool = tool.into();
        let params = crate::wire::raw(&Params { name: &tool, arguments }).into();
        Self::about(Subject::Tool(tool), params)
    }

    /// A request with its whole parameters and nothing else.
    pub fn about(subject: Subject, params: Arc<RawValue>) -> Self {
        Self {
            subject,
            params,
            timeout: None,
            progress: None,
            session: None,
            origin: None,
            dialogue: Dialogue::default(),
        }
    }
}

/// What stands in every result that links to a resource or embeds one.
static LINKING: Needle = Needle::new("\"resource");

/// A server's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The raw result as the server sent it. A modern one may want input first
    /// (`"resultType": "input_required"`).
    pub result: Box<RawValue>,
    /// Who answered.
    pub server: ServerName,
    /// In which life.
    pub incarnation: Incarnation,
    /// The task that it speaks of, where it is no result yet or was asked about one.
    pub task: Option<Task>,
    /// Who made that, where it was a call.
    pub(crate) maker: Option<Arc<Maker>>,
}

impl Answer {
    /// A result of our own, in the name of a server.
    pub(crate) fn of(server: ServerName, result: Box<RawValue>) -> Self {
        Self { result, server, incarnation: Incarnation::default(), task: None, maker: None }
    }

    /// URIs that it names anywhere, at most so many: those of an extension's result, whose shape
    /// nobody knows.
    pub fn uris(&self, limit: usize) -> Vec<String> {
        uri::named(&self.result, limit)
    }

    /// URIs of the resources that it links to or embeds; few results do.
    pub fn links(&self) -> Vec<String> {
        let mut links = Vec::new();
        if LINKING.is_in(&self.result) {
            let object = self.task.as_ref().and_then(|_| Object::read(&self.result));
            // What came of a task stands inside of what is said of it.
            let inner = object.as_ref().and_then(|task| task.get("result"));
            uri::rewrite(inner.unwrap_or(&self.result), &mut |uri| {
                if !uri::is_too_long(uri) {
                    links.push(uri.to_owned());
                }
                None
            });
        }
        links
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// No such tool in the caller's view. The text never tells whether it exists elsewhere.
    #[error("unknown tool {name:?}{}", did_you_mean(near.as_deref()))]
    UnknownTool {
        /// The name that was called.
        name: String,
        /// A name of the caller's view that was probably meant.
        near: Option<String>,
    },
    /// Nothing else of that name in the caller's view.
    #[error("unknown {what} {name:?}{}", did_you_mean(near.as_deref()))]
    Unknown {
        /// What was meant, such as `agent`, `server` or `prompt`.
        what: &'static str,
        /// Its name.
        name: String,
        /// A name that the caller knows and that was probably meant.
        near: Option<String>,
    },
    /// A method of no revision that is not for exactly one server of the caller's view; says who
    /// declares which extensions.
    #[error("{0}")]
    UnknownMethod(String),
    /// Parameters that fail their check.
    #[error("{0}")]
    Invalid(String),
    /// The caller has as many as it may have.
    #[error("{limit} {what} are the most that one client may have; let some go first")]
    TooMany {
        /// What there are too many of, such as `resources watched`.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The runtime is draining.
    #[error("switchboard is shutting down; try again in a moment")]
    Draining,
    /// The call failed on our side of the server.
    #[error("{}", .0.text)]
    Failed(Failure),
    /// The server answered with an error of its own.
    #[error("{server}: {}", .error.message())]
    Server {
        /// Which server.
        server: ServerName,
        /// Its error, raw.
        error: ErrorObject,
    },
}

impl Classify for CallError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownTool { .. } | Self::Unknown { .. } | Self::UnknownMethod(_) => {
                Kind::NotFound
            }
            Self::Invalid(_) => Kind::Invalid,
            Self::TooMany { .. } => Kind::Limited,
            Self::Draining => Kind::Overloaded,
            Self::Failed(failure) => failure.kind,
            Self::Server { .. } => Kind::Upstream,
        }
    }
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// It waited; nothing was sent.
    Queued,
    /// It had gone to the server.
    Written,
}

/// A failed call, for programs and for people.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What it means.
    pub kind: Kind,
    /// Which server.
    pub server: ServerName,
    /// In which life; 0 where there was none.
    pub incarnation: Incarnation,
    /// How far the call came.
    pub phase: Delivery,
    /// How long ago it had gone to the server, where that is known.
    pub written: Option<Duration>,
    /// When trying again makes sense, where that is known.
    pub retry_after: Option<Duration>,
    /// One sentence that a model can act on. No text from the server stands in it.
    pub text: String,
}

impl Serialize for Failure {
    /// The `io.switchboard/failure` object: `kind`, `server`, `incarnation`, `phase`, `sent`,
    /// `sentMsAgo`, `retryAfterMs`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", &self.kind)?;
        map.serialize_entry("server", &self.server)?;
        map.serialize_entry("incarnation", &self.incarnation)?;
        map.serialize_entry("phase", &self.phase)?;
        map.serialize_entry("sent", &(self.phase == Delivery::Written))?;
        for (key, time) in [("sentMsAgo", self.written), ("retryAfterMs", self.retry_after)] {
            if let Some(time) = time {
                let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                map.serialize_entry(key, &millis)?;
            }
        }
        map.end()
    }
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

/// A duration as a person says it: whole seconds from ten on, tenths below.
pub(crate) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}
