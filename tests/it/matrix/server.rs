//! A server that speaks one revision, whichever is wanted: messages in, messages out.
//!
//! It knows nothing of transports. Each tool is named after what it shows; every call that is
//! carried out is one line of the journal.

use std::{
    collections::HashMap,
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

const TOOLS: [&str; 8] = ["echo", "step", "hang", "form", "sample", "places", "log", "grow"];
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const LIST_CHANGED: &str = "notifications/tools/list_changed";

/// One server, whatever its connections.
pub struct Server {
    pub name: String,
    pub revision: Revision,
    grown: Mutex<Vec<String>>,
    changes: broadcast::Sender<()>,
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

    /// Tells of changes until nobody listens; a modern client is told under its subscription.
    pub async fn announce(&self, outlet: &Outlet, subscription: &Value) {
        let mut changes = self.changes.subscribe();
        if self.is_modern() {
            let meta = json!({ SUBSCRIPTION: subscription });
            let heard = json!({ "_meta": meta, "notifications": { "toolsListChanged": true } });
            outlet.notify("notifications/subscriptions/acknowledged", &heard);
        }
        while changes.recv().await.is_ok() {
            let mut params = json!({});
            if self.is_modern() {
                params["_meta"] = json!({ SUBSCRIPTION: subscription });
            }
            outlet.notify(LIST_CHANGED, &params);
        }
    }

    fn tools(&self) -> Vec<Value> {
        let grown = self.grown.lock().unwrap();
        let names = TOOLS.into_iter().chain(grown.iter().map(String::as_str));
        let tool = |name| json!({ "name": name, "inputSchema": { "type": "object" } });
        names.map(tool).collect()
    }
}

/// One connection to a server: a legacy session, a pair of streams, or a single modern request.
pub struct Connection {
    pub server: Arc<Server>,
    wants_log: Mutex<bool>,
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
            Ok(Err(code)) => response["error"] = json!({ "code": code, "message": "no" }),
            Err(_) => return,
        }
        outlet.say(response);
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
                self.server.announce(outlet, &message["id"]).await;
                json!({})
            }
            (_, "tools/list") => json!({ "tools": self.server.tools() }),
            (_, "tools/call") => self.call(params, outlet).await?,
            _ => self.offered(method, params)?,
        };
        if self.server.is_modern() && result.get("resultType").is_none() {
            result["resultType"] = json!("complete");
            if !matches!(method, "tools/call" | "prompts/get" | "completion/complete") {
                result["ttlMs"] = json!(0);
                result["cacheScope"] = json!("private");
            }
        }
        Ok(result)
    }

    fn hello(&self) -> Value {
        let mut capabilities = json!({ "prompts": {}, "resources": {}, "logging": {} });
        capabilities["tools"] = json!({ "listChanged": true });
        // The capability came with 2025-03-26; the method was there before.
        if self.server.revision >= Revision::V2025_03_26 {
            capabilities["completions"] = json!({});
        }
        let revision = self.server.revision;
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
        let uri = |rest: &str| format!("matrix://{}/{rest}", self.server.name);
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
                self.server.changes.send(()).ok();
            }
            _ => {}
        }
        Ok(json!({ "content": [{ "type": "text", "text": said }] }))
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
