//! The same exchanges over HTTP, on both legs: a server's messages as JSON or as events, and a
//! client that posts. Where a body has a tab, which only stands between values, HTTP allows a new
//! line, and so there is one.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use switchboard::wire::{Era, Message, Revision};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::timeout,
};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{server::Server, tree::Tree};
use crate::support::{upstream::Upstream, wait::PATIENCE};

/// How messages travel between a client, Switchboard and a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As lines, on both legs.
    Lines,
    /// Posted by the client, lines for the server.
    Posted,
    /// Lines for the client; the server answers as JSON if nothing comes before the answer.
    Json,
    /// Over HTTP on both legs, with answers as JSON.
    PostedJson,
    /// Over HTTP on both legs, with events alone.
    PostedEvents,
}

impl Way {
    pub const ALL: [Self; 5] =
        [Self::Lines, Self::Posted, Self::Json, Self::PostedJson, Self::PostedEvents];

    pub fn is_posted(self) -> bool {
        !matches!(self, Self::Lines | Self::Json)
    }

    pub fn is_served(self) -> bool {
        !matches!(self, Self::Lines | Self::Posted)
    }
}

/// Serves on a free port. Strict, it ends the test where it hears what is not of its revision.
pub async fn serve(server: Server, way: Way, is_strict: bool) -> Upstream {
    let open = Arc::new(Mutex::new(None));
    let router = Router::new().fallback(async move |verb: Method, body: String| {
        if verb == Method::POST {
            posted(&server, &open, &body, way == Way::PostedEvents)
        } else {
            StatusCode::METHOD_NOT_ALLOWED.into_response()
        }
    });
    if is_strict {
        Upstream::serve(router).await
    } else {
        Upstream::serve_anyone(([127, 0, 0, 1], 0).into(), router).await
    }
}

/// The stream of the request that waits for its answer.
type Open = Mutex<Option<UnboundedSender<String>>>;

fn posted(server: &Server, open: &Open, body: &str, is_streamed: bool) -> Response {
    let lines = server.answers(body);
    let is_answer =
        |line: &String| matches!(Message::parse(line.as_bytes()), Ok(Message::Response { .. }));
    match Message::parse(body.as_bytes()).unwrap() {
        Message::Request { method, .. } => {
            let mut response = if let ([answer], false) = (&*lines, is_streamed)
                && is_answer(answer)
            {
                ([("content-type", "application/json")], answer.replace('\t', "\n")).into_response()
            } else {
                let (sender, events) = unbounded_channel();
                *open.lock().unwrap() = Some(sender);
                streamed(events)
            };
            say(open, lines, is_answer);
            if method == "initialize" {
                let session = "the-session".parse().unwrap();
                response.headers_mut().insert("mcp-session-id", session);
            }
            response
        }
        Message::Response { .. } | Message::Notification { .. } => {
            say(open, lines, is_answer);
            StatusCode::ACCEPTED.into_response()
        }
    }
}

/// Puts lines on the open stream, which ends with the answer.
fn say(open: &Open, lines: Vec<String>, is_answer: impl Fn(&String) -> bool) {
    let mut open = open.lock().unwrap();
    for line in lines {
        let is_last = is_answer(&line);
        if let Some(stream) = &*open {
            stream.send(line).unwrap();
        }
        if is_last {
            *open = None;
        }
    }
}

fn streamed(lines: UnboundedReceiver<String>) -> Response {
    let event = |line: String| {
        let data = line.split('\t').map(|part| format!("data: {part}\n"));
        Ok::<_, Infallible>(Bytes::from(format!("{}\n", data.collect::<String>())))
    };
    let events = UnboundedReceiverStream::new(lines).map(event);
    ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
}

/// A client's side: each message is a request of its own, and all answers are in one inbox.
pub struct Posts {
    http: reqwest::Client,
    url: String,
    revision: Revision,
    session: Option<String>,
    heard: UnboundedSender<String>,
    inbox: UnboundedReceiver<String>,
    reading: JoinSet<()>,
}

impl Posts {
    pub fn new(url: String, revision: Revision) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (heard, inbox) = unbounded_channel();
        let reading = JoinSet::new();
        Self { http, url, revision, session: None, heard, inbox, reading }
    }

    pub async fn say(&mut self, line: &str) {
        let mut request = self.http.post(&self.url).headers(self.headers(line));
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        let response = request.body(line.replace('\t', "\r\n")).send().await.unwrap();
        if let Some(session) = response.headers().get("mcp-session-id") {
            self.session = Some(session.to_str().unwrap().to_owned());
        }
        let heard = self.heard.clone();
        self.reading.spawn(read(response, heard));
    }

    /// The next message.
    pub async fn hear(&mut self) -> String {
        timeout(PATIENCE, self.inbox.recv()).await.expect("a message in time").unwrap()
    }

    fn headers(&self, line: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("accept", "application/json, text/event-stream".parse().unwrap());
        headers.insert("content-type", "application/json".parse().unwrap());
        if self.revision >= Revision::V2025_06_18 {
            headers.insert("mcp-protocol-version", self.revision.as_str().parse().unwrap());
        }
        if self.revision.era() == Era::Modern {
            let message = Tree::read(line);
            let method = message.at(&["method"]).text().unwrap();
            headers.insert("mcp-method", method.parse().unwrap());
            let subject = if method == "resources/read" { "uri" } else { "name" };
            if let Some(subject) = message.at(&["params"]).get(subject) {
                headers.insert("mcp-name", subject.text().unwrap().parse().unwrap());
            }
        }
        headers
    }
}

/// Reads a body of JSON, or the data of events as they come.
async fn read(mut response: reqwest::Response, heard: UnboundedSender<String>) {
    let kind = response.headers().get("content-type").cloned();
    if kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"text/event-stream")) {
        let body = response.text().await.unwrap();
        if !body.is_empty() {
            heard.send(body).ok();
        }
        return;
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
        while let Some(end) = bytes.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = bytes.drain(..end + 2).collect();
            let event = String::from_utf8(event).unwrap();
            let data = event.split('\n').filter_map(|line| line.strip_prefix("data: "));
            let data = data.collect::<Vec<_>>().join("\n");
            if !data.is_empty() {
                // The test may be over.
                heard.send(data).ok();
            }
        }
    }
}
