//! Who calls and who looks at the lists, over HTTP, each as an agent of its own.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    board::Board,
    plan::{CALM, Call},
};
use crate::{
    mcp_host::modern_post,
    support::{http::Reply, wait::PATIENCE},
};

/// How a call ended.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With the server's result.
    Result(String),
    /// With a failure that Switchboard explains.
    Failure { kind: String, sent: bool },
    /// With any other error.
    Error(Value),
    /// The connection to Switchboard broke.
    Broken(String),
    /// Not within any patience.
    None,
}

/// A call that is over.
#[derive(Clone, Debug)]
pub struct Done {
    pub call: usize,
    pub answer: Answer,
    pub took: Duration,
    /// Switchboard was killed meanwhile, or was not there.
    pub disturbed: bool,
}

impl Done {
    /// In a word, as the page counts it.
    pub fn words(&self) -> String {
        match &self.answer {
            Answer::Result(_) => "answered".to_owned(),
            Answer::Failure { kind, sent: true } => format!("`{kind}`, sent"),
            Answer::Failure { kind, sent: false } => format!("`{kind}`, not sent"),
            Answer::Error(_) => "error of another kind".to_owned(),
            Answer::Broken(_) => "connection broken by the kill of Switchboard".to_owned(),
            Answer::None => "none".to_owned(),
        }
    }
}

fn read(reply: &Reply) -> Answer {
    let response = reply.response();
    let (failure, result) = match response.get("result") {
        Some(result) if result["isError"] != true => {
            let text = result["content"][0]["text"].as_str().unwrap_or_default();
            return Answer::Result(text.to_owned());
        }
        Some(result) => (&result["_meta"]["io.switchboard/failure"], result),
        None => (&response["error"]["data"], &response["error"]),
    };
    match (failure["kind"].as_str(), failure["sent"].as_bool()) {
        (Some(kind), Some(sent)) => Answer::Failure { kind: kind.to_owned(), sent },
        _ => Answer::Error(result.clone()),
    }
}

/// Makes one call.
pub async fn call(board: &Board, number: usize, call: &Call) -> Done {
    let arguments = json!({ "number": number, "work": call.work.as_millis() });
    let params = json!({ "name": call.tool(), "arguments": arguments });
    let (now, began) = (board.now(), Instant::now());
    let client = now.client(call.agent);
    let answer = match timeout(PATIENCE, client.attempt("tools/call", params)).await {
        Ok(Ok(reply)) => read(&reply),
        Ok(Err(why)) => Answer::Broken(format!("{why:?}")),
        Err(_) => Answer::None,
    };
    let took = began.elapsed();
    let then = board.now();
    let disturbed = now.down || then.down || now.epoch != then.epoch;
    Done { call: number, answer, took, disturbed }
}

/// The agent's tools as the client gets them; `None` where Switchboard is not there.
pub async fn tools(board: &Board, agent: &str) -> Option<Value> {
    let reply = board.now().client(agent).attempt("tools/list", json!({})).await.ok()?;
    Some(reply.result()["tools"].clone())
}

/// What watchers saw and should not have seen.
pub type Found = Arc<Mutex<Vec<String>>>;

/// Looks at an agent's list again and again: it is what it was, and after a new start of
/// Switchboard it is so again within the bound, from then on for good.
pub async fn watch_list(board: Arc<Board>, agent: &'static str, bound: Duration, found: Found) {
    let first = tools(&board, agent).await.expect("it runs");
    let (mut epoch, mut since, mut settled) = (0, Instant::now(), true);
    loop {
        sleep(Duration::from_millis(250)).await;
        let now = board.now();
        let Some(list) = tools(&board, agent).await else { continue };
        if now.down || board.now().epoch != now.epoch {
            continue;
        }
        if now.epoch != epoch {
            (epoch, since, settled) = (now.epoch, Instant::now(), false);
        }
        let same = list == first;
        if settled && !same {
            found.lock().unwrap().push(format!("the list of {agent} became {list}"));
            return;
        }
        settled |= same;
        if !settled && since.elapsed() > bound {
            found.lock().unwrap().push(format!("the list of {agent} is still {list}"));
            return;
        }
    }
}

/// Listens for changes of the untouched agent's list, once it is whole: there must be none.
pub async fn watch_changes(board: Arc<Board>, whole: Value, found: Found) {
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    loop {
        sleep(Duration::from_millis(250)).await;
        if tools(&board, CALM).await.as_ref() != Some(&whole) {
            continue;
        }
        let now = board.now();
        let client = now.client(CALM);
        let listening =
            modern_post(client, &json!("changes"), "subscriptions/listen", filter.clone());
        let Ok(mut stream) = listening.send().await else { continue };
        let mut heard = String::new();
        while let Ok(Some(chunk)) = stream.chunk().await {
            heard.push_str(&String::from_utf8_lossy(&chunk));
            if heard.contains("tools/list_changed") {
                found.lock().unwrap().push(format!("{CALM} was told of a change: {heard}"));
                return;
            }
        }
    }
}
