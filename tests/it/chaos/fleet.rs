//! The servers, their journals, and what befalls them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::process::Signal;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::{
    board::Board,
    fault::{Fault, PipeFault},
    plan::{AGENTS, Blow, Kind, SERVERS, Server},
    web::Web,
};
use crate::support::{
    outgoing::heard_in,
    process::{self, MARK, marked},
};

const PROGRAM: &str = include_str!("server.py");

/// The servers.
pub struct Fleet {
    directory: tempfile::TempDir,
    webs: BTreeMap<&'static str, Web>,
    mark: String,
    /// Processes that were killed, and when.
    deaths: Mutex<Vec<Death>>,
}

/// A process that was killed.
#[derive(Clone, Debug)]
pub struct Death {
    pub server: &'static str,
    pub at: Duration,
}

/// A line of a process's journal.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    Started { pid: u32 },
    Listed,
    Ran { call: usize },
}

/// Time since 1970, by which the journals go.
pub fn clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The interpreter itself: what stands first in PATH may be a slow script that finds it.
fn python() -> PathBuf {
    let asked = ["-c", "import sys; print(sys.executable)"];
    let output = Command::new("python3").args(asked).output().expect("python3 is there");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

impl Fleet {
    /// Servers that are ready to be started, and HTTP servers that run. Every process carries the
    /// mark.
    pub async fn new(mark: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("server.py"), PROGRAM).unwrap();
        let mut webs = BTreeMap::new();
        for server in SERVERS {
            match server.kind {
                Kind::Pipe => fs::create_dir(directory.path().join(server.name)).unwrap(),
                Kind::Web => drop(webs.insert(server.name, Web::serve(server.modern).await)),
            }
        }
        Self { directory, webs, mark: mark.to_owned(), deaths: Mutex::default() }
    }

    fn folder(&self, server: &str) -> PathBuf {
        self.directory.path().join(server)
    }

    /// What Switchboard is to know. Calls have `call` to end.
    pub fn config(&self, call: Duration) -> Value {
        let python = python();
        let program = self.directory.path().join("server.py");
        let entry = |server: Server| {
            let era = if server.modern { "modern" } else { "legacy" };
            let mut entry = match server.kind {
                Kind::Pipe => json!({
                    "command": python,
                    "args": ["-S", "-E", program, self.folder(server.name), era],
                    "env": { MARK: self.mark },
                }),
                Kind::Web => json!({ "url": self.webs[server.name].url() }),
            };
            entry["protocol"] = json!(era);
            entry["isolation"] = json!(if server.shared { "shared" } else { "agent" });
            entry["tools"] = json!({ "get_*": { "retry": "safe" } });
            (server.name.to_owned(), entry)
        };
        let agent = |agent: &&str| {
            let granted = SERVERS.iter().filter(|server| server.agents.contains(agent));
            let granted: Vec<&str> = granted.map(|server| server.name).collect();
            ((*agent).to_owned(), json!({ "servers": granted }))
        };
        json!({
            "mcpServers": SERVERS.into_iter().map(entry).collect::<Map<_, _>>(),
            "agents": AGENTS.iter().map(agent).collect::<Map<_, _>>(),
            "monitoring": { "health_check_seconds": 1, "reconnection_seconds": 3 },
            "timeouts": {
                "call": format!("{}s", call.as_secs()),
                "start": "10s",
                "connect": "5s",
                "health_check": "3s",
                "hang": "4s",
            },
        })
    }

    /// What the processes of a server wrote, and when.
    pub fn journal(&self, server: &str) -> Vec<(Duration, Entry)> {
        let text = fs::read_to_string(self.folder(server).join("journal")).unwrap_or_default();
        text.lines()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let &[what, number, at] = words.as_slice() else { panic!("{server}: {line:?}") };
                let entry = match what {
                    "started" => Entry::Started { pid: number.parse().unwrap() },
                    "listed" => Entry::Listed,
                    "ran" => Entry::Ran { call: number.parse().unwrap() },
                    other => panic!("{server}: {other:?}"),
                };
                (Duration::from_nanos(at.parse().unwrap()), entry)
            })
            .collect()
    }

    /// How often each call was carried out.
    pub fn ran(&self) -> BTreeMap<usize, usize> {
        let mut ran = BTreeMap::new();
        for server in SERVERS {
            for (_, entry) in self.journal(server.name) {
                if let Entry::Ran { call } = entry {
                    *ran.entry(call).or_default() += 1;
                }
            }
        }
        for web in self.webs.values() {
            ran.extend(web.ran());
        }
        ran
    }

    pub fn deaths(&self) -> Vec<Death> {
        self.deaths.lock().unwrap().clone()
    }

    /// One of the server's processes that runs.
    fn process(&self, blow: &Blow) -> Option<u32> {
        let ours = marked(&self.mark);
        let started = self.journal(blow.server.name).into_iter();
        let alive: Vec<u32> = started
            .filter_map(|(_, entry)| match entry {
                Entry::Started { pid } => Some(pid),
                Entry::Listed | Entry::Ran { .. } => None,
            })
            .filter(|pid| ours.contains(pid) && process::is_alive(*pid))
            .collect();
        alive.get(blow.which % alive.len().max(1)).copied()
    }

    fn order(&self, blow: &Blow, words: &str) {
        write_whole(&self.folder(blow.server.name).join("order"), words);
        if let Some(pid) = self.process(blow) {
            process::signal(pid, Signal::USR1);
        }
    }

    fn kill(&self, blow: &Blow) {
        if let Some(pid) = self.process(blow) {
            let server = blow.server.name;
            self.deaths.lock().unwrap().push(Death { server, at: clock() });
            process::kill(pid);
        }
    }

    /// New processes fare so until that is over.
    async fn born(&self, blow: &Blow, words: &str) {
        let birth = self.folder(blow.server.name).join("birth");
        write_whole(&birth, words);
        self.kill(blow);
        sleep(blow.lasts).await;
        // Another blow of this kind may have ended before.
        fs::remove_file(birth).ok();
    }

    /// Carries out a blow, to its end.
    pub async fn strike(&self, blow: &Blow, board: &Board) {
        let words = format!("{:?}", blow.at);
        match blow.fault {
            Fault::Pipe(fault) => self.strike_process(fault, blow).await,
            Fault::Web(fault) => self.webs[blow.server.name].suffer(fault, blow.lasts).await,
            Fault::Changed => {
                let extra = self.folder(blow.server.name).join("extra");
                if fs::remove_file(&extra).is_err() {
                    fs::write(extra, "").unwrap();
                }
                self.order(blow, "change");
            }
            Fault::Reload => board.reload(blow.server.name, &words).await,
            Fault::Redefined => board.redefine(&words).await,
            Fault::Killed => board.kill().await,
        }
    }

    async fn strike_process(&self, fault: PipeFault, blow: &Blow) {
        let seconds = blow.lasts.as_secs_f64();
        match fault {
            PipeFault::Kill => self.kill(blow),
            PipeFault::Stop => {
                let Some(pid) = self.process(blow) else { return };
                process::signal(pid, Signal::STOP);
                sleep(blow.lasts).await;
                if marked(&self.mark).contains(&pid) {
                    process::signal(pid, Signal::CONT);
                }
            }
            PipeFault::Hang => self.order(blow, &format!("hang {seconds}")),
            PipeFault::Garbage => self.order(blow, "garbage"),
            PipeFault::Truncated => self.order(blow, "truncate"),
            PipeFault::Closed => self.order(blow, "close"),
            PipeFault::Flood => self.order(blow, "flood"),
            PipeFault::SlowStart => self.born(blow, &format!("slow {}", seconds / 2.0)).await,
            PipeFault::CrashLoop => self.born(blow, "crash").await,
        }
    }
}

/// A run that fails leaves no process behind either. What the servers heard was of their revision.
impl Drop for Fleet {
    fn drop(&mut self) {
        marked(&self.mark).into_iter().for_each(process::kill);
        heard_in(self.directory.path());
    }
}

/// So that nobody reads half of it.
fn write_whole(path: &Path, words: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, words).unwrap();
    fs::rename(beside, path).unwrap();
}
