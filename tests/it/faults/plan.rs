//! What happens in one run, drawn from one number: who is there, who calls what and when, and what
//! goes wrong when. It decides everything that is random in a run; it runs nothing.

use std::time::Duration;

use fastrand::Rng;
use switchboard::{restart::Strategy, runtime::Isolation};

/// Calls come and faults happen within so many milliseconds.
const WORKLOAD: u64 = 60_000;
/// One run.
#[derive(Debug)]
pub struct Plan {
    pub servers: Vec<ServerPlan>,
    /// What each agent was granted, by places in `servers`; the last agent has sound ones only.
    pub agents: Vec<Vec<usize>>,
    pub group: Option<(Strategy, Vec<usize>)>,
    pub calls: Vec<CallPlan>,
    pub faults: Vec<Fault>,
    pub limits: Limits,
}

/// Bounds, tight enough to be met.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connects: u32,
    pub connects_per_agent: u32,
}

/// One server.
#[derive(Clone, Debug)]
pub struct ServerPlan {
    pub name: String,
    /// Nothing ever goes wrong with it.
    pub sound: bool,
    pub modern: bool,
    /// `None` is the store's; else the one agent that has it.
    pub owner: Option<usize>,
    pub isolation: Isolation,
    pub max_in_flight: u32,
    pub max_queue: u32,
    /// Bytes that its pipe holds: a small one is full soon.
    pub pipe: usize,
    /// How long a connect takes.
    pub latency: Duration,
}

/// One call.
#[derive(Clone, Debug)]
pub struct CallPlan {
    pub at: Duration,
    /// `None` is the store.
    pub agent: Option<usize>,
    pub server: usize,
    pub act: Act,
    pub padding: usize,
    pub timeout: Option<Duration>,
    pub cancelled_after: Option<Duration>,
    pub wants_progress: bool,
}

/// What the server does about a call once it has read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Answer(Duration),
    /// Reports progress so many times, with this between, and answers.
    Progress(u32, Duration),
    Error(Duration),
    /// A line that is no message; then it answers.
    Garbage(Duration),
    /// An answer that is none.
    Malformed(Duration),
    Twice(Duration),
    /// Answers a request that was never made; then this one.
    Stray(Duration),
    Never,
    /// Dies without having done anything.
    DieBefore,
    /// Dies when it has done it, without an answer.
    DieAfter(Duration),
    AnswerAndDie(Duration),
}

impl Act {
    /// What a sound server takes for it.
    pub fn work(self) -> Duration {
        match self {
            Self::Progress(times, between) => between * times,
            Self::Answer(time)
            | Self::Error(time)
            | Self::Garbage(time)
            | Self::Malformed(time)
            | Self::Twice(time)
            | Self::Stray(time)
            | Self::DieAfter(time)
            | Self::AnswerAndDie(time) => time,
            Self::Never | Self::DieBefore => Duration::ZERO,
        }
    }
}

/// Something that happens to a server, or that a person does to it.
#[derive(Clone, Debug)]
pub struct Fault {
    pub at: Duration,
    pub server: usize,
    pub what: Mishap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Every life of it ends.
    Die,
    /// It neither reads nor says anything for so long.
    Mute(Duration),
    /// So many attempts to connect fail; its lives end.
    Refuse(u32),
    /// So many attempts never end; its lives end.
    Hang(u32),
    /// An attempt takes so long; its lives end.
    Slow(Duration),
    /// So many attempts panic in our own code; its lives end.
    Panic(u32),
    /// It offers one tool more, or again one less.
    Change,
    /// It says a hundred times that its tools changed.
    Storm,
    /// A person asks for a restart.
    Restart,
    /// A person takes it away, and adds it again after so long.
    Replace(Duration),
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn within(rng: &mut Rng, from: u64, to: u64) -> Duration {
    ms(rng.u64(from..to))
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let agents = rng.usize(2..4);
        let servers = servers(&mut rng, agents);
        let agents = grants(&mut rng, &servers, agents);
        let faulty: Vec<usize> = (0..servers.len()).filter(|at| !servers[*at].sound).collect();
        let of_store = faulty.iter().copied().filter(|at| servers[*at].owner.is_none());
        let members: Vec<usize> = of_store.collect();
        let strategy =
            [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne][rng.usize(0..3)];
        let group = (members.len() > 1 && rng.bool()).then_some((strategy, members));
        let limits = Limits { connects: rng.u32(2..5), connects_per_agent: rng.u32(1..4) };
        let calls = calls(&mut rng, &servers, &agents);
        let faults = faults(&mut rng, &servers, &faulty);
        Self { servers, agents, group, calls, faults, limits }
    }

    /// Whose supervisor dies of bugs.
    pub fn bug_ridden(&self, owner: Option<usize>) -> bool {
        self.faults.iter().any(|fault| {
            matches!(fault.what, Mishap::Panic(_)) && self.reaches(fault.server, owner)
        })
    }

    /// Whether an owner has a connection to a server.
    fn reaches(&self, server: usize, owner: Option<usize>) -> bool {
        let plan = &self.servers[server];
        let granted = owner.is_some_and(|agent| self.agents[agent].contains(&server));
        plan.owner == owner || (granted && plan.isolation == Isolation::Agent)
    }

    /// Who has the connection that serves this owner's calls.
    pub fn serving(&self, server: usize, owner: Option<usize>) -> Option<usize> {
        if self.servers[server].isolation == Isolation::Shared { None } else { owner }
    }
}

fn servers(rng: &mut Rng, agents: usize) -> Vec<ServerPlan> {
    let (sound, faulty) = (rng.usize(2..4), rng.usize(2..5));
    (0..sound + faulty)
        .map(|at| {
            let sound = at < sound;
            // The last agent is calm: only sound servers are its own.
            let owner = (at > 0 && rng.u8(0..3) == 0)
                .then(|| if sound { agents - 1 } else { rng.usize(0..agents - 1) });
            let shared = owner.is_none() && rng.u8(0..3) == 0;
            ServerPlan {
                name: format!("{}{at}", if sound { "good" } else { "bad" }),
                sound,
                modern: rng.bool(),
                owner,
                isolation: if shared { Isolation::Shared } else { Isolation::Agent },
                max_in_flight: if sound { 64 } else { rng.u32(1..6) },
                max_queue: if sound { 64 } else { rng.u32(0..6) },
                pipe: if sound { 64 * 1024 } else { [256, 2048, 64 * 1024][rng.usize(0..3)] },
                latency: within(rng, 0, 100),
            }
        })
        .collect()
}

fn grants(rng: &mut Rng, servers: &[ServerPlan], agents: usize) -> Vec<Vec<usize>> {
    (0..agents)
        .map(|agent| {
            let calm = agent == agents - 1;
            (0..servers.len())
                .filter(|at| {
                    let server = &servers[*at];
                    server.owner.is_none() && (server.sound || (!calm && rng.bool()))
                })
                .collect()
        })
        .collect()
}

fn calls(rng: &mut Rng, servers: &[ServerPlan], agents: &[Vec<usize>]) -> Vec<CallPlan> {
    let mut calls: Vec<CallPlan> = (0..rng.usize(120..240))
        .map(|_| {
            let server = rng.usize(0..servers.len());
            let plan = &servers[server];
            let granted: Vec<usize> =
                (0..agents.len()).filter(|agent| agents[*agent].contains(&server)).collect();
            let agent = match plan.owner {
                Some(agent) => Some(agent),
                None if granted.is_empty() || rng.bool() => None,
                None => Some(granted[rng.usize(0..granted.len())]),
            };
            let act = act(rng, plan.sound);
            CallPlan {
                at: within(rng, 0, WORKLOAD),
                agent,
                server,
                act,
                padding: if rng.u8(0..4) == 0 { rng.usize(0..4000) } else { 0 },
                timeout: (!plan.sound && rng.u8(0..4) == 0).then(|| within(rng, 50, 8000)),
                cancelled_after: (rng.u8(0..10) == 0).then(|| within(rng, 0, 3000)),
                wants_progress: rng.bool(),
            }
        })
        .collect();
    calls.extend(bursts(rng, servers));
    calls.sort_by_key(|call| call.at);
    calls
}

/// Many calls at one moment, more than a faulty server admits.
fn bursts(rng: &mut Rng, servers: &[ServerPlan]) -> Vec<CallPlan> {
    let server = servers.len() - 1;
    (0..rng.usize(1..4))
        .flat_map(|_| {
            let at = within(rng, 0, WORKLOAD);
            (0..rng.usize(5..25))
                .map(|_| CallPlan {
                    at,
                    agent: servers[server].owner,
                    server,
                    act: Act::Answer(within(rng, 0, 400)),
                    padding: rng.usize(0..500),
                    timeout: None,
                    cancelled_after: None,
                    wants_progress: false,
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn act(rng: &mut Rng, sound: bool) -> Act {
    let work = within(rng, 0, 1500);
    if sound {
        return if rng.u8(0..6) == 0 { Act::Progress(3, work / 3) } else { Act::Answer(work) };
    }
    match rng.u8(0..24) {
        0 => Act::Error(work),
        1 => Act::Garbage(work),
        2 => Act::Malformed(work),
        3 => Act::Twice(work),
        4 => Act::Stray(work),
        5 => Act::Never,
        6 => Act::DieBefore,
        7 => Act::DieAfter(work),
        8 => Act::AnswerAndDie(work),
        9 => Act::Progress(rng.u32(1..20), within(rng, 100, 4000)),
        10 => Act::Answer(within(rng, 4000, 9000)),
        _ => Act::Answer(work),
    }
}

fn faults(rng: &mut Rng, servers: &[ServerPlan], faulty: &[usize]) -> Vec<Fault> {
    // Few runs have bugs, because what they hit cannot be held to be undisturbed.
    let bugs = rng.u8(0..3) == 0;
    let mut faults: Vec<Fault> = (0..rng.usize(6..20))
        .map(|_| {
            let server = faulty[rng.usize(0..faulty.len())];
            let of_store = servers[server].owner.is_none();
            let what = match rng.u8(0..14) {
                3 | 4 => Mishap::Mute(within(rng, 500, 20_000)),
                5 => Mishap::Refuse(rng.u32(1..4)),
                6 => Mishap::Refuse(rng.u32(4..9)),
                7 => Mishap::Hang(rng.u32(1..3)),
                8 => Mishap::Slow(within(rng, 100, 3000)),
                9 => Mishap::Change,
                10 => Mishap::Storm,
                11 => Mishap::Restart,
                12 if of_store => Mishap::Replace(within(rng, 0, 3000)),
                13 if bugs => Mishap::Panic(rng.u32(1..10)),
                _ => Mishap::Die,
            };
            // Some are ill from the first moment on.
            let at = if rng.u8(0..5) == 0 { ms(0) } else { within(rng, 0, WORKLOAD) };
            Fault { at, server, what }
        })
        .collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}
