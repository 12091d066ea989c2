//! The load run behind `make bench`: one demonstration server, called directly over stdio and
//! through `switchboard serve` over HTTP; a table goes to standard output and to
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
mod report;
mod stdio;
mod switchboard;

use std::{path::Path, time::Duration};

use anyhow::Result;
use measure::{Bounds, Measurement};
use report::{Report, Row};
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
    let mut rows = Vec::new();
    for callers in CALLERS {
        rows.push(Row { way: "directly, stdio", callers, measurement: directly(callers).await? });
    }
    let served = Switchboard::serve(1).await?;
    for callers in CALLERS {
        rows.push(Row {
            way: "through Switchboard, HTTP",
            callers,
            measurement: through(&served, callers).await?,
        });
    }
    served.stop().await?;

    let idle = Switchboard::serve(IDLE_SERVERS).await?;
    let resident_mb = idle.resident_mb()?;
    idle.stop().await?;

    let report = Report { rows, idle_servers: IDLE_SERVERS, resident_mb };
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

/// The same server behind Switchboard: every caller on a connection of its own that stays open.
async fn through(served: &Switchboard, callers: usize) -> Result<Measurement> {
    let mut connections = Vec::with_capacity(callers);
    for _ in 0..callers {
        connections.push(http::Connection::open(served.address()).await?);
    }
    let pid = served.pid();
    measure::run(BOUNDS, callers, Some(pid), || {
        connections.pop().ok_or_else(|| anyhow::anyhow!("a connection for each caller"))
    })
    .await
}
