//! The load run behind `make bench`: one demonstration server, called directly over stdio and
//! through `switchboard serve` over HTTP, and a server that is itself behind HTTP, called directly,
//! through nginx and through `switchboard serve`; a table goes to standard output and to
//! docs/benchmarks.md.
//!
//! It measures, it does not judge: ratios and limits belong to the reader.

#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program that prints a table; `pub` marks what its modules share"
)]

mod http;
mod measure;
mod nginx;
mod remote;
mod report;
mod stdio;
mod switchboard;

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Result;
use measure::{Bounds, Measurement};
use nginx::Nginx;
use remote::Remote;
use report::{Report, Row};
use serde_json::Value;
use switchboard::Switchboard;

/// The program that is measured, as released.
const PROGRAM: &str = env!("CARGO_BIN_EXE_switchboard");

/// Callers at a time.
const CALLERS: [usize; 3] = [1, 16, 64];

/// A case ends with whichever comes first.
const BOUNDS: Bounds = Bounds { calls: 20_000, time: Duration::from_secs(10) };

/// Servers that stand idle while memory is read.
const IDLE_SERVERS: usize = 20;

/// The generator has one thread, so that it takes little from what it measures.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    if std::env::args().any(|argument| argument == remote::ROLE) {
        return remote::serve().await;
    }
    let mut rows = Vec::new();
    for callers in CALLERS {
        rows.push(Row { way: "directly, stdio", callers, measurement: directly(callers).await? });
    }
    let demo = switchboard::demo();
    rows.extend(behind("through Switchboard, stdio server", std::slice::from_ref(&demo)).await?);
    let remote = Remote::start().await?;
    rows.extend(over("directly, HTTP server", remote.address(), None).await?);
    let nginx = Nginx::start(remote.address()).await?;
    if let Some(nginx) = &nginx {
        rows.extend(over("through nginx, HTTP server", nginx.address(), Some(nginx.pid())).await?);
    }
    let has_nginx = nginx.is_some();
    drop(nginx);
    rows.extend(behind("through Switchboard, HTTP server", &[remote.entry()]).await?);
    drop(remote);

    let idle = Switchboard::serve(&vec![demo; IDLE_SERVERS]).await?;
    let resident_mb = idle.resident_mb()?;
    idle.stop().await?;

    let report = Report { rows, has_nginx, idle_servers: IDLE_SERVERS, resident_mb };
    let text = report.markdown().await;
    println!("{text}");
    report::write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md"), &text)
}

/// What the server itself can do: every caller on the one pipe of one server.
async fn directly(callers: usize) -> Result<Measurement> {
    let server = stdio::Server::start(PROGRAM).await?;
    let measurement = measure::run(BOUNDS, callers, None, || Ok(server.caller())).await?;
    server.stop().await?;
    Ok(measurement)
}

/// Servers behind Switchboard, the first of which is called.
async fn behind(way: &'static str, servers: &[Value]) -> Result<Vec<Row>> {
    let served = Switchboard::serve(servers).await?;
    let rows = over(way, served.address(), Some(served.pid())).await?;
    served.stop().await?;
    Ok(rows)
}

/// Whatever listens there, with the processor time of `watched`.
async fn over(way: &'static str, address: SocketAddr, watched: Option<u32>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for callers in CALLERS {
        let measurement = connected(address, watched, callers).await?;
        rows.push(Row { way, callers, measurement });
    }
    Ok(rows)
}

/// Every caller on a connection of its own that stays open.
async fn connected(
    address: SocketAddr,
    watched: Option<u32>,
    callers: usize,
) -> Result<Measurement> {
    let mut connections = Vec::with_capacity(callers);
    for _ in 0..callers {
        connections.push(http::Connection::open(address).await?);
    }
    measure::run(BOUNDS, callers, watched, || {
        connections.pop().ok_or_else(|| anyhow::anyhow!("a connection for each caller"))
    })
    .await
}
