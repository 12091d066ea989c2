//! What a run does, drawn in full from one seed before it begins: who calls what, and what goes
//! wrong when.

use std::{fmt, time::Duration};

use fastrand::Rng;

use super::fault::{Fault, PipeFault, WebFault};

/// Calls of all agents.
const CALLS_PER_MINUTE: u128 = 1800;
/// Kills of Switchboard apart.
const FAULTS_PER_MINUTE: u128 = 90;
/// Between two kills of Switchboard at least, so that there is something to kill.
const BETWEEN_KILLS: Duration = Duration::from_secs(8);

/// Whose servers nothing happens to.
pub const CALM: &str = "calm";
/// Sees every server that things happen to, one whose tools change among them.
pub const BUSY: &str = "busy";
/// Sees those whose tools stay what they are.
pub const STEADY: &str = "steady";
pub const AGENTS: [&str; 3] = [CALM, BUSY, STEADY];

/// A server of the fleet.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub name: &'static str,
    pub kind: Kind,
    pub modern: bool,
    /// Who may call it.
    pub agents: &'static [&'static str],
    /// Its agents share the store's connection.
    pub shared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A child process.
    Pipe,
    /// An HTTP server in this process.
    Web,
}

impl Server {
    /// Connections to it: the store's, and each agent's where they have their own.
    pub fn connections(&self) -> usize {
        1 + if self.shared { 0 } else { self.agents.len() }
    }

    pub fn is_sound(&self) -> bool {
        self.agents == [CALM]
    }
}

const fn pipe(name: &'static str, modern: bool, agents: &'static [&'static str]) -> Server {
    Server { name, kind: Kind::Pipe, modern, agents, shared: true }
}

const fn web(name: &'static str, modern: bool, agents: &'static [&'static str]) -> Server {
    Server { name, kind: Kind::Web, modern, agents, shared: true }
}

/// The server whose tools change.
pub const CHANGING: &str = "p6";
/// The server whose definition changes.
pub const REDEFINED: &str = "p4";

pub const SERVERS: [Server; 12] = [
    Server { shared: false, ..pipe("pure", false, &[CALM]) },
    Server { shared: false, ..web("wise", true, &[CALM]) },
    Server { shared: false, ..pipe("p1", false, &[BUSY, STEADY]) },
    pipe("p2", false, &[BUSY, STEADY]),
    pipe("p3", true, &[BUSY, STEADY]),
    pipe(REDEFINED, false, &[BUSY, STEADY]),
    pipe("p5", true, &[BUSY, STEADY]),
    pipe(CHANGING, false, &[BUSY]),
    Server { shared: false, ..web("w1", true, &[BUSY, STEADY]) },
    web("w2", false, &[BUSY, STEADY]),
    web("w3", true, &[BUSY, STEADY]),
    web("w4", false, &[BUSY, STEADY]),
];

/// One call. Its number is its place in the plan.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub at: Duration,
    pub agent: &'static str,
    pub server: Server,
    /// Of a tool that may be carried out again.
    pub safe: bool,
    pub work: Duration,
}

impl Call {
    /// The tool as its agent sees it.
    pub fn tool(&self) -> String {
        format!("{}_{}", self.server.name, if self.safe { "get_act" } else { "act" })
    }
}

/// A fault that befalls a server at its time.
#[derive(Clone, Copy, Debug)]
pub struct Blow {
    pub at: Duration,
    pub fault: Fault,
    /// Whom; of no meaning for those that befall Switchboard.
    pub server: Server,
    /// How long, where it lasts.
    pub lasts: Duration,
    /// Which of the server's processes, modulo their number.
    pub which: usize,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Nothing happens for so long, to compare with.
    pub quiet: Duration,
    /// The last Switchboard has come to rest and begins to grow old.
    pub middle: Duration,
    /// When the last call and the last fault may begin.
    pub end: Duration,
    pub calls: Vec<Call>,
    pub blows: Vec<Blow>,
}

fn some_time(rng: &mut Rng, from: Duration, to: Duration) -> Duration {
    from + to.abs_diff(from).mul_f64(rng.f64())
}

fn times(per_minute: u128, time: Duration) -> usize {
    usize::try_from(per_minute * time.as_millis() / 60_000).unwrap()
}

fn call(rng: &mut Rng, end: Duration) -> Call {
    let agent = AGENTS[rng.usize(..AGENTS.len())];
    let servers: Vec<Server> =
        SERVERS.into_iter().filter(|server| server.agents.contains(&agent)).collect();
    Call {
        at: some_time(rng, Duration::ZERO, end),
        agent,
        server: servers[rng.usize(..servers.len())],
        safe: rng.u8(..3) == 0,
        work: Duration::from_millis(if rng.u8(..10) == 0 {
            rng.u64(200..1500)
        } else {
            rng.u64(..40)
        }),
    }
}

fn blow(rng: &mut Rng, from: Duration, to: Duration) -> Blow {
    let unsound: Vec<Server> = SERVERS.into_iter().filter(|one| !one.is_sound()).collect();
    let mut server = unsound[rng.usize(..unsound.len())];
    let fault = match (rng.u8(..12), server.kind) {
        (0, _) => Fault::Changed,
        (1, _) if rng.bool() => Fault::Reload,
        (1, _) => Fault::Redefined,
        (_, Kind::Pipe) => Fault::Pipe(PipeFault::ALL[rng.usize(..PipeFault::ALL.len())]),
        (_, Kind::Web) => Fault::Web(WebFault::ALL[rng.usize(..WebFault::ALL.len())]),
    };
    if fault == Fault::Changed {
        server = find(CHANGING);
    }
    Blow {
        at: some_time(rng, from, to),
        fault,
        server,
        lasts: some_time(rng, Duration::from_millis(300), Duration::from_secs(4)),
        which: rng.usize(..),
    }
}

/// The server of a name.
pub fn find(name: &str) -> Server {
    SERVERS.into_iter().find(|server| server.name == name).expect("one of the fleet")
}

impl Plan {
    /// A run with faults for so long.
    pub fn new(seed: u64, chaos: Duration) -> Self {
        let mut rng = Rng::with_seed(seed);
        let quiet = chaos / 4;
        let end = quiet + chaos;
        let mut calls: Vec<Call> =
            (0..times(CALLS_PER_MINUTE, end)).map(|_| call(&mut rng, end)).collect();
        calls.sort_by_key(|call| call.at);
        let mut blows: Vec<Blow> =
            (0..times(FAULTS_PER_MINUTE, chaos)).map(|_| blow(&mut rng, quiet, end)).collect();
        // In the first half, so that the rest of a long run shows one process's memory.
        let mut kill = some_time(&mut rng, quiet + chaos / 8, quiet + chaos / 4);
        for _ in 0..rng.u8(1..=2) {
            blows.push(Blow { at: kill, fault: Fault::Killed, ..blow(&mut rng, quiet, end) });
            kill += BETWEEN_KILLS.max(chaos / 4);
        }
        blows.retain(|blow| blow.at < end);
        let kills = blows.iter().filter(|blow| blow.fault == Fault::Killed);
        let last = kills.map(|blow| blow.at).max().unwrap_or(quiet);
        blows.sort_by_key(|blow| blow.at);
        Self { seed, quiet, middle: last + end.abs_diff(last) / 3, end, calls, blows }
    }
}

/// The schedule as a table.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} calls; quiet until {:?}, over at {:?}",
            self.calls.len(),
            self.quiet,
            self.end
        )?;
        for Blow { at, fault, server, lasts, .. } in &self.blows {
            let (at, lasts, server) = (at.as_secs_f64(), lasts.as_secs_f64(), server.name);
            writeln!(f, "{at:8.3} s  {server:5} {lasts:5.2} s  {fault:?}")?;
        }
        Ok(())
    }
}
