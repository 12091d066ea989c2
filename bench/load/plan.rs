//! What is measured: a base case, and each of its dimensions varied by itself.
//!
//! Plain data; starts nothing.

use std::{env, time::Duration};

use anyhow::Result;

use super::{measure::Bounds, server::Form};

/// Who stands between the callers and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nobody; of a server over standard streams a bare multiplexer in the bench.
    Direct,
    /// nginx as a plain reverse proxy.
    Nginx,
    /// `switchboard serve`.
    Switchboard,
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub way: Way,
    pub server: Form,
    /// The callers are of a revision before 2026-07-28 and open a session each.
    pub legacy: bool,
    /// They ask for progress, so that they may be answered by a stream.
    pub progress: bool,
    /// Bytes of text that go there and come back.
    pub size: usize,
    /// At a time.
    pub callers: usize,
    /// At most as many as there are callers are called, each by callers of its own.
    pub servers: usize,
    /// Whose views the callers use in turn; none is the store's.
    pub agents: usize,
}

/// What every other case differs from in one thing.
pub const BASE: Case = Case {
    way: Way::Switchboard,
    server: Form::Json,
    legacy: false,
    progress: false,
    size: 200,
    callers: 64,
    servers: 1,
    agents: 0,
};

/// Callers at a time.
pub const CALLERS: [usize; 4] = [1, 16, 64, 256];

impl Case {
    /// What it is called in the table.
    pub fn name(&self) -> String {
        let Self { way, server, legacy, progress, size, callers, servers, agents } = *self;
        let way = match (way, server) {
            (Way::Direct, Form::Stdio) => "multiplexer",
            (Way::Direct, _) => "directly",
            (Way::Nginx, _) => "nginx",
            (Way::Switchboard, _) => "Switchboard",
        };
        let server = match server {
            Form::Json => "HTTP",
            Form::Sse => "HTTP, SSE",
            Form::Sessions => "HTTP, legacy sessions",
            Form::Stdio => "stdio",
        };
        let mut name = format!("{way}, {server}");
        let notes = [
            (legacy && self.server != Form::Sessions, "legacy clients".to_owned()),
            (progress, "answered by streams".to_owned()),
            (size != BASE.size && size < 1_000_000, format!("{} KB", size / 1000)),
            (size >= 1_000_000, format!("{} MB", size / 1_000_000)),
            (servers != BASE.servers, format!("{servers} servers")),
            (agents != BASE.agents, format!("{agents} agents")),
        ];
        for (_, note) in notes.into_iter().filter(|(is_so, _)| *is_so) {
            name = name + ", " + &note;
        }
        format!("{name}, {callers}")
    }
}

/// Every case, in the order of the table.
pub fn cases() -> Vec<Case> {
    let ways = [Way::Direct, Way::Nginx, Way::Switchboard];
    let mut cases = Vec::new();
    for callers in CALLERS {
        cases.extend(ways.map(|way| Case { way, callers, ..BASE }));
    }
    // Near to what they are compared with: machines become slower and faster within a round.
    cases.extend([20, 200].map(|servers| Case { servers, ..BASE }));
    cases.extend([1, 50].map(|agents| Case { agents, ..BASE }));
    for callers in CALLERS {
        let stdio = |way| Case { way, callers, server: Form::Stdio, ..BASE };
        cases.extend([Way::Direct, Way::Switchboard].map(stdio));
    }
    cases.extend(ways.map(|way| Case { way, server: Form::Sse, ..BASE }));
    cases.extend([
        Case { progress: true, ..BASE },
        Case { legacy: true, ..BASE },
        Case { way: Way::Direct, legacy: true, server: Form::Sessions, ..BASE },
        Case { legacy: true, server: Form::Sessions, ..BASE },
        Case { legacy: true, server: Form::Stdio, ..BASE },
    ]);
    for size in [10_000, 1_000_000] {
        cases.extend(ways.map(|way| Case { way, size, ..BASE }));
        cases.push(Case { size, server: Form::Stdio, ..BASE });
    }
    cases
}

/// How long, how often, and which.
pub struct Plan {
    /// When one run of a case ends.
    pub bounds: Bounds,
    /// Of each case; the middle one counts.
    pub runs: usize,
    /// Calls of the long run.
    pub long: u64,
    /// Parts of the names of what is measured, with `|` between them; all of it otherwise.
    pub only: Option<String>,
}

impl Plan {
    /// As `BENCH_SECONDS`, `BENCH_RUNS`, `BENCH_LONG` and `BENCH_ONLY` say.
    pub fn of_environment() -> Result<Self> {
        let set = |name: &str| env::var(name).ok();
        let seconds: f64 = set("BENCH_SECONDS").map_or(Ok(4.0), |it| it.parse())?;
        Ok(Self {
            bounds: Bounds { calls: u64::MAX, time: Duration::from_secs_f64(seconds) },
            runs: set("BENCH_RUNS").map_or(Ok(3), |it| it.parse())?,
            long: set("BENCH_LONG").map_or(Ok(1_000_000), |it| it.parse())?,
            only: set("BENCH_ONLY"),
        })
    }

    /// Whether something of this name is measured.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split('|').any(|part| name.contains(part)))
    }

    /// Whether the figures are complete, so that they may be published.
    pub fn is_whole(&self) -> bool {
        self.only.is_none()
    }
}
