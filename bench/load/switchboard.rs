//! `switchboard serve` with demonstration servers behind it.

use std::{fs, net::SocketAddr, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{interval, timeout},
};

use super::{PROGRAM, http::Connection};

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running instance; `demo0` and its like are its servers.
pub struct Switchboard {
    child: Child,
    pid: u32,
    address: SocketAddr,
    _directory: TempDir,
}

impl Switchboard {
    /// Starts it with servers by their entries and waits until all of them are listed.
    pub async fn serve(servers: &[Value]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("config.json");
        fs::write(&file, configuration(servers).to_string())?;
        let mut child = Command::new(PROGRAM)
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
        let served = Self { child, pid, address, _directory: directory };
        timeout(PATIENCE, served.all_listed(servers.len())).await??;
        Ok(served)
    }

    async fn all_listed(&self, servers: usize) -> Result<()> {
        let mut connection = Connection::open(self.address).await?;
        let mut ticks = interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            let list = connection.request("tools/list", None, "").await?.body;
            if (0..servers).all(|server| list.contains(&format!("\"demo{server}_echo\""))) {
                return Ok(());
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Memory of its process that is resident now, in MB, without its children.
    pub fn resident_mb(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        let kilobytes: u32 = kilobytes.context("no VmRSS")?.parse()?;
        Ok(f64::from(kilobytes) / 1024.0)
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

/// The entry of a demonstration server, with room for every caller: what is measured is the way,
/// not the waiting.
pub fn demo() -> Value {
    json!({"command": PROGRAM, "args": ["demo-server"], "max_in_flight": 64})
}

fn configuration(servers: &[Value]) -> Value {
    let servers: Map<String, Value> = servers
        .iter()
        .enumerate()
        .map(|(number, server)| (format!("demo{number}"), server.clone()))
        .collect();
    json!({ "mcpServers": servers })
}
