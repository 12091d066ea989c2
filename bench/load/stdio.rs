//! A server as a child of the bench, and the least that multiplexes calls on its pipe: what
//! Switchboard is compared with.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::measure::Caller;

type Pending = Arc<Mutex<HashMap<u64, oneshot::Sender<bool>>>>;

/// A running `demo-server`.
pub struct Server {
    child: Child,
    lines: mpsc::UnboundedSender<Vec<u8>>,
    pending: Pending,
    next_id: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Starts it and opens a legacy session.
    pub async fn start(program: &str) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("demo-server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().context("no input")?;
        let stdout = child.stdout.take().context("no output")?;
        // Bounded by the callers: each waits for its answer before it sends again.
        let (lines, outgoing) = mpsc::unbounded_channel();
        let pending = Pending::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(write(stdin, outgoing));
        tasks.spawn(read(stdout, Arc::clone(&pending)));
        let server = Self { child, lines, pending, next_id: Arc::new(AtomicU64::new(1)), tasks };
        server.caller("").initialize().await?;
        Ok(server)
    }

    /// One more caller on the pipe, with the text that it sends.
    pub fn caller(&self, text: &str) -> Multiplexed {
        Multiplexed {
            text: text.to_owned(),
            lines: self.lines.clone(),
            pending: Arc::clone(&self.pending),
            next_id: Arc::clone(&self.next_id),
        }
    }

    /// Closes its input and waits for its end.
    pub async fn stop(self) -> Result<()> {
        let Self { mut child, tasks, .. } = self;
        drop(tasks);
        timeout(Duration::from_secs(10), child.wait()).await??;
        Ok(())
    }
}

async fn write(mut stdin: ChildStdin, mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = outgoing.recv().await {
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// The little of a response that is looked at.
#[derive(Deserialize)]
struct Response<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

async fn read(stdout: ChildStdout, pending: Pending) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(Response { id: Some(id), result }) = serde_json::from_str(&line) else {
            continue;
        };
        let waiting = pending.lock().ok().and_then(|mut pending| pending.remove(&id));
        if let Some(waiting) = waiting {
            // A caller that is gone needs no answer.
            waiting.send(result.is_some()).ok();
        }
    }
}

/// One caller among many on the pipe.
pub struct Multiplexed {
    text: String,
    lines: mpsc::UnboundedSender<Vec<u8>>,
    pending: Pending,
    next_id: Arc<AtomicU64>,
}

impl Multiplexed {
    async fn request(&self, method: &str, params: &str) -> Result<()> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.pending
            .lock()
            .map_err(|_| anyhow::anyhow!("another caller failed"))?
            .insert(id, answer);
        let line = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}\n"
        );
        self.lines.send(line.into_bytes())?;
        ensure!(answered.await?, "{method} was answered with an error");
        Ok(())
    }

    async fn initialize(&self) -> Result<()> {
        let params = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1"}}"#;
        self.request("initialize", params).await?;
        let initialized = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";
        self.lines.send(initialized.to_vec())?;
        Ok(())
    }
}

impl Caller for Multiplexed {
    async fn call(&mut self) -> Result<()> {
        let Self { text, .. } = &*self;
        let params = format!("{{\"name\":\"echo\",\"arguments\":{{\"text\":\"{text}\"}}}}");
        self.request("tools/call", &params).await
    }
}
