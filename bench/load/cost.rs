//! What a call costs, counted instead of timed: instructions and allocations of `switchboard serve`
//! under valgrind's callgrind.
//!
//! From when its servers are connected, and twice with different numbers of calls: the difference
//! is what the calls took.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    figure::Figures,
    http::{Connection, Echo},
    measure::{self, Bounds},
    plan::Plan,
    profile,
    server::{Form, Server},
    switchboard::{self, Switchboard},
};

/// Calls of the two runs.
const FEW: u64 = 200;
const MANY: u64 = 1200;
/// Callers at a time.
const CALLERS: u64 = 8;

pub const HTTP: [&str; 2] =
    ["a call, HTTP: instructions", "a call, HTTP: allocations, wherever they are"];
pub const STDIO: [&str; 2] =
    ["a call, stdio: instructions", "a call, stdio: allocations, wherever they are"];
pub const OF_200: [&str; 2] = [
    "a call, HTTP, one of 200 servers: instructions",
    "a call, HTTP, one of 200 servers: allocations, wherever they are",
];

/// Everything of this file that is wanted.
pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    for (names, form, servers) in
        [(HTTP, Form::Json, 1), (STDIO, Form::Stdio, 1), (OF_200, Form::Json, 200)]
    {
        let [instructions, allocations] = names;
        if !plan.wants(instructions) {
            continue;
        }
        let few = profiled(form, servers, FEW).await?;
        let many = profiled(form, servers, MANY).await?;
        let calls = f64::from(u32::try_from(MANY - FEW)?);
        let of_a_call = |few: u64, many: u64| {
            anyhow::Ok(f64::from(u32::try_from(many.saturating_sub(few))?) / calls)
        };
        figures.add(instructions, of_a_call(few.0, many.0)? / 1e3, "thousand");
        figures.add(allocations, of_a_call(few.1, many.1)?, "");
    }
    Ok(())
}

async fn profiled(form: Form, servers: usize, calls: u64) -> Result<(u64, u64)> {
    let server = Server::start(Form::Json, 1).await?;
    let entry = if form == Form::Stdio { switchboard::demo() } else { server.entry() };
    counted(&vec![entry; servers], calls).await
}

async fn counted(servers: &[Value], calls: u64) -> Result<(u64, u64)> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("profile");
    // The processes that it starts write none of their own.
    let tool = [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        "--instr-atstart=no".to_owned(),
        format!("--callgrind-out-file={}.%p", file.display()),
    ];
    let served = Switchboard::serve(servers, &json!({}), &tool).await?;
    let pid = served.pid();
    let counting =
        Command::new("callgrind_control").args(["-i", "on"]).arg(pid.to_string()).output().await?;
    ensure!(counting.status.success(), "callgrind_control: {}", counting.status);
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let connection = Connection::open(served.address(), "/mcp").await?;
        let server = usize::try_from(caller)? % servers.len();
        let (tool, text) = (format!("demo{server}_echo"), super::text(200));
        callers.push(Echo { connection, tool, text, progress: false });
    }
    let bounds = Bounds { calls, time: std::time::Duration::from_mins(5) };
    measure::run(bounds, callers, None).await?;
    served.stop().await?;
    let file = format!("{}.{pid}", file.display());
    profile::read(&fs::read_to_string(&file).context(file)?)
}
