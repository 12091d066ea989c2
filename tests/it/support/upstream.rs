//! HTTP servers on loopback that die with all their connections, as a killed process does.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use futures::future::BoxFuture;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService,
    streamable_http_server::session::local::LocalSessionManager,
};
use serde_json::{Value, json};
use switchboard::wire::Revision;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{outgoing::Leg, script::Script};

/// A server. Dropped, it is gone at once, and so is every connection to it.
pub struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Upstream {
    /// Serves on a free port.
    pub async fn serve(router: Router) -> Self {
        Self::serve_at(SocketAddr::from(([127, 0, 0, 1], 0)), router).await
    }

    /// Serves at an address, such as that of a server that was killed.
    pub async fn serve_at(address: SocketAddr, router: Router) -> Self {
        Self::serve_anyone(address, heard(router)).await
    }

    /// Serves whoever comes, who need not be us: what is said is not checked.
    pub async fn serve_anyone(address: SocketAddr, router: Router) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                connections.spawn(connection(stream, router.clone()));
            }
        });
        Self { address, connections, tasks }
    }

    /// Serves on a socket of this machine.
    pub fn serve_unix(path: &Path, router: Router) -> Self {
        let router = heard(router);
        let listener = UnixListener::bind(path).unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                connections.spawn(connection(stream, router.clone()));
            }
        });
        Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), connections, tasks }
    }

    /// Serves with TLS.
    pub async fn serve_tls(acceptor: TlsAcceptor, router: Router) -> Self {
        let router = heard(router);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (acceptor, router) = (acceptor.clone(), router.clone());
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        connection(stream, router).await;
                    }
                });
            }
        });
        Self { address, connections, tasks }
    }

    /// The address of its endpoint.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Ends it at once and says where it was.
    pub async fn kill(mut self) -> SocketAddr {
        self.tasks.shutdown().await;
        self.address
    }
}

/// Every message that comes is held against its revision first.
fn heard(router: Router) -> Router {
    router.layer(middleware::from_fn(async |request: Request<Body>, next: Next| {
        let (head, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        let version = head.headers.get("mcp-protocol-version");
        let revision = version.and_then(|version| Revision::parse(version.to_str().ok()?));
        Leg::of(revision).hear(&serde_json::from_slice(&bytes).unwrap_or_default());
        next.run(Request::from_parts(head, Body::from(bytes))).await
    }))
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let service = TowerToHyperService::new(router);
    // A client that closes its connection early is no failure of the server.
    auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await
        .ok();
}

/// rmcp's own server over a script, in one of its modes. Each has sessions of its own.
pub fn rmcp(script: &Script, mode: StreamableHttpServerConfig) -> Router {
    let script = script.clone();
    let manager = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(script.handler()), manager, mode);
    Router::new().nest_service("/mcp", service)
}

/// One request as a server sees it.
pub struct Asked {
    pub verb: Method,
    pub headers: HeaderMap,
    pub message: Value,
}

impl Asked {
    /// The method of its message; empty where it has none.
    pub fn method(&self) -> &str {
        self.message["method"].as_str().unwrap_or_default()
    }

    /// A response of JSON to it.
    pub fn result(&self, result: &Value) -> Response {
        let id = &self.message["id"];
        json_response(200, &json!({ "jsonrpc": "2.0", "id": id, "result": result }))
    }
}

/// A response of JSON.
pub fn json_response(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

/// A server whose every answer a test decides; where it says nothing, it answers as a server of
/// this era with one tool, `work`.
pub fn faulty(
    modern: bool,
    decide: impl Fn(&Asked) -> Option<BoxFuture<'static, Response>> + Send + Sync + 'static,
) -> Router {
    let decide = Arc::new(decide);
    Router::new().fallback(move |request: Request<Body>| {
        let decide = Arc::clone(&decide);
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            let message = serde_json::from_slice(&body).unwrap_or_default();
            let asked = Asked { verb: head.method, headers: head.headers, message };
            match decide(&asked) {
                Some(answer) => answer.await,
                None => plain(modern, &asked),
            }
        }
    })
}

/// What a server of this era with one tool, `work`, answers.
pub fn plain(modern: bool, asked: &Asked) -> Response {
    let tool = json!({ "name": "work", "inputSchema": { "type": "object" } });
    let content = json!({ "content": [{ "type": "text", "text": "done" }] });
    if asked.verb != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match asked.method() {
        "server/discover" if modern => asked.result(&json!({
            "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
            "resultType": "complete",
        })),
        "initialize" if !modern => {
            let mut response = asked.result(&json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "faulty", "version": "1" },
            }));
            response.headers_mut().insert("mcp-session-id", "the-session".parse().unwrap());
            response
        }
        "tools/list" => asked.result(&json!({ "tools": [tool] })),
        "tools/call" => asked.result(&content),
        "ping" => asked.result(&json!({})),
        method if method.starts_with("notifications/") => StatusCode::ACCEPTED.into_response(),
        _ if asked.message["id"].is_null() => StatusCode::ACCEPTED.into_response(),
        _ => {
            let error = json!({ "code": -32601, "message": "method not found" });
            let id = &asked.message["id"];
            let status = if modern { 404 } else { 400 };
            json_response(status, &json!({ "jsonrpc": "2.0", "id": id, "error": error }))
        }
    }
}
