//! What every message costs before anything happens (reading an envelope, rewriting its
//! parameters for the next leg, editing one member of an object), what a changed catalog costs
//! (names and view), and what the end of a connection costs.

use std::{borrow::Cow, hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use switchboard::{
    catalog::{Catalog, CatalogConfig, Item, Member, Names, ToolFilter, View},
    id::ServerName,
    restart::{Exit, Ladder, Policy},
    wire::{
        Message, Object, Primitive, RawValue, Revision, envelope,
        meta::{Stamp, for_next_leg},
        method, raw,
    },
};

/// Sizes of the text in a message's body, in bytes: a short call, a page, a file.
const SIZES: [usize; 3] = [200, 10_000, 200_000];

fn text(size: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(size).collect()
}

/// Parameters of `tools/call` as a modern client sends them.
fn parameters(size: usize) -> Box<RawValue> {
    raw::<Value>(&json!({
        "name": "github_search_issues",
        "arguments": { "query": text(size), "page": 1, "state": "open" },
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "agent", "version": "1.0.0" },
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
            "progressToken": "p-1",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
    }))
}

fn stamp() -> Stamp {
    Stamp {
        revision: Revision::LATEST,
        client: raw::<Value>(&json!({ "name": "switchboard", "version": "0.1.0" })),
        capabilities: raw::<Value>(&json!({})),
        level: None,
    }
}

fn wire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire");
    for size in SIZES {
        let params = parameters(size);
        let line = envelope::request(&7_u64, method::TOOLS_CALL, Some(&params));
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_with_input(BenchmarkId::new("parse_envelope", size), &line, |bencher, line| {
            bencher.iter(|| Message::parse(black_box(line)));
        });
        group.bench_with_input(
            BenchmarkId::new("write_envelope", size),
            &params,
            |bencher, params| {
                bencher.iter(|| {
                    envelope::request(&7_u64, method::TOOLS_CALL, Some(black_box(params)))
                });
            },
        );
        let stamp = stamp();
        group.bench_with_input(
            BenchmarkId::new("next_leg_modern", size),
            &params,
            |bencher, params| {
                bencher.iter(|| {
                    for_next_leg(
                        Some(black_box(params)),
                        Some(("name", "echo")),
                        Some(&stamp),
                        Some(9),
                        [],
                    )
                });
            },
        );
        group.bench_with_input(
            BenchmarkId::new("next_leg_legacy", size),
            &params,
            |bencher, params| {
                bencher.iter(|| {
                    for_next_leg(Some(black_box(params)), Some(("name", "echo")), None, None, [])
                });
            },
        );
        let name = raw("search_issues");
        group.bench_with_input(
            BenchmarkId::new("rename_tool", size),
            &params,
            |bencher, params| {
                bencher.iter(|| {
                    let mut object = Object::read(black_box(params))?;
                    object.set("name", Cow::Borrowed(&*name));
                    Some(object.to_raw())
                });
            },
        );
    }
    group.finish();
}

/// Servers of a large fleet, and tools of each.
const SERVERS: usize = 20;
const TOOLS: usize = 20;

fn catalog(server: usize) -> Catalog {
    let tools = (0..TOOLS).filter_map(|tool| {
        let raw = raw::<Value>(&json!({
            "name": format!("tool_{tool}"),
            "description": text(100),
            "inputSchema": { "type": "object", "properties": { "query": { "type": "string" } } },
            "_meta": { "server": server },
        }));
        Item::read(Primitive::Tool, &raw).ok()
    });
    tools.collect::<Vec<_>>().into()
}

fn views(criterion: &mut Criterion) {
    let servers: Vec<(ServerName, Catalog)> = (0..SERVERS)
        .filter_map(|server| {
            Some((ServerName::new(format!("server-{server}")).ok()?, catalog(server)))
        })
        .collect();
    let Ok(all) = ToolFilter::default().matcher() else {
        return;
    };
    let members: Vec<Member<'_>> = servers
        .iter()
        .map(|(server, catalog)| Member { server, order: 0, catalog, filter: &all })
        .collect();
    let config = CatalogConfig::default();

    let mut group = criterion.benchmark_group("view_of_400_tools");
    group.bench_function("build_with_new_names", |bencher| {
        bencher.iter(|| View::build(black_box(&members), &all, &mut Names::new(&config)));
    });
    let mut names = Names::new(&config);
    let view = View::build(&members, &all, &mut names);
    group.bench_function("build_with_known_names", |bencher| {
        bencher.iter(|| View::build(black_box(&members), &all, &mut names));
    });
    group.bench_function("resolve", |bencher| {
        bencher.iter(|| view.resolve(black_box("server-7_tool_13")));
    });
    group.finish();
}

fn ladder(criterion: &mut Criterion) {
    criterion.bench_function("ladder_end_of_a_connection", |bencher| {
        let mut ladder = Ladder::new(Policy::default());
        let mut now = Duration::ZERO;
        bencher.iter(|| {
            now += Duration::from_secs(20);
            ladder.start();
            ladder.ready(now);
            ladder.ended(now, black_box(Exit::Lost), 0.5)
        });
    });
}

criterion_group!(benches, wire, views, ladder);
criterion_main!(benches);
