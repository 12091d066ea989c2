//! Tasks: what a server says of work that goes on after the call which began it (MCP 2025-11-25,
//! tasks; MCP 2026-07-28, extension `io.modelcontextprotocol/tasks`).
//!
//! Shapes only, read from raw bodies and written into them. Whose a task is, when it is asked for
//! and what its caller may see is decided elsewhere.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{Era, Needle, Object, RawValue, meta, method, raw, result::RESULT_TYPE};

/// The name of the extension, in capabilities.
pub const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// The `_meta` entry that says which task a message belongs to (2025-11-25).
pub const RELATED: &str = "io.modelcontextprotocol/related-task";
/// The type of a result that hands out a task; in 2025-11-25 the member of a request that wants
/// one, and of the result that hands one out.
pub const TASK: &str = "task";
/// The member that names a task.
pub const ID: &str = "taskId";

/// Bytes of a result that may hand out a task: it says little, and other results are not searched
/// for long.
const SEARCHED: usize = 64 * 1024;
/// Bytes of a task's name at its server.
pub(crate) const LONGEST_ID: usize = 1024;

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its server is at work.
    Working,
    /// Its server wants to know something first.
    InputRequired,
    /// There is a result.
    Completed,
    /// There is an error.
    Failed,
    /// It was given up.
    Cancelled,
}

impl Status {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "working" => Self::Working,
            "input_required" => Self::InputRequired,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What a server said of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// By which rules: the extension in the modern era, those of 2025-11-25 in the legacy one.
    pub era: Era,
    /// Its server's own name for it.
    pub id: Arc<str>,
    /// How far it is.
    pub status: Status,
    /// How long after its creation its server keeps it; `None` for as long as it likes.
    pub ttl: Option<Duration>,
    /// How often its server wants to be asked.
    pub interval: Option<Duration>,
    /// What its server says for people and models.
    pub message: Option<String>,
}

impl Task {
    /// The task that an answer to a request speaks of: one that a call was made into, or one that
    /// was asked for. Results of other requests speak of none.
    pub fn told(era: Era, method: &str, result: &RawValue) -> Option<Self> {
        match method {
            method::TOOLS_CALL => Self::handed_out(era, result),
            method::TASKS_GET | method::TASKS_CANCEL => Self::read(era, &Object::read(result)?),
            _ => None,
        }
    }

    /// The task that a notification tells of.
    pub fn changed(era: Era, params: &RawValue) -> Option<Self> {
        Self::read(era, &Object::read(params)?)
    }

    /// The task that a call was made into.
    fn handed_out(era: Era, result: &RawValue) -> Option<Self> {
        static NAMED: Needle = Needle::new("\"taskId\"");
        if result.get().len() > SEARCHED || !NAMED.is_in(result) {
            return None;
        }
        let object = Object::read(result)?;
        match era {
            Era::Modern => (object.text(RESULT_TYPE)? == TASK).then(|| Self::read(era, &object))?,
            Era::Legacy if object.get("content").is_some() => None,
            Era::Legacy => Self::read(era, &object.object(TASK)?),
        }
    }

    fn read(era: Era, object: &Object<'_>) -> Option<Self> {
        let (ttl, interval) = match era {
            Era::Modern => ("ttlMs", "pollIntervalMs"),
            Era::Legacy => ("ttl", "pollInterval"),
        };
        let millis = |member| object.typed(member).map(Duration::from_millis);
        Some(Self {
            era,
            id: name(object)?,
            status: Status::read(&object.text("status")?)?,
            ttl: millis(ttl),
            interval: millis(interval),
            message: object.text("statusMessage").map(Cow::into_owned),
        })
    }
}

/// The task that a body names.
pub fn named_in(body: &RawValue) -> Option<Arc<str>> {
    name(&Object::read(body)?)
}

fn name(object: &Object<'_>) -> Option<Arc<str>> {
    let id = object.text(ID).filter(|id| !id.is_empty() && id.len() <= LONGEST_ID)?;
    Some(Arc::from(&*id))
}

/// A result that hands out a task, or tells of one, under another name for it.
pub fn renamed(result: &RawValue, id: &str) -> Box<RawValue> {
    let Some(mut object) = Object::read(result) else { return result.to_owned() };
    if object.get(ID).is_some() {
        object.put(ID, id);
    } else if let Some(task) = object.get(TASK).map(ToOwned::to_owned) {
        object.set(TASK, Cow::Owned(renamed(&task, id)));
    }
    object.to_raw()
}

/// A body that says which task it belongs to.
pub fn related(body: &RawValue, id: &str) -> Box<RawValue> {
    meta::with_key(body, RELATED, &named(id))
}

/// A body without its server's own name of the task that it belongs to; `None` where there is none.
pub fn unrelated(body: &RawValue) -> Option<Box<RawValue>> {
    static RELATING: Needle = Needle::new(RELATED);
    if !RELATING.is_in(body) {
        return None;
    }
    let mut object = Object::read(body)?;
    let had = object.get(meta::META)?.to_owned();
    let mut meta = Object::read(&had)?;
    meta.get(RELATED)?;
    meta.remove(RELATED);
    if meta.is_empty() {
        object.remove(meta::META);
    } else {
        object.set(meta::META, Cow::Owned(meta.to_raw()));
    }
    Some(object.to_raw())
}

/// The parameters that name a task.
pub fn named(id: &str) -> Box<RawValue> {
    let mut object = Object::default();
    object.put(ID, id);
    object.to_raw()
}

/// The parameters of a call that is to become a task (2025-11-25).
pub fn wanted(params: &RawValue) -> Box<RawValue> {
    let mut object = Object::read(params).unwrap_or_default();
    object.put(TASK, &Object::default());
    object.to_raw()
}

/// Whether the parameters of a call want a task.
pub fn is_wanted(params: &RawValue) -> bool {
    static WANTED: Needle = Needle::new("\"task\"");
    WANTED.is_in(params) && Object::read(params).is_some_and(|params| params.get(TASK).is_some())
}

/// Whether a tool is called as a task or not at all (`execution.taskSupport`, 2025-11-25).
pub fn is_required(definition: &RawValue) -> bool {
    static REQUIRING: Needle = Needle::new("\"taskSupport\"");
    REQUIRING.is_in(definition)
        && Object::read(definition)
            .and_then(|tool| {
                let execution = tool.object("execution")?;
                execution.text("taskSupport").map(|support| support == "required")
            })
            .unwrap_or_default()
}

/// The extension, as capabilities name it.
pub fn extensions() -> Box<RawValue> {
    raw(&serde_json::json!({ EXTENSION: {} }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_task_is_handed_out_in_the_words_of_its_era() {
        let modern = r#"{"resultType":"task","taskId":"a","status":"working","ttlMs":9000,"pollIntervalMs":50,"statusMessage":"m"}"#;
        let of = |era, text: &str| Task::told(era, method::TOOLS_CALL, &json(text));
        let task = of(Era::Modern, modern).unwrap();
        assert_eq!((&*task.id, task.status), ("a", Status::Working));
        assert_eq!(task.ttl, Some(Duration::from_secs(9)));
        assert_eq!(task.interval, Some(Duration::from_millis(50)));
        assert_eq!(task.message.as_deref(), Some("m"));
        let legacy = r#"{"task":{"taskId":"b","status":"completed","ttl":null}}"#;
        let task = of(Era::Legacy, legacy).unwrap();
        assert_eq!((&*task.id, task.status.is_final(), task.ttl), ("b", true, None));
        for (era, text) in [
            (Era::Legacy, modern),
            (Era::Modern, legacy),
            (Era::Modern, r#"{"resultType":"complete","taskId":"a","status":"working"}"#),
            (Era::Modern, r#"{"resultType":"task","taskId":"","status":"working"}"#),
            (Era::Modern, r#"{"resultType":"task","taskId":"a","status":"odd"}"#),
            (Era::Legacy, r#"{"content":[],"task":{"taskId":"b","status":"working"}}"#),
            (Era::Modern, r#"{"content":[{"type":"text","text":"\"taskId\""}]}"#),
        ] {
            assert_eq!(of(era, text), None, "{text}");
        }
    }

    #[test]
    fn a_task_that_was_asked_for_says_the_same() {
        let text = json(r#"{"taskId":"a","status":"input_required","ttl":5}"#);
        let task = Task::told(Era::Legacy, method::TASKS_GET, &text).unwrap();
        assert_eq!(task.status, Status::InputRequired);
        assert_eq!(task.ttl, Some(Duration::from_millis(5)));
        assert_eq!(Task::told(Era::Legacy, method::TASKS_RESULT, &text), None);
    }

    #[test]
    fn only_the_name_of_a_task_changes() {
        let flat = json(r#"{"x":1.50,"taskId":"a","result":{"taskId":"a"}}"#);
        assert_eq!(renamed(&flat, "b").get(), r#"{"x":1.50,"taskId":"b","result":{"taskId":"a"}}"#);
        let nested = json(r#"{"task":{"taskId":"a","y":1},"_meta":{}}"#);
        assert_eq!(renamed(&nested, "b").get(), r#"{"task":{"taskId":"b","y":1},"_meta":{}}"#);
        let related = related(&json(r#"{"_meta":{"x":1}}"#), "b");
        assert!(related.get().contains(r#"/related-task":{"taskId":"b"}"#), "{related}");
        assert_eq!(unrelated(&related).unwrap().get(), r#"{"_meta":{"x":1}}"#);
        let alone = super::related(&json(r#"{"y":1}"#), "b");
        assert_eq!(unrelated(&alone).unwrap().get(), r#"{"y":1}"#);
        assert!(unrelated(&flat).is_none());
    }

    #[test]
    fn a_call_wants_a_task_by_its_own_member_and_a_tool_by_its_definition() {
        let params = json(r#"{"name":"t","arguments":{"task":{}}}"#);
        assert!(!is_wanted(&params));
        assert!(is_wanted(&wanted(&params)));
        for (support, required) in [("required", true), ("optional", false)] {
            let tool = format!(r#"{{"name":"t","execution":{{"taskSupport":"{support}"}}}}"#);
            assert_eq!(is_required(&json(&tool)), required, "{support}");
        }
        assert!(!is_required(&json(
            r#"{"name":"t","description":"\"taskSupport\":\"required\""}"#
        )));
    }
}
