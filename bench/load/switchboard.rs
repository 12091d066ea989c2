//! `switchboard serve` with some servers behind it.

use std::{fs, net::SocketAddr, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, interval, timeout},
};

use super::{PROGRAM, http};

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running instance; `demo0` and its like are its servers.
pub struct Switchboard {
    child: Child,
    pid: u32,
    address: SocketAddr,
    /// From its start until every server was connected.
    pub took: Duration,
    _directory: TempDir,
}

impl Switchboard {
    /// Starts it and waits until all of its servers are connected; `more` is put into its
    /// configuration, `tool` and its arguments before it.
    pub async fn serve(servers: &[Value], more: &Value, tool: &[String]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("config.json");
        fs::write(&file, configuration(servers, more).to_string())?;
        let start = Instant::now();
        let mut words = tool.iter().map(String::as_str).chain([PROGRAM]);
        let mut child = Command::new(words.next().context("a program")?)
            .args(words)
            .args(["serve", "--port", "0", "--config"])
            .arg(&file)
            .current_dir(directory.path())
            .env("SWITCHBOARD_STATE_DIR", directory.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("it ended at once")?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let ready = timeout(PATIENCE, lines.next_line()).await??;
        let ready = ready.context("it ended before it was ready")?;
        let address = ready
            .split_once("http://")
            .and_then(|(_, rest)| rest.split('/').next())
            .with_context(|| format!("no address in {ready:?}"))?
            .parse()?;
        let took = Duration::ZERO;
        let mut served = Self { child, pid, address, took, _directory: directory };
        timeout(PATIENCE, served.connected(servers.len())).await??;
        served.took = start.elapsed();
        Ok(served)
    }

    async fn connected(&self, servers: usize) -> Result<()> {
        let all = format!("\"active_connections\":{servers},");
        let mut ticks = interval(Duration::from_millis(20));
        while !http::get(self.address, "/health").await?.contains(&all) {
            ticks.tick().await;
        }
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to end and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid)?).context("a process id is positive")?;
        kill_process(pid, Signal::TERM)?;
        let status = timeout(PATIENCE, self.child.wait()).await??;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

/// The entry of a demonstration server, with room for every caller.
pub fn demo() -> Value {
    json!({
        "command": PROGRAM, "args": ["demo-server"], "max_in_flight": 256, "max_queue": 1024,
    })
}

fn configuration(servers: &[Value], more: &Value) -> Value {
    let servers: Map<String, Value> = servers
        .iter()
        .enumerate()
        .map(|(number, server)| (format!("demo{number}"), server.clone()))
        .collect();
    let mut all = json!({ "mcpServers": servers });
    if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    all
}
