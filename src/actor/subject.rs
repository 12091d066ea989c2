//! What a request is about: a tool to call, a prompt to fill in, a resource to read, an argument to
//! complete, a task that a call was made into.
//!
//! Names only, as the caller's view knows them. Whose they are is the router's affair.

use std::sync::Arc;

use crate::wire::{Primitive, method};

/// What a request asks of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Calls the tool of an exposed name.
    Tool(String),
    /// Fills in the prompt of an exposed name.
    Prompt(String),
    /// Reads the resource at a URI.
    Resource(String),
    /// Suggests values for an argument: of the prompt of an exposed name, or of the resource
    /// template at a URI.
    Completion(Primitive, String),
    /// A method that no revision of the protocol knows.
    Extension {
        /// The method.
        method: String,
        /// The URI that its parameters name, if they name one.
        uri: Option<String>,
    },
    /// Asks about a task, by `tasks/get`, `tasks/update`, `tasks/cancel` or `tasks/result`. The
    /// request's `origin` is the server that made it.
    Task {
        /// What is asked.
        method: &'static str,
        /// The name of the task: its server's own, where the request goes to that.
        id: String,
        /// What tells the definition of the server that made it from any other; no other is asked.
        /// `None` for whichever there is.
        program: Option<Arc<str>>,
    },
}

impl Subject {
    /// The request's method.
    pub fn method(&self) -> &str {
        match self {
            Self::Tool(_) => method::TOOLS_CALL,
            Self::Prompt(_) => method::PROMPTS_GET,
            Self::Resource(_) => method::RESOURCES_READ,
            Self::Completion(..) => method::COMPLETE,
            Self::Extension { method, .. } => method,
            Self::Task { method, .. } => method,
        }
    }

    /// What kind of thing it is about, where the catalog has it.
    pub const fn primitive(&self) -> Option<Primitive> {
        match self {
            Self::Tool(_) => Some(Primitive::Tool),
            Self::Prompt(_) => Some(Primitive::Prompt),
            Self::Resource(_) => Some(Primitive::Resource),
            Self::Completion(primitive, _) => Some(*primitive),
            Self::Extension { .. } | Self::Task { .. } => None,
        }
    }

    /// Whether it has an exposed name: it is about a tool or a prompt.
    pub const fn is_named(&self) -> bool {
        matches!(self.primitive(), Some(Primitive::Tool | Primitive::Prompt))
    }

    /// Its exposed name, its URI, or the method of an extension; of a task nothing, because whoever
    /// has its name has it.
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(name)
            | Self::Prompt(name)
            | Self::Resource(name)
            | Self::Completion(_, name)
            | Self::Extension { method: name, .. } => name,
            Self::Task { .. } => "",
        }
    }
}
