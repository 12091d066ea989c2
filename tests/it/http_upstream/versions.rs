//! TLS and HTTP/2: a refused stream was not executed and a cut one is unknown, a connection is used
//! until its server takes it back, and a certificate is good or named as the cause.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::http;
use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, pki_types::PrivateKeyDer},
    server::TlsStream,
};

use super::{call, echo, http as over_http, name, rmcp, runtime};
use crate::support::{
    binary::Switchboard,
    outgoing::Leg,
    upstream::Upstream,
    wait::{PATIENCE, until},
};

/// What becomes of a call.
#[derive(Clone, Copy)]
enum Fate {
    Answered,
    /// Its stream is reset as one that nobody looked at.
    Refused,
    /// It runs, and its stream is reset.
    Cut,
    /// It is answered, and its connection takes no more (GOAWAY).
    Last,
}

/// A modern server over HTTP/2 with one tool, `work`, and a certificate of its own.
struct Secured {
    port: u16,
    authority: String,
    calls: Arc<Calls>,
    connections: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Calls {
    /// Those to come, the next one last; further ones are answered.
    fates: Mutex<Vec<Fate>>,
    executed: AtomicUsize,
}

impl Secured {
    async fn start(certificate: CertificateParams, fates: &[Fate]) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fates = Mutex::new(fates.iter().rev().copied().collect());
        let calls = Arc::new(Calls { fates, ..Calls::default() });
        let connections = Arc::<AtomicUsize>::default();
        let (planned, counted) = (Arc::clone(&calls), Arc::clone(&connections));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust the certificate ends here.
                if let Ok(stream) = acceptor.accept(stream).await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    served.spawn(serve(stream, Arc::clone(&planned)));
                }
            }
        });
        Self { port, authority: certificate.pem(), calls, connections, _serving: serving }
    }

    /// The program with this server, whose certificate is its only authority.
    async fn trusted(&self) -> Switchboard {
        let directory = tempfile::tempdir().unwrap();
        let authority = directory.path().join("authority.pem");
        std::fs::write(&authority, &self.authority).unwrap();
        let url = format!("https://localhost:{}/mcp", self.port);
        let config = json!({ "mcpServers": { "far": { "url": url } } });
        let authority = authority.to_str().unwrap().to_owned();
        Switchboard::serve_in(directory, &config, &[("SSL_CERT_FILE", &authority)]).await
    }

    fn executed(&self) -> usize {
        self.calls.executed.load(Ordering::SeqCst)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TlsStream<TcpStream>, calls: Arc<Calls>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let going = Arc::new(Notify::new());
    let mut answers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let (calls, going) = (Arc::clone(&calls), Arc::clone(&going));
                answers.spawn(answer(request.into_body(), respond, calls, going));
            }
            () = going.notified() => connection.graceful_shutdown(),
        }
    }
}

async fn answer(
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    calls: Arc<Calls>,
    going: Arc<Notify>,
) {
    let mut asked = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        body.flow_control().release_capacity(piece.len()).unwrap();
        asked.extend_from_slice(&piece);
    }
    let asked: Value = serde_json::from_slice(&asked).unwrap();
    Leg::default().hear(&asked);
    let result = match asked["method"].as_str().unwrap() {
        "server/discover" => {
            json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } })
        }
        "tools/list" => {
            json!({ "tools": [{ "name": "work", "inputSchema": { "type": "object" } }] })
        }
        _ => {
            let fate = calls.fates.lock().unwrap().pop().unwrap_or(Fate::Answered);
            if matches!(fate, Fate::Refused) {
                return respond.send_reset(Reason::REFUSED_STREAM);
            }
            calls.executed.fetch_add(1, Ordering::SeqCst);
            if matches!(fate, Fate::Cut) {
                return respond.send_reset(Reason::INTERNAL_ERROR);
            }
            if matches!(fate, Fate::Last) {
                going.notify_one();
            }
            json!({ "content": [{ "type": "text", "text": "done" }] })
        }
    };
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }).to_string();
    let head = http::Response::builder().header("content-type", "application/json");
    let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
    stream.send_data(answer.into(), true).unwrap();
}

fn localhost() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned()]).unwrap()
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_and_a_cut_one_is_not() {
    let server = Secured::start(localhost(), &[Fate::Refused, Fate::Answered, Fate::Cut]).await;
    let switchboard = server.trusted().await;
    let client = switchboard.client();
    assert_eq!(client.call("far_work", json!({})).await.text(), "done");
    assert_eq!(server.executed(), 1, "what was refused did not run");

    let reply = client.call("far_work", json!({})).await;
    let failure = &reply.result()["_meta"]["io.switchboard/failure"];
    assert_eq!((&failure["kind"], &failure["sent"]), (&json!("outcome_unknown"), &json!(true)));
    assert_eq!(server.executed(), 2, "what may have run is not sent again");

    assert_eq!(client.call("far_work", json!({})).await.text(), "done");
    assert_eq!(switchboard.status().await["servers"][0]["incarnation"], 1);
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_connection_serves_all_calls_until_its_server_takes_it_back() {
    let fates: Vec<Fate> =
        [Fate::Answered; 20].into_iter().chain([Fate::Last; 5]).chain([Fate::Answered]).collect();
    let server = Secured::start(localhost(), &fates).await;
    let switchboard = server.trusted().await;
    let client = switchboard.client();
    for _ in 0..20 {
        assert_eq!(client.call("far_work", json!({})).await.text(), "done");
    }
    assert_eq!(server.connections(), 1, "one for the handshake and all calls");
    for _ in 0..6 {
        assert_eq!(client.call("far_work", json!({})).await.text(), "done");
    }
    assert_eq!(server.executed(), 26, "none was lost with its connection, and none ran twice");
    let connections = server.connections();
    // A call may be sent before the GOAWAY has arrived; it is answered where it went.
    assert!((2..=6).contains(&connections), "{connections}: at most one more after each GOAWAY");
    assert_eq!(switchboard.status().await["servers"][0]["incarnation"], 1);
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn connections_without_http_2_are_used_again_too() {
    let upstream = Upstream::serve(rmcp(&echo(), super::modes()[2].1.clone())).await;
    let runtime = runtime(&[("a", over_http(upstream.url()))]).await;
    let store = runtime.store();
    store.wait_ready(&name("a"), PATIENCE).await.unwrap();
    for _ in 0..30 {
        call(&store, "a_echo", &json!({ "text": "x" })).await.unwrap();
    }
    let connections = upstream.connections();
    assert!(connections <= 3, "{connections} connections for 30 calls in turn");
    runtime.stop().await;
}

#[tokio::test]
async fn a_certificate_that_is_out_of_date_or_anothers_is_named_as_the_cause() {
    let mut expired = localhost();
    expired.not_before = rcgen::date_time_ymd(2001, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let elsewhere = CertificateParams::new(["elsewhere.example".to_owned()]).unwrap();
    for (certificate, words) in [(expired, "expired"), (elsewhere, "not valid for name")] {
        let server = Secured::start(certificate, &[]).await;
        let switchboard = server.trusted().await;
        let cause = until("a cause", async || {
            let status = switchboard.status().await;
            status["servers"][0]["cause"].as_str().map(ToOwned::to_owned)
        })
        .await;
        assert!(cause.contains("TLS failed") && cause.contains(words), "{cause}");
        assert_eq!(server.connections(), 0, "nothing was said to it");
        assert!(switchboard.stop().await.success());
    }
}
