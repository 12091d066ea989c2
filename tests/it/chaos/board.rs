//! The Switchboard under fire: one process after another, on the same state directory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::plan::{AGENTS, REDEFINED};
use crate::support::{
    binary::Switchboard,
    http::Client,
    process::{self, children, descriptors, marked},
    wait::until,
};

/// How much later a child of a Switchboard that was killed counts as an orphan.
const GRACE: Duration = Duration::from_secs(1);

/// What callers need to know of the process that serves now.
#[derive(Clone)]
pub struct Now {
    /// Which process it is, from 0.
    pub epoch: usize,
    /// Killed, and the next one does not serve yet.
    pub down: bool,
    clients: Arc<BTreeMap<&'static str, Client>>,
}

impl Now {
    pub fn client(&self, agent: &str) -> &Client {
        &self.clients[agent]
    }

    fn of(switchboard: &Switchboard, epoch: usize) -> Self {
        let client = |agent| (agent, Client::new(format!("{}/{agent}", switchboard.url())));
        Self { epoch, down: false, clients: Arc::new(AGENTS.map(client).into()) }
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Holds {
    pub descriptors: usize,
    pub resident_kib: u64,
}

/// The Switchboard.
pub struct Board {
    now: Mutex<Now>,
    running: tokio::sync::Mutex<Option<Switchboard>>,
    config: Mutex<Value>,
    mark: String,
    /// Kills, in order.
    kills: Mutex<Vec<Kill>>,
}

/// What a kill left behind.
#[derive(Clone, Debug)]
pub struct Kill {
    pub at: Instant,
    /// Children of the killed process that were there a second later.
    pub orphans: usize,
    /// Until the next process answered.
    pub until_serving: Duration,
}

impl Board {
    pub async fn serve(config: Value, mark: &str) -> Self {
        let switchboard = Switchboard::serve(&config).await;
        Self {
            now: Mutex::new(Now::of(&switchboard, 0)),
            running: tokio::sync::Mutex::new(Some(switchboard)),
            config: Mutex::new(config),
            mark: mark.to_owned(),
            kills: Mutex::default(),
        }
    }

    pub fn now(&self) -> Now {
        self.now.lock().unwrap().clone()
    }

    pub fn kills(&self) -> Vec<Kill> {
        self.kills.lock().unwrap().clone()
    }

    /// Kills it, starts it again, and clears away what the first one left.
    pub async fn kill(&self) {
        let mut running = self.running.lock().await;
        let before = marked(&self.mark);
        self.now.lock().unwrap().down = true;
        let at = Instant::now();
        let next = running.take().unwrap().crash().await;
        let until_serving = at.elapsed();
        let epoch = self.now().epoch + 1;
        *self.now.lock().unwrap() = Now::of(&next, epoch);
        *running = Some(next);
        drop(running);
        sleep_until(at + GRACE).await;
        let there = marked(&self.mark);
        let orphans: Vec<u32> = before.into_iter().filter(|pid| there.contains(pid)).collect();
        for orphan in &orphans {
            process::kill(*orphan);
        }
        let orphans = orphans.len();
        self.kills.lock().unwrap().push(Kill { at, orphans, until_serving });
    }

    /// Changes what needs no new connection, and says so.
    pub async fn reload(&self, server: &str, words: &str) {
        self.change(|config| config["mcpServers"][server]["description"] = json!(words)).await;
        if let Some(switchboard) = &*self.running.lock().await {
            process::signal(switchboard.pid(), Signal::HUP);
        }
    }

    /// Changes what needs a new connection, and only saves it.
    pub async fn redefine(&self, generation: &str) {
        self.change(|config| {
            config["mcpServers"][REDEFINED]["env"]["GENERATION"] = json!(generation);
        })
        .await;
    }

    async fn change(&self, change: impl FnOnce(&mut Value)) {
        let running = self.running.lock().await;
        let mut config = self.config.lock().unwrap();
        change(&mut config);
        if let Some(switchboard) = &*running {
            switchboard.configure(&config);
        }
    }

    /// What it holds now.
    pub async fn holds(&self) -> Holds {
        let pid = self.running.lock().await.as_ref().unwrap().pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident_kib = resident.trim().trim_end_matches(" kB").parse().unwrap();
        Holds { descriptors: descriptors(pid), resident_kib }
    }

    /// Waits until every connection is ready, or idle because nobody has called it yet, and says
    /// how long that took; or which are not, after this long.
    pub async fn all_ready(&self, bound: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        let running = self.running.lock().await;
        let switchboard = running.as_ref().unwrap();
        loop {
            let status = switchboard.status().await;
            let servers = status["servers"].as_array().unwrap();
            let fine =
                |server: &&Value| ["ready", "idle"].contains(&server["state"].as_str().unwrap());
            if servers.iter().all(|server| fine(&server)) {
                return Ok(began.elapsed());
            }
            if began.elapsed() > bound {
                let not: Vec<String> =
                    servers.iter().filter(|server| !fine(server)).map(Value::to_string).collect();
                return Err(not.join("\n"));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it holds no more descriptors than so many and no child that ended.
    pub async fn lets_go(&self, most: usize) {
        // Our own connections are no leak.
        *self.now.lock().unwrap() = Now { clients: Arc::default(), ..self.now() };
        let pid = self.running.lock().await.as_ref().unwrap().pid();
        until("descriptors are closed and children reaped", async || {
            (descriptors(pid) <= most && children(pid).1 == 0).then_some(())
        })
        .await;
    }

    /// What Prometheus would read.
    pub async fn metrics(&self) -> String {
        let running = self.running.lock().await;
        let url = running.as_ref().unwrap().url().replace("/mcp", "/metrics");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(url).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }

    /// Ends it in order; then nothing that it started is there. Returns what the last process said.
    pub async fn stop(self) -> String {
        let switchboard = self.running.into_inner().unwrap();
        let log = switchboard.log();
        assert!(switchboard.stop().await.success());
        until("no process is left", async || marked(&self.mark).is_empty().then_some(())).await;
        log
    }
}
