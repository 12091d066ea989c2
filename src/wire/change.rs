//! The table of changes: every member that leaves other than it was sent, for whom, and why.
//!
//! Data alone. Who carries a change out asks here whether it is for a client and which keys it
//! means; the tests hold every difference between what was sent and what arrived against it, and
//! show it in `docs/protocol.md`. What no row names passes as it was written.

use super::Revision;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The first and the last revision of the clients that it is for.
    pub clients: (Revision, Revision),
    /// Where.
    pub body: Body,
    /// The members that differ, by their way from the body: keys, `*` for any place of a list and
    /// `+` for one behind its end, joined by `/`; everything below them included. The empty way is
    /// the whole body.
    pub at: &'static [&'static str],
    /// What is done.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The parameters of a client's request.
    Request,
    /// A server's result.
    Result,
    /// One entry of a server's list.
    Definition,
    /// A list around its entries.
    List,
    /// The parameters of a server's request, also of one that stands in a result.
    Question,
    /// The parameters of a notification about progress.
    Progress,
    /// What is said of a task, in a result or a notification.
    Task,
    /// A server's error.
    Error,
    /// A message around its body.
    Message,
}

impl Body {
    /// As the documentation calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Result => "result",
            Self::Definition => "definition",
            Self::List => "list",
            Self::Question => "server's request",
            Self::Progress => "progress",
            Self::Task => "task",
            Self::Error => "error",
            Self::Message => "message",
        }
    }
}

impl Change {
    /// Whether it is for clients of a revision.
    pub fn is_for(&self, revision: Revision) -> bool {
        let (first, last) = self.clients;
        (first..=last).contains(&revision)
    }

    /// Whether it is about this key of a body's `_meta`.
    pub fn has_meta(&self, key: &str) -> bool {
        self.at.iter().any(|at| at.strip_prefix("_meta/") == Some(key))
    }
}

const ALL: (Revision, Revision) = (Revision::V2024_11_05, Revision::LATEST);
const MODERN: (Revision, Revision) = (Revision::LATEST, Revision::LATEST);
const LEGACY: (Revision, Revision) = (Revision::V2024_11_05, Revision::LATEST_LEGACY);

/// The table.
pub const TABLE: [Change; 25] = [
    ENVELOPE,
    ADDRESSED,
    OF_ONE_LEG,
    PROGRESS_TOKEN,
    TRACE,
    CONTINUED,
    TYPED,
    ANSWERER,
    FRESHNESS,
    UNTYPED,
    LOOSE_CONTENT,
    LATER_BLOCKS,
    AUDIO,
    RESULT_URIS,
    ASKING,
    EXPOSED,
    LOOSE_SCHEMA,
    LIST,
    ASKER,
    ADDRESS_ID,
    NO_ADDRESS_ID,
    ASKED_PROGRESS,
    PROGRESS,
    TASK_NAME,
    ERROR_CODE,
];

/// What stands around a body.
pub const ENVELOPE: Change = Change {
    clients: ALL,
    body: Body::Message,
    at: &["id"],
    what: "each leg has its own; members that JSON-RPC does not know are not passed on",
    why: "ids of many clients meet at one server",
};
/// What a request is about.
pub const ADDRESSED: Change = Change {
    clients: ALL,
    body: Body::Request,
    at: &["name", "uri", "ref/name", "ref/uri"],
    what: "the server's own name or URI",
    why: "clients know the names of the whole view",
};
/// What each leg states about itself.
pub const OF_ONE_LEG: Change = Change {
    clients: ALL,
    body: Body::Request,
    at: &[
        "_meta/io.modelcontextprotocol/protocolVersion",
        "_meta/io.modelcontextprotocol/clientInfo",
        "_meta/io.modelcontextprotocol/clientCapabilities",
        "_meta/io.modelcontextprotocol/logLevel",
    ],
    what: "ours to a modern server, none to a legacy one",
    why: "each leg states its own revision, sender, capabilities and level",
};
/// The caller's token.
pub const PROGRESS_TOKEN: Change = Change {
    clients: ALL,
    body: Body::Request,
    at: &["_meta/progressToken"],
    what: "a number of ours, if the client gave one",
    why: "tokens of many clients meet at one server",
};
/// Whose trace it is.
pub const TRACE: Change = Change {
    clients: ALL,
    body: Body::Request,
    at: &["_meta/traceparent", "_meta/tracestate", "_meta/baggage"],
    what: "that of our own span, where spans are exported",
    why: "the server's spans belong below it",
};
/// What was asked before, and the answers.
pub const CONTINUED: Change = Change {
    clients: ALL,
    body: Body::Request,
    at: &["inputResponses", "requestState"],
    what: "the answers to what the server asked, and the state that it gave",
    why: "the client has a sealed state of ours, or was asked during its call",
};
/// A result's type, added.
pub const TYPED: Change = Change {
    clients: MODERN,
    body: Body::Result,
    at: &["resultType"],
    what: "`\"complete\"` where the server gave none",
    why: "the revision requires it",
};
/// Who answered.
pub const ANSWERER: Change = Change {
    clients: MODERN,
    body: Body::Result,
    at: &["_meta/io.modelcontextprotocol/serverInfo"],
    what: "ours",
    why: "each leg states who answers on it",
};
/// How long a resource may be kept.
pub const FRESHNESS: Change = Change {
    clients: MODERN,
    body: Body::Result,
    at: &["ttlMs", "cacheScope"],
    what: "`0` and `\"private\"` where a resource's contents lack them, or have another type",
    why: "the revision requires them, and the server promised nothing",
};
/// A result's type, removed.
pub const UNTYPED: Change = Change {
    clients: LEGACY,
    body: Body::Result,
    at: &["resultType"],
    what: "removed",
    why: "the revision does not know it",
};
/// Structured content that is no object.
pub const LOOSE_CONTENT: Change = Change {
    clients: LEGACY,
    body: Body::Result,
    at: &["structuredContent", "content/+"],
    what: "no object: becomes a text block, unless a block says the same",
    why: "the revision allows objects alone",
};
/// Blocks that came with 2025-06-18 or later.
pub const LATER_BLOCKS: Change = Change {
    clients: (Revision::V2024_11_05, Revision::V2025_03_26),
    body: Body::Result,
    at: &["content/*", "messages/*/content"],
    what: "`resource_link` and unknown types become text with their JSON, without `data`",
    why: "the revision has a closed set of types",
};
/// Blocks that came with 2025-03-26.
pub const AUDIO: Change = Change {
    clients: (Revision::V2024_11_05, Revision::V2024_11_05),
    body: Body::Result,
    at: &["content/*", "messages/*/content"],
    what: "`audio` becomes text in the same way",
    why: "the revision does not know it",
};
/// URIs of a result.
pub const RESULT_URIS: Change = Change {
    clients: ALL,
    body: Body::Result,
    at: &[
        "contents/*/uri",
        "content/*/uri",
        "content/*/resource/uri",
        "messages/*/content/uri",
        "messages/*/content/resource/uri",
        "_meta/ui/resourceUri",
    ],
    what: "the form that names its server, where the URI would lead to another one",
    why: "a link leads back to whoever sent it",
};
/// A result that asks.
pub const ASKING: Change = Change {
    clients: MODERN,
    body: Body::Result,
    at: &["requestState"],
    what: "sealed, with what the server gave inside",
    why: "a state counts only for its own caller and request",
};
/// Names and URIs of a definition.
pub const EXPOSED: Change = Change {
    clients: ALL,
    body: Body::Definition,
    at: &["name", "uri", "uriTemplate", "_meta/ui/resourceUri"],
    what: "as the view names it",
    why: "a name leads to one server",
};
/// A schema that older clients cannot read.
pub const LOOSE_SCHEMA: Change = Change {
    clients: LEGACY,
    body: Body::Definition,
    at: &["outputSchema"],
    what: "removed where its root is no object",
    why: "the revision allows objects alone",
};
/// A list around its entries.
pub const LIST: Change = Change {
    clients: ALL,
    body: Body::List,
    at: &[""],
    what: "ours: pages, cursors, `ttlMs: 0`, `cacheScope: \"private\"`",
    why: "a list has the entries of many servers, and is of the caller's own view",
};
/// Who asks.
pub const ASKER: Change = Change {
    clients: ALL,
    body: Body::Question,
    at: &["message", "_meta/io.switchboard/origin"],
    what: "the text of an elicitation begins with `[server]`; the key is added",
    why: "users must see who asks",
};
/// An id for an address.
pub const ADDRESS_ID: Change = Change {
    clients: (Revision::V2025_11_25, Revision::V2025_11_25),
    body: Body::Question,
    at: &["elicitationId"],
    what: "added to an elicitation by URL that has none",
    why: "the revision requires it",
};
/// The same, removed.
pub const NO_ADDRESS_ID: Change = Change {
    clients: MODERN,
    body: Body::Question,
    at: &["elicitationId"],
    what: "removed",
    why: "the revision does not know it",
};
/// The server's token.
pub const ASKED_PROGRESS: Change = Change {
    clients: LEGACY,
    body: Body::Question,
    at: &["_meta/progressToken"],
    what: "a number of ours, if the server gave one",
    why: "tokens of many servers meet at one client",
};
/// The token of a notification.
pub const PROGRESS: Change = Change {
    clients: ALL,
    body: Body::Progress,
    at: &["progressToken"],
    what: "that of whoever asked for it; progress that does not increase is dropped",
    why: "tokens are of one leg",
};
/// The name of a task.
pub const TASK_NAME: Change = Change {
    clients: (Revision::V2025_11_25, Revision::LATEST),
    body: Body::Task,
    at: &[
        "taskId",
        "_meta/io.modelcontextprotocol/related-task",
        "_meta/io.modelcontextprotocol/subscriptionId",
    ],
    what: "the client's own name of it, and its own subscription",
    why: "a name opens for its owner alone, and subscriptions are of one leg",
};
/// Codes of errors.
pub const ERROR_CODE: Change = Change {
    clients: ALL,
    body: Body::Error,
    at: &["code"],
    what: "-32020 to -32099 become -32603, but for -32021; -32002 becomes -32602 for modern clients",
    why: "they concern our connection to the server, or mean nothing to the client",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_for_its_clients_and_its_keys() {
        assert!(TYPED.is_for(Revision::LATEST) && !TYPED.is_for(Revision::LATEST_LEGACY));
        assert!(AUDIO.is_for(Revision::V2024_11_05) && !AUDIO.is_for(Revision::V2025_03_26));
        assert!(
            TABLE.iter().filter(|row| row.clients == ALL).all(|row| row.is_for(Revision::LATEST))
        );
        assert!(PROGRESS_TOKEN.has_meta("progressToken") && !PROGRESS_TOKEN.has_meta("name"));
    }
}
