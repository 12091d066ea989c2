//! A server of our own that has what the conformance suite asks a server for, written against the
//! specification and without an MCP library: one endpoint over HTTP that speaks one era.
//!
//! What it offers (`content`, `tools`) knows nothing of eras; `legacy` and `modern` carry it.

mod content;
mod legacy;
mod modern;
mod tools;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, body::Body, extract::Request, response::Response};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::support::upstream::{Asked, Upstream, json_response};

/// Which revisions the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// 2025-11-25 and before: sessions, requests to the client.
    Legacy,
    /// 2026-07-28: requests that stand alone.
    Modern,
}

/// Serves Switchboard on a free port of this machine.
pub async fn serve(era: Era) -> Upstream {
    Upstream::serve(router(era)).await
}

/// Serves the suite itself.
pub async fn serve_suite(era: Era) -> Upstream {
    Upstream::serve_anyone(SocketAddr::from(([127, 0, 0, 1], 0)), router(era)).await
}

fn router(era: Era) -> Router {
    let offer = Arc::new(Offer::new());
    let legacy = Arc::new(legacy::Sessions::new(Arc::clone(&offer)));
    Router::new().fallback(move |request: Request<Body>| {
        let (offer, legacy) = (Arc::clone(&offer), Arc::clone(&legacy));
        async move {
            let (head, body) = request.into_parts();
            if !is_local(&head.headers) {
                return json_response(403, &json!({ "error": "not a name of this machine" }));
            }
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            let message = serde_json::from_slice(&body).unwrap_or_default();
            let asked = Asked { verb: head.method, headers: head.headers, message };
            match era {
                Era::Legacy => legacy.answer(&asked),
                Era::Modern if asked.verb == Method::POST => modern::answer(&offer, &asked),
                Era::Modern => status(StatusCode::METHOD_NOT_ALLOWED),
            }
        }
    })
}

/// Whether the names in a request are names of this machine: a page whose name leads here has
/// its own (DNS rebinding).
fn is_local(headers: &HeaderMap) -> bool {
    ["host", "origin"].into_iter().all(|name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        let host = value.unwrap_or("localhost").trim_start_matches("http://");
        matches!(host.split(':').next(), Some("localhost" | "127.0.0.1"))
    })
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// An error of JSON-RPC.
#[derive(Debug)]
struct Fault {
    code: i64,
    message: String,
    data: Value,
}

impl Fault {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: Value::Null }
    }

    fn with(self, data: Value) -> Self {
        Self { data, ..self }
    }

    /// The response to a request.
    fn response(&self, id: &Value) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if !self.data.is_null() {
            error["data"] = self.data.clone();
        }
        json!({ "jsonrpc": "2.0", "id": id, "error": error })
    }
}

/// What changes while the server runs, and who hears of it.
struct Offer {
    further_tool: AtomicBool,
    further_prompt: AtomicBool,
    changes: broadcast::Sender<&'static str>,
}

impl Offer {
    fn new() -> Self {
        Self {
            further_tool: AtomicBool::new(false),
            further_prompt: AtomicBool::new(false),
            changes: broadcast::Sender::new(64),
        }
    }

    /// Adds the tool that comes and goes, or takes it away.
    fn change_tools(&self) {
        self.further_tool.fetch_not(Ordering::Relaxed);
        self.tell("notifications/tools/list_changed");
    }

    /// The same for the prompt that comes and goes.
    fn change_prompts(&self) {
        self.further_prompt.fetch_not(Ordering::Relaxed);
        self.tell("notifications/prompts/list_changed");
    }

    /// Nobody may be listening.
    fn tell(&self, change: &'static str) {
        self.changes.send(change).ok();
    }

    /// The answer to what takes one step in both eras.
    fn answer(&self, method: &str, params: &Value) -> Result<Value, Fault> {
        match method {
            "tools/list" => {
                let further = self.further_tool.load(Ordering::Relaxed);
                Ok(json!({ "tools": tools::list(further) }))
            }
            "prompts/list" => {
                let further = self.further_prompt.load(Ordering::Relaxed);
                Ok(json!({ "prompts": content::prompts(further) }))
            }
            "prompts/get" => content::prompt(params),
            "resources/list" => Ok(json!({ "resources": content::resources() })),
            "resources/templates/list" => Ok(json!({ "resourceTemplates": [content::template()] })),
            "resources/read" => content::read(params["uri"].as_str().unwrap_or_default()),
            "completion/complete" => Ok(content::completion(params)),
            _ => Err(Fault::new(-32601, format!("no method {method}"))),
        }
    }
}
