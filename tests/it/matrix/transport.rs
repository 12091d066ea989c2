//! The ways to the matrix's servers: lines over a stream, a child process, streamable HTTP.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use switchboard::upstream::{TransportConfig, http::HttpConfig, stdio::StdioConfig};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, split},
    net::TcpListener,
    task::JoinSet,
};

use super::server::{Connection, Server};
use crate::support::{
    outgoing::Leg,
    stream::{self, Outlet},
    upstream::{Asked, Upstream, json_response},
};

/// Speaks to one client over a stream, a message a line, until it closes.
pub async fn over_lines(server: Arc<Server>, stream: impl AsyncRead + AsyncWrite) {
    let connection = Connection::new(&server);
    let (source, mut sink) = split(stream);
    let mut lines = BufReader::new(source).lines();
    let mut leg = Leg::default();
    let (outlet, mut said) = Outlet::new();
    let outlet = Arc::new(outlet);
    let mut work = JoinSet::new();
    if !server.is_modern() {
        let (connection, outlet) = (Arc::clone(&connection), Arc::clone(&outlet));
        work.spawn(async move { connection.announce(&outlet, &Value::Null, &Value::Null).await });
    }
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { return };
                let message: Value = serde_json::from_str(&line).unwrap();
                leg.hear(&message);
                if message.get("method").is_none() || message.get("id").is_none() {
                    connection.take(&message);
                    continue;
                }
                let (connection, outlet) = (Arc::clone(&connection), Arc::clone(&outlet));
                work.spawn(async move { connection.serve(&message, &outlet).await });
            }
            Some(message) = said.recv() => {
                if sink.write_all(format!("{message}\n").as_bytes()).await.is_err() {
                    return;
                }
            }
            Some(_) = work.join_next() => {}
        }
    }
}

/// A server whose every life is a process, whose standard streams lead to a port of ours.
pub async fn over_stdio(server: Arc<Server>) -> (JoinSet<()>, TransportConfig) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(over_lines(Arc::clone(&server), stream));
        }
    });
    let relay = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/matrix/relay.py");
    let mut stdio = StdioConfig::new("python3");
    stdio.args = vec!["-SE".to_owned(), relay.to_str().unwrap().to_owned(), port.to_string()];
    (serving, TransportConfig::Stdio(stdio))
}

/// A server over HTTP, and where it is.
pub async fn over_http(server: Arc<Server>) -> (Upstream, TransportConfig) {
    let sessions = Arc::new(Sessions { server, all: Mutex::default() });
    let upstream = Upstream::serve(Router::new().fallback(move |request: Request<Body>| {
        let sessions = Arc::clone(&sessions);
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            let message = serde_json::from_slice(&body).unwrap_or_default();
            let asked = Asked { verb: head.method, headers: head.headers, message };
            sessions.answer(asked).await
        }
    }))
    .await;
    let http = HttpConfig { url: upstream.url(), headers: BTreeMap::new() };
    (upstream, TransportConfig::Http(http))
}

struct Sessions {
    server: Arc<Server>,
    all: Mutex<HashMap<String, Arc<Connection>>>,
}

impl Sessions {
    async fn answer(&self, asked: Asked) -> Response {
        let connection = match (asked.method(), asked.headers.get("mcp-session-id")) {
            ("initialize", _) if !self.server.is_modern() => return self.open(&asked).await,
            (_, Some(id)) => self.all.lock().unwrap().get(id.to_str().unwrap()).map(Arc::clone),
            _ if self.server.is_modern() => Some(Connection::new(&self.server)),
            _ => None,
        };
        let Some(connection) = connection else {
            let error = json!({ "code": -32601, "message": "no session" });
            let id = &asked.message["id"];
            return json_response(400, &json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        };
        let is_request = asked.message.get("method").is_some() && asked.message.get("id").is_some();
        match asked.verb {
            Method::POST if is_request => stream::respond(async move |outlet| {
                connection.serve(&asked.message, &outlet).await;
            }),
            Method::POST => {
                connection.take(&asked.message);
                StatusCode::ACCEPTED.into_response()
            }
            Method::GET if !self.server.is_modern() => stream::respond(async move |outlet| {
                connection.announce(&outlet, &Value::Null, &Value::Null).await;
            }),
            Method::DELETE => StatusCode::NO_CONTENT.into_response(),
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }

    async fn open(&self, asked: &Asked) -> Response {
        let connection = Connection::new(&self.server);
        let (outlet, _said) = Outlet::new();
        let result = connection.answer(&asked.message, &outlet).await.unwrap();
        let id = uuid::Uuid::new_v4().to_string();
        self.all.lock().unwrap().insert(id.clone(), connection);
        let mut response = asked.result(&result);
        response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
        response
    }
}
