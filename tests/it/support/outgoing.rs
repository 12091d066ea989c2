//! Every message that Switchboard sends in a test, to a client or to a server, held against the
//! published schema of its leg's revision. Whoever reads for a test asks here.

use std::{collections::HashMap, fs, path::Path};

use serde_json::Value;
use switchboard::wire::Revision;

use super::schema::{has_type, validate};

/// Requests of either side, with the types of the request and of its result.
const REQUESTS: [(&str, &str, &str); 23] = [
    ("initialize", "InitializeRequest", "InitializeResult"),
    ("ping", "PingRequest", "EmptyResult"),
    ("server/discover", "DiscoverRequest", "DiscoverResult"),
    ("tools/list", "ListToolsRequest", "ListToolsResult"),
    ("tools/call", "CallToolRequest", "CallToolResult"),
    ("prompts/list", "ListPromptsRequest", "ListPromptsResult"),
    ("prompts/get", "GetPromptRequest", "GetPromptResult"),
    ("resources/list", "ListResourcesRequest", "ListResourcesResult"),
    ("resources/templates/list", "ListResourceTemplatesRequest", "ListResourceTemplatesResult"),
    ("resources/read", "ReadResourceRequest", "ReadResourceResult"),
    ("resources/subscribe", "SubscribeRequest", "EmptyResult"),
    ("resources/unsubscribe", "UnsubscribeRequest", "EmptyResult"),
    ("completion/complete", "CompleteRequest", "CompleteResult"),
    ("logging/setLevel", "SetLevelRequest", "EmptyResult"),
    ("subscriptions/listen", "SubscriptionsListenRequest", "SubscriptionsListenResult"),
    ("elicitation/create", "ElicitRequest", "ElicitResult"),
    ("sampling/createMessage", "CreateMessageRequest", "CreateMessageResult"),
    ("roots/list", "ListRootsRequest", "ListRootsResult"),
    ("tasks/get", "GetTaskRequest", "GetTaskResult"),
    ("tasks/result", "GetTaskPayloadRequest", "GetTaskPayloadResult"),
    ("tasks/list", "ListTasksRequest", "ListTasksResult"),
    ("tasks/cancel", "CancelTaskRequest", "CancelTaskResult"),
    ("tasks/update", "UpdateTaskRequest", "UpdateTaskResult"),
];

const NOTIFICATIONS: [(&str, &str); 14] = [
    ("notifications/initialized", "InitializedNotification"),
    ("notifications/cancelled", "CancelledNotification"),
    ("notifications/progress", "ProgressNotification"),
    ("notifications/elicitation/complete", "ElicitationCompleteNotification"),
    ("notifications/message", "LoggingMessageNotification"),
    ("notifications/tools/list_changed", "ToolListChangedNotification"),
    ("notifications/prompts/list_changed", "PromptListChangedNotification"),
    ("notifications/resources/list_changed", "ResourceListChangedNotification"),
    ("notifications/resources/updated", "ResourceUpdatedNotification"),
    ("notifications/roots/list_changed", "RootsListChangedNotification"),
    ("notifications/subscriptions/acknowledged", "SubscriptionsAcknowledgedNotification"),
    ("notifications/tasks/status", "TaskStatusNotification"),
    ("notifications/tasks", "TaskNotification"),
    ("notifications/skills/changed", "Notification"),
];

/// What passes although a revision has no type for it; only the rules of JSON-RPC hold then. A
/// client that declares elicitation is asked, whatever its revision; the tasks of 2026-07-28 are an
/// extension, which its schema does not have.
const UNTYPED: [(Revision, &str); 11] = [
    (Revision::V2024_11_05, "ElicitRequest"),
    (Revision::V2024_11_05, "ElicitResult"),
    (Revision::V2025_03_26, "ElicitRequest"),
    (Revision::V2025_03_26, "ElicitResult"),
    (Revision::V2026_07_28, "GetTaskRequest"),
    (Revision::V2026_07_28, "GetTaskResult"),
    (Revision::V2026_07_28, "CancelTaskRequest"),
    (Revision::V2026_07_28, "CancelTaskResult"),
    (Revision::V2026_07_28, "UpdateTaskRequest"),
    (Revision::V2026_07_28, "UpdateTaskResult"),
    (Revision::V2026_07_28, "TaskNotification"),
];

/// Methods of extensions that tests have, which pass as they are.
const EXTENSIONS: [&str; 4] = ["skills/", "x.y/", "com.example/", "notifications/skills/"];

/// Fails the test where a message to a client is not one of its revision. `asked` is the method of
/// the request that it answers, where that is known.
#[track_caller]
pub fn to_client(revision: Revision, asked: Option<&str>, message: &Value) {
    // Whoever asks by it, this is a legacy request and so is its answer.
    let revision =
        if asked == Some("ping") { Revision::LATEST_LEGACY.min(revision) } else { revision };
    if let Err(why) = check(revision, asked, message) {
        panic!("a {revision} client was sent what is not of its revision:\n{why}\nin {message:#}");
    }
}

/// What a server of a test hears, message by message.
#[derive(Debug, Default)]
pub struct Leg {
    revision: Option<Revision>,
}

impl Leg {
    /// A leg whose revision is known from elsewhere, such as a header.
    pub const fn of(revision: Option<Revision>) -> Self {
        Self { revision }
    }

    /// Ends the test where a message to a server is not one of the leg's revision. Servers run in
    /// tasks whose panics nobody would see, so this ends the program.
    #[allow(clippy::exit, clippy::print_stderr, reason = "a panic in a server's task is lost")]
    pub fn hear(&mut self, message: &Value) {
        // What is no message at all is sent by tests of something else, such as collectors.
        if message.get("jsonrpc").is_none() {
            return;
        }
        let params = &message["params"];
        let stated = &params["_meta"]["io.modelcontextprotocol/protocolVersion"];
        let asked = (message["method"] == "initialize").then(|| &params["protocolVersion"]);
        let named = asked.unwrap_or(stated).as_str().and_then(Revision::parse);
        self.revision = named.or(self.revision);
        // A leg that names none is one of before it had to be named.
        let revision = self.revision.unwrap_or(Revision::V2025_03_26);
        if let Err(why) = check(revision, None, message) {
            eprintln!(
                "a {revision} server was sent what is not of its revision:\n{why}\nin {message:#}"
            );
            std::process::exit(101);
        }
    }
}

/// Holds what servers of a test wrote down against their revisions: in a folder and below it, each
/// line of each file whose name ends with `heard` is a process and a message.
pub fn heard_in(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            heard_in(&path);
        } else if path.to_string_lossy().ends_with("heard") {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let mut legs = HashMap::<&str, Leg>::new();
            for line in text.lines() {
                // What was cut off by a server's end is no message.
                let (process, message) = line.split_once(' ').unwrap_or_default();
                let message = serde_json::from_str(message).unwrap_or_default();
                legs.entry(process).or_default().hear(&message);
            }
        }
    }
}

/// Holds one message, or a batch of them, against a revision.
///
/// # Errors
/// Every violation, one a line.
fn check(revision: Revision, asked: Option<&str>, message: &Value) -> Result<(), String> {
    if let Value::Array(batch) = message {
        return batch.iter().try_for_each(|message| check(revision, asked, message));
    }
    let typed = |name: &str, value: &Value| {
        if has_type(revision, name) {
            return validate(revision, name, value);
        }
        let known = UNTYPED.contains(&(revision, name));
        if known { Ok(()) } else { Err(format!("{revision} has no {name}")) }
    };
    if let Some(error) = message.get("error") {
        return refused(revision, message, error);
    }
    typed("JSONRPCMessage", message)?;
    if let Some(result) = message.get("result") {
        return typed(type_of(revision, asked, result), result);
    }
    let method = message["method"].as_str().unwrap_or_default();
    let request = REQUESTS.iter().find(|(known, ..)| *known == method).map(|(_, name, _)| *name);
    let notification = NOTIFICATIONS.iter().find(|(known, _)| *known == method);
    match request.or(notification.map(|(_, name)| *name)) {
        Some(name) => typed(name, message),
        None if EXTENSIONS.iter().any(|family| method.starts_with(family)) => Ok(()),
        None => Err(format!("{method} is no method that we send")),
    }
}

/// The type of a result, by the request that it answers or by what it has.
fn type_of(revision: Revision, asked: Option<&str>, result: &Value) -> &'static str {
    let has = |member: &str| result.get(member).is_some();
    if revision == Revision::LATEST && result["resultType"] == "input_required" {
        return "InputRequiredResult";
    }
    match asked {
        Some("tools/call") if result["resultType"] == "task" => "Result",
        Some("tools/call") if has("task") => "CreateTaskResult",
        Some(method) => {
            let request = REQUESTS.iter().find(|(known, ..)| *known == method);
            request.map_or("Result", |(.., name)| name)
        }
        None if has("action") => "ElicitResult",
        None if has("role") => "CreateMessageResult",
        None if has("roots") => "ListRootsResult",
        None if has("content") => "CallToolResult",
        None => "Result",
    }
}

/// An error goes to a request, or with a null id to what could not be read, which JSON-RPC has and
/// the schemas have not.
fn refused(revision: Revision, message: &Value, error: &Value) -> Result<(), String> {
    let mut message = message.clone();
    if message["id"].is_null() {
        message["id"] = Value::from(0);
    }
    let name =
        if revision < Revision::V2025_11_25 { "JSONRPCError" } else { "JSONRPCErrorResponse" };
    validate(revision, name, &message).map_err(|why| format!("{why}\nat {error}"))
}
