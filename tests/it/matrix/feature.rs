//! The features of the matrix: since when there are such, and how a client sees that one works.
//!
//! A further feature is a line of [`ALL`] and its check, with a tool or a method of the server.

use futures::future::{FutureExt as _, LocalBoxFuture};
use serde_json::{Value, json};
use switchboard::wire::Revision;
use tokio::{sync::watch, time::timeout};

use super::{
    client::{Client, Heard, News},
    server::Server,
};
use crate::support::{
    schema::assert_valid,
    wait::{PATIENCE, until},
};

/// A client and a server that meet.
#[derive(Clone)]
pub struct Pair<'a> {
    pub client: &'a Client,
    pub server: &'a Server,
    /// What the client was told of unasked.
    pub watched: watch::Receiver<News>,
}

/// What is seen to work between two revisions.
pub struct Feature {
    pub name: &'static str,
    /// The first revision that has it.
    pub since: Revision,
    check: for<'a> fn(Pair<'a>) -> LocalBoxFuture<'a, ()>,
}

impl Feature {
    /// Fails where it does not work.
    pub async fn check(&self, pair: Pair<'_>) {
        (self.check)(pair).await;
    }
}

const FIRST: Revision = Revision::V2024_11_05;

/// Every row of the table, in its order.
pub const ALL: [Feature; 13] = [
    Feature { name: "tools", since: FIRST, check: |pair| tools(pair).boxed_local() },
    Feature { name: "progress", since: FIRST, check: |pair| progress(pair).boxed_local() },
    Feature { name: "cancellation", since: FIRST, check: |pair| cancellation(pair).boxed_local() },
    Feature {
        name: "elicitation",
        since: Revision::V2025_06_18,
        check: |pair| elicitation(pair).boxed_local(),
    },
    Feature { name: "sampling", since: FIRST, check: |pair| sampling(pair).boxed_local() },
    Feature { name: "roots", since: FIRST, check: |pair| roots(pair).boxed_local() },
    Feature { name: "log messages", since: FIRST, check: |pair| logging(pair).boxed_local() },
    Feature { name: "resources", since: FIRST, check: |pair| resources(pair).boxed_local() },
    Feature {
        name: "subscriptions",
        since: FIRST,
        check: |pair| subscriptions(pair).boxed_local(),
    },
    Feature { name: "prompts", since: FIRST, check: |pair| prompts(pair).boxed_local() },
    Feature { name: "completion", since: FIRST, check: |pair| completion(pair).boxed_local() },
    Feature {
        name: "`list_changed`",
        since: FIRST,
        check: |pair| list_changed(pair).boxed_local(),
    },
    Feature {
        name: "tasks",
        since: Revision::V2025_11_25,
        check: |pair| tasks(pair).boxed_local(),
    },
];

impl Pair<'_> {
    /// Who calls, which is said once for each tool.
    fn who(&self) -> String {
        format!("of-{}", self.client.revision)
    }

    fn exposed(&self, name: &str) -> String {
        format!("{}_{name}", self.server.name)
    }

    fn uri(&self, rest: &str) -> String {
        format!("matrix://{}/{rest}", self.server.name)
    }

    fn params(&self, tool: &str) -> Value {
        let arguments = json!({ "who": self.who() });
        let meta = json!({ "progressToken": format!("{tool}-{}", self.server.name) });
        json!({ "name": self.exposed(tool), "arguments": arguments, "_meta": meta })
    }

    async fn ask(&self, method: &str, params: Value, type_name: &str) -> Heard {
        let heard = self.client.ask(method, params).await;
        assert_valid(self.client.revision, type_name, &heard.result);
        heard
    }

    async fn call(&self, tool: &str) -> Heard {
        self.ask("tools/call", self.params(tool), "CallToolResult").await
    }

    /// Calls a tool that asks, and gives what the client was asked and what the server learned.
    async fn asked_by(&self, tool: &str, method: &str) -> (Value, Value) {
        let heard = self.call(tool).await;
        let [asked] = &heard.asked[..] else { panic!("{:?}", heard.asked) };
        assert_eq!(asked["method"], method);
        (asked["params"].clone(), serde_json::from_str(heard.text()).unwrap())
    }

    /// The entries of a list that are of this server, by a member that begins with its name.
    async fn listed(&self, kind: &str, method: &str, type_name: &str, member: &str) -> Vec<String> {
        let heard = self.ask(method, json!({}), type_name).await;
        let all = heard.result[kind].as_array().unwrap();
        let names = all.iter().map(|entry| entry[member].as_str().unwrap().to_owned());
        names.filter(|name| name.contains(&self.server.name)).collect()
    }
}

async fn tools(pair: Pair<'_>) {
    let names = pair.listed("tools", "tools/list", "ListToolsResult", "name").await;
    assert!(names.contains(&pair.exposed("echo")), "{names:?}");
    assert_eq!(pair.call("echo").await.text(), pair.who());
}

async fn progress(pair: Pair<'_>) {
    let heard = pair.call("step").await;
    let token = &pair.params("step")["_meta"]["progressToken"];
    let told: Vec<_> = heard.told.iter().map(|told| &told["params"]).collect();
    assert!(told.iter().all(|params| params["progressToken"] == *token), "{told:?}");
    let steps: Vec<_> = told.iter().map(|params| params["progress"].as_f64().unwrap()).collect();
    assert_eq!(steps, [1.0, 2.0]);
}

async fn cancellation(pair: Pair<'_>) {
    pair.client.cancel(pair.params("hang")).await;
    let ended = format!("ended {}", pair.who());
    until("the server ended the call", async || {
        pair.server.journal().contains(&ended).then_some(())
    })
    .await;
}

async fn elicitation(pair: Pair<'_>) {
    let (asked, learned) = pair.asked_by("form", "elicitation/create").await;
    assert_eq!(asked["message"], format!("[{}] {}", pair.server.name, pair.who()));
    assert_eq!(learned, json!({ "action": "accept", "content": { "name": "Ada" } }));
}

async fn sampling(pair: Pair<'_>) {
    let (asked, learned) = pair.asked_by("sample", "sampling/createMessage").await;
    assert_eq!(asked["messages"][0]["content"]["text"], pair.who());
    assert_eq!(learned["content"]["text"], "Oslo");
}

async fn roots(pair: Pair<'_>) {
    let (_, learned) = pair.asked_by("places", "roots/list").await;
    assert_eq!(learned, json!({ "roots": [{ "uri": "file:///home/ada" }] }));
}

async fn logging(pair: Pair<'_>) {
    let heard = pair.call("log").await;
    let [told] = &heard.told[..] else { panic!("{:?}", heard.told) };
    assert_eq!(told["method"], "notifications/message");
    assert_eq!(told["params"], json!({ "level": "warning", "data": pair.who() }));
}

async fn resources(pair: Pair<'_>) {
    let method = "resources/list";
    let uris = pair.listed("resources", method, "ListResourcesResult", "uri").await;
    assert_eq!(uris, [pair.uri("all")]);
    let (method, type_name) = ("resources/templates/list", "ListResourceTemplatesResult");
    let forms = pair.listed("resourceTemplates", method, type_name, "uriTemplate").await;
    assert_eq!(forms, [pair.uri("one/{id}")]);
    for uri in [pair.uri("all"), pair.uri("one/7")] {
        let params = json!({ "uri": uri });
        let heard = pair.ask("resources/read", params, "ReadResourceResult").await;
        let contents = &heard.result["contents"];
        assert_eq!(*contents, json!([{ "uri": uri, "text": format!("read \"{uri}\"") }]));
    }
}

async fn prompts(pair: Pair<'_>) {
    let names = pair.listed("prompts", "prompts/list", "ListPromptsResult", "name").await;
    assert_eq!(names, [pair.exposed("greet")]);
    let params = json!({ "name": pair.exposed("greet"), "arguments": { "who": "Ada" } });
    let heard = pair.ask("prompts/get", params, "GetPromptResult").await;
    assert_eq!(heard.result["messages"][0]["content"]["text"], "Greet Ada");
}

async fn completion(pair: Pair<'_>) {
    for reference in [
        json!({ "type": "ref/prompt", "name": pair.exposed("greet") }),
        json!({ "type": "ref/resource", "uri": pair.uri("one/{id}") }),
    ] {
        let argument = json!({ "name": "who", "value": "A" });
        let params = json!({ "ref": reference, "argument": argument });
        let heard = pair.ask("completion/complete", params, "CompleteResult").await;
        assert_eq!(heard.result["completion"]["values"], json!(["Ada"]));
    }
}

async fn list_changed(mut pair: Pair<'_>) {
    pair.call("grow").await;
    let grown = json!(pair.exposed(&pair.who())).to_string();
    let told = pair.watched.wait_for(|news| news.tools.contains(&grown));
    timeout(PATIENCE / 3, told).await.expect("told in time").unwrap();
}

async fn subscriptions(mut pair: Pair<'_>) {
    let uri = pair.uri(&format!("one/{}", pair.who()));
    let mut updates = 0;
    if pair.client.is_modern() {
        // One that was watched from the start is told once, for what may have been missed.
        updates += 1;
        told_of(&mut pair.watched, &uri, updates).await;
    } else {
        pair.ask("resources/subscribe", json!({ "uri": uri }), "EmptyResult").await;
    }
    pair.call("touch").await;
    told_of(&mut pair.watched, &uri, updates + 1).await;
}

async fn told_of(watched: &mut watch::Receiver<News>, uri: &str, times: usize) {
    let told = watched.wait_for(|news| news.updates.get(uri) == Some(&times));
    timeout(PATIENCE / 3, told).await.expect("told in time").unwrap();
}

/// Both kinds are handed out where both sides have the same, and awaited where not.
async fn tasks(pair: Pair<'_>) {
    let mut params = pair.params("job");
    if !pair.client.is_modern() {
        params["task"] = json!({ "ttl": 60_000 });
    }
    let result = pair.client.ask("tools/call", params).await.result;
    let task = if pair.client.is_modern() { &result } else { &result["task"] };
    let is_handed_out = task["taskId"].is_string();
    assert_eq!(is_handed_out, pair.client.revision == pair.server.revision, "{result}");
    let about = json!({ "taskId": task["taskId"] });
    let ended = match (is_handed_out, pair.client.is_modern()) {
        (false, _) => result.clone(),
        (true, true) => pair.client.ask("tasks/get", about).await.result["result"].clone(),
        (true, false) => pair.client.ask("tasks/result", about).await.result,
    };
    assert_valid(pair.client.revision, "CallToolResult", &ended);
    assert_eq!(ended["content"][0]["text"], pair.who());
}
