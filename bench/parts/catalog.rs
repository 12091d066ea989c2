//! What a view of 400 tools costs (its names, its building, finding a tool in it), and what the end
//! of a connection costs.

use std::{hint::black_box, time::Duration};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use switchboard::{
    catalog::{Catalog, CatalogConfig, Item, Member, Names, ToolFilter, ToolMatcher, View},
    id::ServerName,
    restart::{Exit, Ladder, Policy},
    wire::{Primitive, raw},
};

use super::{Round, text};

/// Servers of a fleet, and tools of each.
const SERVERS: usize = 20;
const TOOLS: usize = 20;

struct Fleet {
    servers: Vec<(ServerName, Catalog)>,
    all: ToolMatcher,
}

impl Fleet {
    fn new() -> Result<Self> {
        let mut servers = Vec::with_capacity(SERVERS);
        for server in 0..SERVERS {
            servers.push((ServerName::new(format!("server-{server}"))?, offer(server, "")?));
        }
        Ok(Self { servers, all: ToolFilter::default().matcher()? })
    }

    fn members(&self) -> Vec<Member<'_>> {
        let member = |(server, catalog)| Member { server, order: 0, catalog, filter: &self.all };
        self.servers.iter().map(|(server, catalog)| member((server, catalog))).collect()
    }
}

fn offer(server: usize, more: &str) -> Result<Catalog> {
    let mut tools = Vec::with_capacity(TOOLS);
    for tool in 0..TOOLS {
        let raw = raw::<Value>(&json!({
            "name": format!("tool_{tool}"),
            "description": text(100) + more,
            "inputSchema": { "type": "object", "properties": { "query": { "type": "string" } } },
            "_meta": { "server": server },
        }));
        tools.push(Item::read(Primitive::Tool, &raw)?);
    }
    Ok(tools.into())
}

/// The first view of a fleet.
pub(crate) fn build_new() -> Result<Round> {
    let fleet = Fleet::new()?;
    Ok(Box::new(move || {
        let mut names = Names::new(&CatalogConfig::default());
        black_box(View::build(black_box(&fleet.members()), &fleet.all, &mut names));
    }))
}

/// A view whose names are known already.
pub(crate) fn build_known() -> Result<Round> {
    let (fleet, mut names) = (Fleet::new()?, Names::new(&CatalogConfig::default()));
    View::build(&fleet.members(), &fleet.all, &mut names);
    Ok(Box::new(move || {
        black_box(View::build(black_box(&fleet.members()), &fleet.all, &mut names));
    }))
}

/// The view after one of the servers offers something else, again and again.
pub(crate) fn rebuild() -> Result<Round> {
    let (mut fleet, mut names) = (Fleet::new()?, Names::new(&CatalogConfig::default()));
    let mut view = View::build(&fleet.members(), &fleet.all, &mut names);
    let mut next = offer(SERVERS - 1, " Changed.")?;
    Ok(Box::new(move || {
        if let Some((_, catalog)) = fleet.servers.last_mut() {
            std::mem::swap(catalog, &mut next);
        }
        view = view.rebuild(black_box(&fleet.members()), &fleet.all, &mut names);
    }))
}

/// Finds a tool by its name.
pub(crate) fn resolve() -> Result<Round> {
    let (fleet, mut names) = (Fleet::new()?, Names::new(&CatalogConfig::default()));
    let view = View::build(&fleet.members(), &fleet.all, &mut names);
    ensure!(view.resolve("server-7_tool_13").is_some(), "the view has lost a tool");
    Ok(Box::new(move || {
        black_box(view.resolve(black_box("server-7_tool_13")));
    }))
}

/// Decides what follows the end of a connection.
pub(crate) fn ladder() -> Round {
    let (mut ladder, mut now) = (Ladder::new(Policy::default()), Duration::ZERO);
    Box::new(move || {
        now += Duration::from_secs(20);
        ladder.start();
        ladder.ready(now);
        black_box(ladder.ended(now, black_box(Exit::Lost), 0.5));
    })
}
