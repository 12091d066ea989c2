//! Names of the protocol's methods and notifications.
//!
//! Names only: what a method means stands with the one who serves it.

/// Opens a legacy session.
pub const INITIALIZE: &str = "initialize";
/// The client is ready (legacy).
pub const INITIALIZED: &str = "notifications/initialized";
/// What a modern server offers and which revisions it speaks.
pub const DISCOVER: &str = "server/discover";
/// Is the other side there (legacy).
pub const PING: &str = "ping";
/// One page of tools.
pub const TOOLS_LIST: &str = "tools/list";
/// Calls a tool.
pub const TOOLS_CALL: &str = "tools/call";
/// One page of prompts.
pub const PROMPTS_LIST: &str = "prompts/list";
/// Fills a prompt in.
pub const PROMPTS_GET: &str = "prompts/get";
/// One page of resources.
pub const RESOURCES_LIST: &str = "resources/list";
/// One page of resource templates.
pub const TEMPLATES_LIST: &str = "resources/templates/list";
/// Reads a resource.
pub const RESOURCES_READ: &str = "resources/read";
/// Suggests values for an argument of a prompt or a resource template.
pub const COMPLETE: &str = "completion/complete";
/// Opens the modern stream of change notifications.
pub const LISTEN: &str = "subscriptions/listen";
/// The modern stream is open; says what it carries.
pub const LISTEN_ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// A task is otherwise than it was (the extension of 2026-07-28).
pub const TASK_CHANGED: &str = "notifications/tasks";
/// The same by the rules of 2025-11-25.
pub const TASK_STATUS: &str = "notifications/tasks/status";
/// Asks to be told of changes of one resource (legacy).
pub const SUBSCRIBE: &str = "resources/subscribe";
/// Asks to be told of them no longer (legacy).
pub const UNSUBSCRIBE: &str = "resources/unsubscribe";
/// Sets the level of log messages (legacy).
pub const SET_LEVEL: &str = "logging/setLevel";
/// The list of tools changed.
pub const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
/// The list of prompts changed.
pub const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
/// The list of resources, or that of their templates, changed.
pub const RESOURCES_CHANGED: &str = "notifications/resources/list_changed";
/// The client's roots changed (legacy).
pub const ROOTS_CHANGED: &str = "notifications/roots/list_changed";
/// One resource changed.
pub const RESOURCE_UPDATED: &str = "notifications/resources/updated";
/// `notifications/elicitation/complete`.
pub const VISITED: &str = "notifications/elicitation/complete";
/// A request makes progress.
pub const PROGRESS: &str = "notifications/progress";
/// A request is no longer wanted.
pub const CANCELLED: &str = "notifications/cancelled";
/// A log message.
pub const MESSAGE: &str = "notifications/message";

/// How far a task is.
pub const TASKS_GET: &str = "tasks/get";
/// Answers what a task wants to know (2026-07-28).
pub const TASKS_UPDATE: &str = "tasks/update";
/// Gives a task up.
pub const TASKS_CANCEL: &str = "tasks/cancel";
/// What came of a task, once it has ended (2025-11-25).
pub const TASKS_RESULT: &str = "tasks/result";
/// The caller's tasks (2025-11-25).
pub const TASKS_LIST: &str = "tasks/list";

/// A server asks the client's user.
pub const ELICIT: &str = "elicitation/create";
/// A server asks the client's model.
pub const SAMPLE: &str = "sampling/createMessage";
/// A server asks for the places that the client works in.
pub const ROOTS: &str = "roots/list";

/// What a server may ask a client for, by its own constant.
pub fn of_servers(method: &str) -> Option<&'static str> {
    [ELICIT, SAMPLE, ROOTS].into_iter().find(|known| *known == method)
}

/// The method by its own constant, if it is known to us; what others send has no bound.
pub fn known(method: &str) -> Option<&'static str> {
    const ALL: [&str; 20] = [
        INITIALIZE,
        DISCOVER,
        PING,
        TOOLS_LIST,
        TOOLS_CALL,
        PROMPTS_LIST,
        PROMPTS_GET,
        RESOURCES_LIST,
        TEMPLATES_LIST,
        RESOURCES_READ,
        COMPLETE,
        LISTEN,
        SET_LEVEL,
        TASKS_GET,
        TASKS_UPDATE,
        TASKS_CANCEL,
        TASKS_RESULT,
        TASKS_LIST,
        SUBSCRIBE,
        UNSUBSCRIBE,
    ];
    ALL.into_iter().find(|known| *known == method)
}

/// Whether some revision of the protocol, or its extension of tasks, has such a method or
/// notification.
pub fn is_of_the_protocol(method: &str) -> bool {
    const OTHERS: [&str; 11] = [
        VISITED,
        RESOURCE_UPDATED,
        ROOTS_CHANGED,
        INITIALIZED,
        LISTEN_ACKNOWLEDGED,
        TOOLS_CHANGED,
        PROMPTS_CHANGED,
        RESOURCES_CHANGED,
        PROGRESS,
        CANCELLED,
        MESSAGE,
    ];
    known(method).is_some()
        || of_servers(method).is_some()
        || OTHERS.contains(&method)
        || method.starts_with("tasks/")
        || method.starts_with("notifications/tasks")
}

/// What is asked of one task, by its own constant.
pub fn of_tasks(method: &str) -> Option<&'static str> {
    let all = [TASKS_GET, TASKS_UPDATE, TASKS_CANCEL, TASKS_RESULT];
    all.into_iter().find(|known| *known == method)
}

/// The parameter that `Mcp-Name` repeats for a method (MCP 2026-07-28, streamable HTTP, and its
/// extension for tasks).
pub fn routed_parameter(method: &str) -> Option<&'static str> {
    match method {
        TOOLS_CALL | PROMPTS_GET => Some("name"),
        RESOURCES_READ => Some("uri"),
        _ => of_tasks(method).map(|_| super::task::ID),
    }
}
