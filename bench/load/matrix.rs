//! Runs the cases: each on servers and a proxy of its own, all of them in turn, several times.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::{
    PROGRAM,
    http::{Connection, Echo},
    measure::{self, Bounds, Measurement, median},
    nginx::Nginx,
    plan::{Case, Plan, Way},
    server::{Form, Server},
    stdio,
    switchboard::{self, Switchboard},
};

/// What came out of all runs of a case.
pub struct Outcome {
    pub case: Case,
    runs: Vec<Measurement>,
}

impl Outcome {
    /// The median of a figure.
    pub fn median(&self, figure: impl Fn(&Measurement) -> f64) -> f64 {
        median(self.runs.iter().map(figure)).unwrap_or_default()
    }

    /// The median of a figure that only a watched process has.
    pub fn of_proxy(&self, figure: impl Fn(&Measurement) -> Option<f64>) -> Option<f64> {
        median(self.runs.iter().filter_map(figure)).ok()
    }

    /// A latency in µs.
    pub fn latency(&self, part: f64) -> f64 {
        self.median(|run| run.latency(part))
    }

    /// Calls each second.
    pub fn rate(&self) -> f64 {
        self.median(|run| run.rate)
    }

    /// Processor time of the proxy for each call, in µs.
    pub fn cpu(&self) -> Option<f64> {
        self.of_proxy(|run| run.cpu)
    }
}

/// Measures; cases of nginx are left out where it is not installed.
pub async fn run(plan: &Plan, cases: Vec<Case>) -> Result<Vec<Outcome>> {
    let wanted = cases.into_iter().filter(|case| plan.wants(&case.name()));
    let mut outcomes: Vec<Outcome> =
        wanted.map(|case| Outcome { case, runs: Vec::new() }).collect();
    for round in 0..plan.runs {
        for Outcome { case, runs } in &mut outcomes {
            let name = case.name();
            let measured = measure(case, plan.bounds).await.with_context(|| name.clone())?;
            if let Some(measured) = measured {
                let (rate, cpu) = (measured.rate, measured.cpu.unwrap_or_default());
                println!("{}/{} {name}: {rate:.0}/s, {cpu:.1} µs", round + 1, plan.runs);
                runs.push(measured);
            }
        }
    }
    outcomes.retain(|outcome| !outcome.runs.is_empty());
    Ok(outcomes)
}

/// One run of a case.
pub async fn measure(case: &Case, bounds: Bounds) -> Result<Option<Measurement>> {
    let text = super::text(case.size);
    if case.server == Form::Stdio {
        return stdio(case, bounds, &text).await.map(Some);
    }
    let server = Server::start(case.server, 1).await?;
    match case.way {
        Way::Direct => calls(case, bounds, &text, server.address(), None).await.map(Some),
        Way::Nginx => {
            let Some(nginx) = Nginx::start(server.address()).await? else { return Ok(None) };
            calls(case, bounds, &text, nginx.address(), Some(nginx.pid())).await.map(Some)
        }
        Way::Switchboard => through(case, bounds, &text, server.entry()).await.map(Some),
    }
}

async fn stdio(case: &Case, bounds: Bounds, text: &str) -> Result<Measurement> {
    if case.way == Way::Switchboard {
        return through(case, bounds, text, switchboard::demo()).await;
    }
    let server = stdio::Server::start(PROGRAM).await?;
    let callers = (0..case.callers).map(|_| server.caller(text)).collect();
    let measured = measure::run(bounds, callers, None).await?;
    server.stop().await?;
    Ok(measured)
}

async fn through(case: &Case, bounds: Bounds, text: &str, entry: Value) -> Result<Measurement> {
    let servers = vec![entry; case.servers];
    let names: Vec<String> = (0..case.servers).map(|number| format!("demo{number}")).collect();
    let agent = |number| (format!("agent{number}"), json!({ "servers": names }));
    let agents: Map<String, Value> = (0..case.agents).map(agent).collect();
    let more = json!({ "agents": agents, "limits": { "queue_bytes": "1GiB" } });
    let served = Switchboard::serve(&servers, &more, &[]).await?;
    let measured = calls(case, bounds, text, served.address(), Some(served.pid())).await?;
    served.stop().await?;
    Ok(measured)
}

/// Every caller on a connection of its own that stays open.
async fn calls(
    case: &Case,
    bounds: Bounds,
    text: &str,
    address: SocketAddr,
    watched: Option<u32>,
) -> Result<Measurement> {
    let mut callers = Vec::with_capacity(case.callers);
    for caller in 0..case.callers {
        let path = match case.agents {
            0 => "/mcp".to_owned(),
            agents => format!("/mcp/agent{}", caller % agents),
        };
        let connection = if case.legacy {
            Connection::legacy(address, &path).await?
        } else {
            Connection::open(address, &path).await?
        };
        let tool = match case.way {
            Way::Switchboard => format!("demo{}_echo", caller % case.servers),
            Way::Direct | Way::Nginx => "echo".to_owned(),
        };
        callers.push(Echo { connection, tool, text: text.to_owned(), progress: case.progress });
    }
    measure::run(bounds, callers, watched).await
}
