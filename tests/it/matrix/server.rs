//! A server that speaks one revision, whichever is wanted: messages in, messages out.
//!
//! It knows nothing of transports. Each tool is named after what it shows; every call that is
//! carried out is one line of the journal.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::future::{AbortHandle, abortable};
use serde_json::{Value, json};
use switchboard::wire::{Era, Revision};
use tokio::sync::{broadcast, oneshot};

use crate::support::stream::Outlet;

const TOOLS: [&str; 9] =
    ["echo", "step", "hang", "form", "sample", "places", "log", "grow", "touch"];
/// The tool that is called as a task where the revision has such.
const JOB: &str = "job";
const TASKS: &str = "io.modelcontextprotocol/tasks";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const LIST_CHANGED: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";

/// The code for a caller that lacks a capability.
const TASKS_ONLY: i64 = -32021;

/// What clients are told of.
#[derive(Clone, Debug)]
enum Change {
    Tools,
    Resource(String),
}

/// One server, whatever its connections.
pub struct Server {
    pub name: String,
    pub revision: Revision,
    grown: Mutex<Vec<String>>,
    changes: broadcast::Sender<Change>,
    journal: Mutex<Vec<String>>,
}

impl Server {
    pub fn new(name: String, revision: Revision) -> Arc<Self> {
        let changes = broadcast::Sender::new(64);
        Arc::new(Self {
            name,
            revision,
            grown: Mutex::default(),
            changes,
            journal: Mutex::default(),
        })
    }

    pub fn is_modern(&self) -> bool {
        self.revision.era() == Era::Modern
    }

    /// What was carried out, in its order: tool and `who`.
    pub fn journal(&self) -> Vec<String> {
        self.journal.lock().unwrap().clone()
    }

    fn note(&self, what: &str, who: &str) {
        self.journal.lock().unwrap().push(format!("{what} {who}"));
    }

    /// One of its resources.
    pub fn uri(&self, rest: &str) -> String {
        format!("matrix://{}/{rest}", self.name)
    }

    fn tools(&self) -> Vec<Value> {
        let grown = self.grown.lock().unwrap();
        let names = TOOLS.into_iter().chain(grown.iter().map(String::as_str));
        let tool = |name| json!({ "name": name, "inputSchema": { "type": "object" } });
        let mut tools: Vec<_> = names.map(tool).collect();
        if self.revision >= Revision::V2025_11_25 {
            let mut job = tool(JOB);
            if !self.is_modern() {
                job["execution"] = json!({ "taskSupport": "required" });
            }
            tools.push(job);
        }
        tools
    }

    /// A task as it is said to be; whose it is stands in its name.
    fn task(&self, id: &str, status: &str) -> Value {
        let (ttl, interval) =
            if self.is_modern() { ("ttlMs", "pollIntervalMs") } else { ("ttl", "pollInterval") };
        let time = "2026-07-28T00:00:00Z";
        json!({
            "taskId": id, "status": status, "createdAt": time, "lastUpdatedAt": time,
            ttl: 60_000, interval: 100,
        })
    }
}

/// One connection to a server: a legacy session, a pair of streams, or a single modern request.
pub struct Connection {
    pub server: Arc<Server>,
    wants_log: Mutex<bool>,
    /// What a legacy client subscribed to.
    watched: Mutex<HashSet<String>>,
    asked: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    running: Mutex<HashMap<String, AbortHandle>>,
    last: AtomicU64,
}

/// Why a request fails: its code.
type Outcome = Result<Value, i64>;

impl Connection {
    pub fn new(server: &Arc<Server>) -> Arc<Self> {
        Arc::new(Self {
            server: Arc::clone(server),
            wants_log: Mutex::default(),
            watched: Mutex::default(),
            asked: Mutex::default(),
            running: Mutex::default(),
            last: AtomicU64::new(0),
        })
    }

    /// Takes what needs no answer: an answer itself, or a notification.
    pub fn take(&self, message: &Value) {
        if message["method"] == "notifications/cancelled" {
            let id = message["params"]["requestId"].to_string();
            if let Some(running) = self.running.lock().unwrap().remove(&id) {
                running.abort();
            }
        } else if message.get("method").is_none() {
            let id = message["id"].as_str().unwrap_or_default();
            if let Some(asked) = self.asked.lock().unwrap().remove(id) {
                asked.send(message["result"].clone()).ok();
            }
        }
    }

    /// Carries a request out; all that it says goes to the outlet.
    pub async fn serve(&self, message: &Value, outlet: &Outlet) {
        let (work, abort) = abortable(self.answer(message, outlet));
        let id = message["id"].to_string();
        self.running.lock().unwrap().insert(id.clone(), abort);
        let outcome = work.await;
        self.running.lock().unwrap().remove(&id);
        let mut response = json!({ "jsonrpc": "2.0", "id": message["id"] });
        match outcome {
            Ok(Ok(result)) => response["result"] = result,
            Ok(Err(code)) => {
                response["error"] = json!({ "code": code, "message": "no" });
                if code == TASKS_ONLY {
                    let lacking = json!({ "extensions": { TASKS: {} } });
                    response["error"]["data"] = json!({ "requiredCapabilities": lacking });
                }
            }
            Err(_) => return,
        }
        outlet.say(response);
    }

    /// Tells of changes until nobody listens; a modern client is told under its subscription, of
    /// what its filter names.
    pub async fn announce(&self, outlet: &Outlet, subscription: &Value, filter: &Value) {
        let mut changes = self.server.changes.subscribe();
        if self.server.is_modern() {
            let heard = json!({ "_meta": { SUBSCRIPTION: subscription }, "notifications": filter });
            outlet.notify("notifications/subscriptions/acknowledged", &heard);
        }
        while let Ok(change) = changes.recv().await {
            let (method, mut params) = match change {
                Change::Tools if self.server.is_modern() && filter["toolsListChanged"] != true => {
                    continue;
                }
                Change::Tools => (LIST_CHANGED, json!({})),
                Change::Resource(uri) if self.is_watched(&uri, filter) => {
                    (UPDATED, json!({ "uri": uri }))
                }
                Change::Resource(_) => continue,
            };
            if self.server.is_modern() {
                params["_meta"] = json!({ SUBSCRIPTION: subscription });
            }
            outlet.notify(method, &params);
        }
    }

    fn is_watched(&self, uri: &str, filter: &Value) -> bool {
        if !self.server.is_modern() {
            return self.watched.lock().unwrap().contains(uri);
        }
        let named = filter["resourceSubscriptions"].as_array();
        named.is_some_and(|named| named.iter().any(|it| it == uri))
    }

    pub async fn answer(&self, message: &Value, outlet: &Outlet) -> Outcome {
        let params = &message["params"];
        let method = message["method"].as_str().unwrap_or_default();
        let mut result = match (self.server.revision.era(), method) {
            (Era::Legacy, "initialize") | (Era::Modern, "server/discover") => self.hello(),
            (Era::Legacy, "ping") => json!({}),
            (Era::Legacy, "logging/setLevel") => {
                *self.wants_log.lock().unwrap() = true;
                json!({})
            }
            (Era::Modern, "subscriptions/listen") => {
                self.announce(outlet, &message["id"], &params["notifications"]).await;
                json!({})
            }
            (Era::Legacy, "resources/subscribe") => {
                let uri = params["uri"].as_str().unwrap_or_default();
                self.watched.lock().unwrap().insert(uri.to_owned());
                json!({})
            }
            (_, "tools/list") => json!({ "tools": self.server.tools() }),
            (_, "tools/call") if params["name"] == JOB => self.begin(params)?,
            (_, "tools/call") => self.call(params, outlet).await?,
            (_, "tasks/get" | "tasks/result") => self.asked_of(method, params),
            _ => self.offered(method, params)?,
        };
        if self.server.is_modern() && result.get("resultType").is_none() {
            result["resultType"] = json!("complete");
            let keeps = ["tools/call", "prompts/get", "completion/complete", "tasks/get"];
            if !keeps.contains(&method) {
                result["ttlMs"] = json!(0);
                result["cacheScope"] = json!("private");
            }
        }
        Ok(result)
    }

    fn hello(&self) -> Value {
        let mut capabilities = json!({ "prompts": {}, "logging": {} });
        capabilities["resources"] = json!({ "subscribe": true });
        capabilities["tools"] = json!({ "listChanged": true });
        // The capability came with 2025-03-26; the method was there before.
        if self.server.revision >= Revision::V2025_03_26 {
            capabilities["completions"] = json!({});
        }
        let revision = self.server.revision;
        match revision {
            Revision::V2025_11_25 => {
                capabilities["tasks"] = json!({ "requests": { "tools": { "call": {} } } });
            }
            Revision::V2026_07_28 => capabilities["extensions"] = json!({ TASKS: {} }),
            Revision::V2024_11_05 | Revision::V2025_03_26 | Revision::V2025_06_18 => {}
        }
        match revision.era() {
            Era::Modern => json!({
                "supportedVersions": [revision], "capabilities": capabilities,
            }),
            Era::Legacy => json!({
                "protocolVersion": revision, "capabilities": capabilities,
                "serverInfo": { "name": self.server.name, "version": "1" },
            }),
        }
    }

    /// What is neither a tool nor of one era.
    fn offered(&self, method: &str, params: &Value) -> Outcome {
        let uri = |rest: &str| self.server.uri(rest);
        Ok(match method {
            "prompts/list" => json!({ "prompts": [{
                "name": "greet", "arguments": [{ "name": "who", "required": true }],
            }] }),
            "prompts/get" => {
                let text = format!("Greet {}", params["arguments"]["who"].as_str().unwrap());
                let content = json!({ "type": "text", "text": text });
                json!({ "messages": [{ "role": "user", "content": content }] })
            }
            "resources/list" => json!({ "resources": [{ "uri": uri("all"), "name": "All" }] }),
            "resources/templates/list" => json!({ "resourceTemplates": [
                { "uriTemplate": uri("one/{id}"), "name": "One" },
            ] }),
            "resources/read" => json!({ "contents": [
                { "uri": params["uri"], "text": format!("read {}", params["uri"]) },
            ] }),
            "completion/complete" => {
                let begun = params["argument"]["value"].as_str().unwrap();
                json!({ "completion": { "values": [format!("{begun}da")] } })
            }
            _ => return Err(-32601),
        })
    }

    async fn call(&self, params: &Value, outlet: &Outlet) -> Outcome {
        let tool = params["name"].as_str().unwrap_or_default();
        let who = params["arguments"]["who"].as_str().unwrap_or_default();
        let mut said = who.to_owned();
        if let Some(question) = question(tool, who) {
            match self.ask(&question, params, outlet).await {
                Ok(answer) => said = answer.to_string(),
                Err(wanted) => return Ok(wanted),
            }
        }
        self.server.note(tool, who);
        let progress = |done: u32| {
            let token = &params["_meta"]["progressToken"];
            let params = json!({ "progressToken": token, "progress": done, "total": 2 });
            outlet.notify("notifications/progress", &params);
        };
        match tool {
            "step" => [1, 2].into_iter().for_each(progress),
            "hang" => {
                let _ended = Ended { server: &self.server, who };
                progress(1);
                std::future::pending::<()>().await;
            }
            "log" if *self.wants_log.lock().unwrap() || params["_meta"][LOG_LEVEL].is_string() => {
                let params = json!({ "level": "warning", "data": who });
                outlet.notify("notifications/message", &params);
            }
            "grow" => {
                self.server.grown.lock().unwrap().push(who.to_owned());
                self.server.changes.send(Change::Tools).ok();
            }
            "touch" => {
                let uri = self.server.uri(&format!("one/{who}"));
                self.server.changes.send(Change::Resource(uri)).ok();
            }
            _ => {}
        }
        Ok(json!({ "content": [{ "type": "text", "text": said }] }))
    }

    /// Makes a task of a call that can become one; others are refused.
    fn begin(&self, params: &Value) -> Outcome {
        let who = params["arguments"]["who"].as_str().unwrap_or_default();
        let task = || self.server.task(who, "working");
        if self.server.is_modern() {
            if !params["_meta"][CAPABILITIES]["extensions"][TASKS].is_object() {
                return Err(TASKS_ONLY);
            }
            self.server.note(JOB, who);
            let mut handed = task();
            handed["resultType"] = json!("task");
            return Ok(handed);
        }
        if !params["task"].is_object() {
            return Err(-32601);
        }
        self.server.note(JOB, who);
        Ok(json!({ "task": task() }))
    }

    /// What is said of a task: it has ended, with the name of whoever called.
    fn asked_of(&self, method: &str, params: &Value) -> Value {
        let id = params["taskId"].as_str().unwrap_or_default();
        let result = json!({ "content": [{ "type": "text", "text": id }] });
        let mut told = self.server.task(id, "completed");
        match (self.server.is_modern(), method) {
            (false, "tasks/result") => result,
            (false, _) => told,
            (true, _) => {
                told["result"] = result;
                told["result"]["resultType"] = json!("complete");
                told
            }
        }
    }

    /// The answer to a question; in the modern era the result that asks it, until it is there.
    async fn ask(&self, question: &Value, params: &Value, outlet: &Outlet) -> Result<Value, Value> {
        if self.server.is_modern() {
            let (answer, who) = (&params["inputResponses"]["it"], &params["arguments"]["who"]);
            if answer.is_object() && params["requestState"] == *who {
                return Ok(answer.clone());
            }
            return Err(json!({
                "resultType": "input_required", "inputRequests": { "it": question },
                "requestState": who,
            }));
        }
        let id = format!("q{}", self.last.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        self.asked.lock().unwrap().insert(id.clone(), sender);
        let mut request = question.clone();
        request["jsonrpc"] = json!("2.0");
        request["id"] = json!(id);
        outlet.say(request);
        Ok(answer.await.unwrap_or_default())
    }
}

/// What a tool asks.
fn question(tool: &str, who: &str) -> Option<Value> {
    Some(match tool {
        "form" => {
            let schema =
                json!({ "type": "object", "properties": { "name": { "type": "string" } } });
            let params = json!({ "message": who, "requestedSchema": schema });
            json!({ "method": "elicitation/create", "params": params })
        }
        "sample" => {
            let content = json!({ "type": "text", "text": who });
            let messages = json!([{ "role": "user", "content": content }]);
            let params = json!({ "messages": messages, "maxTokens": 10 });
            json!({ "method": "sampling/createMessage", "params": params })
        }
        "places" => json!({ "method": "roots/list", "params": {} }),
        _ => return None,
    })
}

/// Notes that a call was ended from outside.
struct Ended<'a> {
    server: &'a Server,
    who: &'a str,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.server.note("ended", self.who);
    }
}
