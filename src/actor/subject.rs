//! What a request is about: a tool to call, a prompt to fill in, a resource to read, an argument to
//! complete, a task that a call was made into.
//!
//! Names only, as the caller's view knows them. Whose they are is the router's affair.

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
    /// Asks about a task, by `tasks/get`, `tasks/update`, `tasks/cancel` or `tasks/result`. The
    /// request's `origin` is the server that made it.
    Task {
        /// What is asked.
        method: &'static str,
        /// The name of the task: its server's own, where the request goes to that.
        id: String,
    },
}

impl Subject {
    /// The request's method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Tool(_) => method::TOOLS_CALL,
            Self::Prompt(_) => method::PROMPTS_GET,
            Self::Resource(_) => method::RESOURCES_READ,
            Self::Completion(..) => method::COMPLETE,
            Self::Task { method, .. } => method,
        }
    }

    /// What kind of thing it is about.
    pub const fn primitive(&self) -> Primitive {
        match self {
            // Only tools are called as tasks.
            Self::Tool(_) | Self::Task { .. } => Primitive::Tool,
            Self::Prompt(_) => Primitive::Prompt,
            Self::Resource(_) => Primitive::Resource,
            Self::Completion(primitive, _) => *primitive,
        }
    }

    /// Its exposed name, or its URI; of a task nothing, because whoever has its name has it.
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(name)
            | Self::Prompt(name)
            | Self::Resource(name)
            | Self::Completion(_, name) => name,
            Self::Task { .. } => "",
        }
    }
}
