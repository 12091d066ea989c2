//! Every revision of a client with every revision of a server, over every transport of a server:
//! each feature that both have works. One runtime serves all of them.
//!
//! The table stands in docs/protocol.md.

mod client;
mod feature;
mod server;
mod transport;

use std::{
    any::Any,
    collections::BTreeSet,
    fmt::Write as _,
    io,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
};

use futures::{FutureExt as _, future::join_all};
use switchboard::{
    access::Gate,
    face::http::{HttpFace, HttpFaceConfig, RunningFace},
    id::ServerName,
    runtime::{Isolation, Runtime, RuntimeConfig, ServerConfig},
    upstream::{Connect, TransportConfig, stream::ByteStream},
    wire::Revision,
};
use tokio::{io::duplex, task::JoinSet};

use crate::support::{page, upstream::Upstream, wait::PATIENCE};
use client::Client;
use feature::{Feature, Pair};
use server::Server;

/// How a server is reached.
const TRANSPORTS: [&str; 3] = ["stdio", "http", "inproc"];

/// A runtime behind a listener, with a server of each revision over each transport.
struct Board {
    face: RunningFace,
    servers: Vec<Arc<Server>>,
    _over_stdio: Vec<JoinSet<()>>,
    _over_http: Vec<Upstream>,
    _streams: Arc<Mutex<JoinSet<()>>>,
}

impl Board {
    async fn start() -> Self {
        let mut config = RuntimeConfig::default();
        config.limits.connects_per_agent = config.limits.connects;
        let runtime = Runtime::spawn(config).await.unwrap();
        let store = runtime.store();
        let (mut servers, mut ports, mut upstreams) = (Vec::new(), Vec::new(), Vec::new());
        let streams = Arc::default();
        // Roots are asked only of sessions.
        let config = |transport| ServerConfig {
            isolation: Isolation::Session,
            ..ServerConfig::new(transport)
        };
        for revision in Revision::ALL {
            for transport in TRANSPORTS {
                let name = format!("{transport}-{revision}");
                let server = Server::new(name.clone(), revision);
                servers.push(Arc::clone(&server));
                let name = ServerName::new(name).unwrap();
                let added = match transport {
                    "stdio" => {
                        let (port, transport) = transport::over_stdio(server).await;
                        ports.push(port);
                        store.add(name, config(transport)).await
                    }
                    "http" => {
                        let (upstream, transport) = transport::over_http(server).await;
                        upstreams.push(upstream);
                        store.add(name, config(transport)).await
                    }
                    _ => {
                        let connector = in_process(server, &streams);
                        let config = config(TransportConfig::InProcess);
                        store.add_connector(name, config, connector).await
                    }
                };
                added.unwrap();
            }
        }
        for server in &servers {
            let name = ServerName::new(&server.name).unwrap();
            store.wait_ready(&name, PATIENCE).await.unwrap();
        }
        let config = HttpFaceConfig { port: 0, ..HttpFaceConfig::default() };
        let face = HttpFace::bind(&config).await.unwrap();
        let face = face.serve(1 << 20, Gate::new(runtime), None);
        Self { face, servers, _over_stdio: ports, _over_http: upstreams, _streams: streams }
    }

    /// A client of a revision meets every server; gives what each feature's cell comes to.
    async fn meet(&self, revision: Revision) -> Vec<Cell> {
        let url = format!("http://{}/mcp", self.face.local_addr());
        let client = Client::open(&url, revision).await;
        let mut watching = JoinSet::new();
        let uris = self.servers.iter().map(|server| server.uri(&format!("one/of-{revision}")));
        let uris: Vec<_> = uris.collect();
        let watched = client.watch(&uris, &mut watching).await;
        let meetings = self.servers.iter().map(|server| {
            let pair = Pair { client: &client, server, watched: watched.clone() };
            meet(pair)
        });
        let met = join_all(meetings).await;
        let mut cells: Vec<Cell> = feature::ALL.iter().map(|_| Cell::default()).collect();
        for outcomes in met {
            for (cell, outcome) in cells.iter_mut().zip(outcomes) {
                match outcome {
                    None => {}
                    Some(Ok(())) => cell.passed += 1,
                    Some(Err(why)) => cell.failures.push(why),
                }
            }
        }
        cells
    }
}

/// A server in this process.
fn in_process(server: Arc<Server>, tasks: &Arc<Mutex<JoinSet<()>>>) -> Arc<dyn Connect> {
    let tasks = Arc::clone(tasks);
    Arc::new(ByteStream::new(move || {
        let (ours, theirs) = duplex(64 * 1024);
        tasks.lock().unwrap().spawn(transport::over_lines(Arc::clone(&server), theirs));
        async move { Ok::<_, io::Error>(ours) }
    }))
}

/// What one cell comes to.
#[derive(Default)]
struct Cell {
    passed: usize,
    failures: Vec<String>,
}

/// Whether both sides have a feature.
fn have(feature: &Feature, pair: &Pair<'_>) -> bool {
    pair.client.revision >= feature.since && pair.server.revision >= feature.since
}

/// A client meets a server: each feature after the other, because what a server asks over a
/// stream names no call. `None` where one of the sides has no such feature.
async fn meet(pair: Pair<'_>) -> Vec<Option<Result<(), String>>> {
    let mut outcomes = Vec::new();
    for feature in &feature::ALL {
        if !have(feature, &pair) {
            outcomes.push(None);
            continue;
        }
        let check = AssertUnwindSafe(feature.check(pair.clone())).catch_unwind().await;
        outcomes.push(Some(check.map_err(|panic| {
            let (client, server) = (pair.client.revision, &pair.server.name);
            format!("{} between {client} and {server}: {}", feature.name, words(&*panic))
        })));
    }
    outcomes
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words")
}

/// The table: a row for each feature, a column for each revision of a client.
fn table(columns: &[Vec<Cell>]) -> String {
    let heads: Vec<&str> = Revision::ALL.iter().map(|revision| revision.as_str()).collect();
    let mut table = format!("| | {} |\n|---|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for (row, feature) in feature::ALL.iter().enumerate() {
        let cells = columns.iter().map(|column| {
            let cell = &column[row];
            match cell.passed + cell.failures.len() {
                0 => "-".to_owned(),
                all => format!("{}/{all}", cell.passed),
            }
        });
        let cells: Vec<String> = cells.collect();
        writeln!(table, "| {} | {} |", feature.name, cells.join(" | ")).unwrap();
    }
    table
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_feature_works_between_all_revisions_over_all_transports() {
    let board = Board::start().await;
    let columns = join_all(Revision::ALL.map(|revision| board.meet(revision))).await;
    let failures = columns.iter().flatten().flat_map(|cell| &cell.failures);
    let failures: Vec<&str> = failures.map(String::as_str).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    for server in &board.servers {
        let journal = server.journal();
        let once: BTreeSet<&String> = journal.iter().collect();
        assert_eq!(once.len(), journal.len(), "carried out twice: {journal:?}");
    }
    page::agrees_with("protocol.md", "matrix", &table(&columns));
    board.face.stop(std::future::ready(())).await;
}
