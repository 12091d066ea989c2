//! What does not belong to a call: memory of what stands idle, start-up, lists.

use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Resource, getrlimit};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    figure::Figures,
    http::Connection,
    plan::Plan,
    process,
    server::{self, Form, Server},
    switchboard::{self, Switchboard},
};

/// Sessions, and subscriptions.
const MANY: u32 = 10_000;
/// Sessions with a stream each: the face takes 8192 connections, and half of the files that it may open.
const STREAMS: u32 = 6_000;

pub const IDLE_20: &str = "20 idle stdio servers";
pub const IDLE_200: &str = "200 idle stdio servers";
pub const START_200: &str = "200 stdio servers, from start until all are connected";
pub const SESSION: &str = "an idle legacy session of 10,000";
pub const STREAMED: &str = "an idle legacy session with its GET stream, of 6,000";
pub const SUBSCRIPTION: &str = "a subscription of 10,000";
pub const AGENT: &str = "an agent of 1,000";
pub const LIST: &str = "tools/list of 10,000 tools in one page, CPU";
pub const PAGE: &str = "tools/list, one of its pages of 1,000, CPU";

/// Everything of this file that is wanted.
pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    for (name, servers) in [(IDLE_20, 20), (IDLE_200, 200)] {
        if plan.wants(name) {
            let entries = vec![switchboard::demo(); servers];
            let served = Switchboard::serve(&entries, &json!({}), &[]).await?;
            figures.add(name, resident(&served)? / 1e6, "MB");
            if servers == 200 {
                figures.add(START_200, served.took.as_secs_f64(), "s");
            }
            served.stop().await?;
        }
    }
    if plan.wants(SESSION) {
        figures.add(SESSION, sessions().await? / 1e3, "KB");
    }
    // Each takes a file of the generator and one of Switchboard, which inherits the bound.
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if plan.wants(STREAMED) && files > u64::from(2 * MANY - MANY / 2) {
        figures.add(STREAMED, streams().await? / 1e3, "KB");
    }
    if plan.wants(SUBSCRIPTION) {
        figures.add(SUBSCRIPTION, subscriptions().await? / 1e3, "KB");
    }
    if plan.wants(AGENT) {
        figures.add(AGENT, agents().await? / 1e3, "KB");
    }
    if plan.wants(LIST) {
        let [all, page] = lists().await?;
        figures.add(LIST, all, "ms");
        figures.add(PAGE, page, "ms");
    }
    Ok(())
}

fn resident(served: &Switchboard) -> Result<f64> {
    process::resident(served.pid(), "VmRSS")
}

/// Sessions whose clients are gone; those of the first thousand, and what they needed once, are not
/// counted.
async fn sessions() -> Result<f64> {
    let served = with_room_for_sessions().await?;
    let open = async |count: u32| {
        let mut connected = Vec::new();
        for _ in 0..count {
            connected.push(Connection::legacy(served.address(), "/mcp").await?);
            // Connections that stay open would count as well.
            if connected.len() == 64 {
                connected.clear();
            }
        }
        anyhow::Ok(())
    };
    open(MANY / 10).await?;
    let before = resident(&served)?;
    open(MANY).await?;
    let each = (resident(&served)? - before) / f64::from(MANY);
    served.stop().await?;
    Ok(each)
}

/// Sessions with a connection each, on which their stream is open.
async fn streams() -> Result<f64> {
    let served = with_room_for_sessions().await?;
    let mut streams = Vec::new();
    let mut before = 0.0;
    for number in 0..STREAMS / 10 + STREAMS {
        if number == STREAMS / 10 {
            before = resident(&served)?;
        }
        let session = Connection::legacy(served.address(), "/mcp").await?;
        streams.push(session.listen().await?);
    }
    let each = (resident(&served)? - before) / f64::from(STREAMS);
    drop(streams);
    served.stop().await?;
    Ok(each)
}

async fn with_room_for_sessions() -> Result<Switchboard> {
    let more = json!({ "server": { "max_sessions": 2 * MANY } });
    Switchboard::serve(&[switchboard::demo()], &more, &[]).await
}

/// Sessions that subscribe to a thousand resources each, none to those of another.
async fn subscriptions() -> Result<f64> {
    let served = Switchboard::serve(&[server::stdio_entry()?], &json!({}), &[]).await?;
    let mut sessions = Vec::new();
    let mut before = 0.0;
    for session in 0..=10 {
        let mut client = Connection::legacy(served.address(), "/mcp").await?;
        while !client.request("resources/templates/list", "", "").await?.contains("bench://") {
            tokio::task::yield_now().await;
        }
        for number in 0..MANY / 10 {
            let uri = format!("\"uri\":\"bench://{session}-{number}\",");
            let answer = client.request("resources/subscribe", "", &uri).await?;
            ensure!(!answer.contains("\"error\""), "{answer}");
        }
        sessions.push(client);
        // What the first thousand needed once is not counted.
        if session == 0 {
            before = resident(&served)?;
        }
    }
    let each = (resident(&served)? - before) / f64::from(MANY);
    drop(sessions);
    served.stop().await?;
    Ok(each)
}

/// Agents that were granted one server; none has called it.
async fn agents() -> Result<f64> {
    let mut resident_of = Vec::new();
    for count in [1, 1001] {
        let agent = |number| (format!("agent{number}"), json!({ "servers": ["demo0"] }));
        let agents: Map<String, Value> = (0..count).map(agent).collect();
        let more = json!({ "agents": agents });
        let served = Switchboard::serve(&[switchboard::demo()], &more, &[]).await?;
        resident_of.push(resident(&served)?);
        served.stop().await?;
    }
    let [one, many] = *resident_of else { anyhow::bail!("two numbers of agents") };
    Ok((many - one) / 1000.0)
}

/// 200 servers with 50 tools each, listed again and again.
async fn lists() -> Result<[f64; 2]> {
    let server = Server::start(Form::Json, 50).await?;
    let mut costs = Vec::new();
    for page in [MANY, 1000] {
        let more = json!({ "limits": { "page_size": page } });
        let served = Switchboard::serve(&vec![server.entry(); 200], &more, &[]).await?;
        let mut client = Connection::open(served.address(), "/mcp").await?;
        let mut list = client.request("tools/list", "", "").await?;
        while list.matches("\"inputSchema\"").count() < usize::try_from(page)? {
            list = client.request("tools/list", "", "").await?;
        }
        let before = process::used(served.pid())?;
        let (start, mut count) = (Instant::now(), 0_u32);
        while start.elapsed() < Duration::from_secs(4) {
            client.request("tools/list", "", "").await?;
            count += 1;
        }
        let after = process::used(served.pid())?;
        costs.push(after.micros_since(&before) / 1e3 / f64::from(count));
        served.stop().await?;
    }
    let [all, page] = *costs else { anyhow::bail!("two sizes of pages") };
    Ok([all, page])
}
