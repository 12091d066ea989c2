//! Large answers, answers in many parts, and many changes at once.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use switchboard::{
    catalog::Versions,
    id::ServerName,
    runtime::{Runtime, RuntimeConfig, ServerConfig},
    upstream::{Protocol, TransportConfig, stream::ByteStream},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex, split},
    sync::broadcast,
    task::JoinSet,
    time::timeout,
};

use super::{
    figure::Figures,
    http::Connection,
    plan::Plan,
    process,
    server::{self, Form, Server},
    switchboard::Switchboard,
};

/// Bytes of the large result.
const LARGE: u32 = 50_000_000;
/// Notifications of one call.
const NOTIFICATIONS: u32 = 10_000;
/// Servers whose lists change at once.
const CHANGING: usize = 100;

pub const PEAK: &str = "a result of 50 MB: memory at most, above idle, over its size";
pub const PROGRESS: &str = "10,000 progress notifications of one call, in order, CPU of each";
pub const BURST: &str = "lists that change at once at 100 servers: views built";

/// Everything of this file that is wanted.
pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    if plan.wants(PEAK) {
        figures.add(PEAK, peak().await?, "times");
    }
    if plan.wants(PROGRESS) {
        figures.add(PROGRESS, progress().await?, "µs");
    }
    if plan.wants(BURST) {
        figures.add(BURST, burst().await?, "");
    }
    Ok(())
}

async fn peak() -> Result<f64> {
    let server = Server::start(Form::Json, 1).await?;
    let served = Switchboard::serve(&[server.entry()], &json!({}), &[]).await?;
    let mut client = Connection::open(served.address(), "/mcp").await?;
    let mut call = async |count: u32| {
        let params = format!("\"name\":\"demo0_big\",\"arguments\":{{\"count\":{count}}},");
        client.request("tools/call", "demo0_big", &params).await
    };
    call(1).await?;
    let idle = process::resident(served.pid(), "VmRSS")?;
    process::forget_peak(served.pid())?;
    let answer = call(LARGE).await?;
    ensure!(answer.len() > usize::try_from(LARGE)?, "an answer of {} bytes", answer.len());
    let peak = process::resident(served.pid(), "VmHWM")?;
    served.stop().await?;
    Ok((peak - idle) / f64::from(LARGE))
}

async fn progress() -> Result<f64> {
    let served = Switchboard::serve(&[server::stdio_entry()?], &json!({}), &[]).await?;
    let mut client = Connection::open(served.address(), "/mcp").await?;
    let params =
        format!("\"name\":\"demo0_progress\",\"arguments\":{{\"count\":{NOTIFICATIONS}}},");
    let before = process::used(served.pid())?;
    let answer = client.with_progress("tools/call", "demo0_progress", &params).await?;
    let after = process::used(served.pid())?;
    served.stop().await?;
    let numbers = answer.split("\"progress\":").skip(1);
    let numbers = numbers.filter_map(|rest| rest.split([',', '}', '.']).next()?.parse().ok());
    let numbers: Vec<u32> = numbers.collect();
    ensure!(numbers.is_sorted(), "notifications came out of order");
    let count = u32::try_from(numbers.len())?;
    println!("{count} of {NOTIFICATIONS} notifications arrived");
    Ok(after.micros_since(&before) / f64::from(NOTIFICATIONS))
}

/// Servers in this process whose lists all change when they are told to.
async fn burst() -> Result<f64> {
    let runtime = Runtime::spawn(RuntimeConfig::default()).await?;
    let store = runtime.store();
    let (change, _) = broadcast::channel::<()>(1);
    let lists = Arc::new(AtomicU32::new(0));
    for number in 0..CHANGING {
        let (change, lists) = (change.clone(), Arc::clone(&lists));
        let lives = Mutex::new(JoinSet::new());
        let open = move || {
            let (ours, theirs) = duplex(64 * 1024);
            let serving = serve(theirs, change.subscribe(), Arc::clone(&lists));
            if let Ok(mut lives) = lives.lock() {
                lives.spawn(serving);
            }
            std::future::ready(io::Result::Ok(ours))
        };
        let config = ServerConfig {
            protocol: Protocol::Legacy,
            ..ServerConfig::new(TransportConfig::InProcess)
        };
        let name = ServerName::new(format!("server-{number}"))?;
        store.add_connector(name.clone(), config, Arc::new(ByteStream::new(open))).await?;
        store.wait_ready(&name, Duration::from_secs(10)).await?;
    }
    let mut versions = store.changes()?;
    let listed = lists.load(Ordering::Relaxed);
    let before = version(&versions.borrow_and_update());
    change.send(()).context("no server listens")?;
    let all_new = async {
        loop {
            let view = store.tools()?;
            if view.tools().iter().filter(|tool| tool.exposed.contains("second")).count()
                == CHANGING
            {
                return anyhow::Ok(());
            }
            versions.changed().await?;
        }
    };
    timeout(Duration::from_mins(1), all_new).await??;
    ensure!(lists.load(Ordering::Relaxed) >= listed + 100, "not every list was read again");
    let after = version(&store.changes()?.borrow());
    runtime.stop().await;
    Ok(f64::from(u32::try_from(after - before)?))
}

fn version(versions: &Versions) -> u64 {
    versions.tools
}

/// A legacy server with one tool, which is another one after the change.
async fn serve(
    stream: DuplexStream,
    mut change: broadcast::Receiver<()>,
    lists: Arc<AtomicU32>,
) -> io::Result<()> {
    let (source, mut sink) = split(stream);
    let mut lines = BufReader::new(source).lines();
    let mut tool = "first";
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            Ok(()) = change.recv() => {
                tool = "second";
                sink.write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n").await?;
                continue;
            }
        };
        let Some(line) = line else { return Ok(()) };
        let asked: Value = serde_json::from_str(&line)?;
        let (Some(id), Some(method)) = (asked.get("id"), asked.get("method")) else { continue };
        let result = match method.as_str() {
            Some("initialize") => json!({
                "protocolVersion": "2025-11-25", "serverInfo": { "name": "s", "version": "1" },
                "capabilities": { "tools": { "listChanged": true } },
            }),
            Some("tools/list") => {
                lists.fetch_add(1, Ordering::Relaxed);
                json!({ "tools": [{ "name": tool, "inputSchema": { "type": "object" } }] })
            }
            _ => json!({}),
        };
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
        sink.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}
