//! What a runtime is doing, read when somebody asks: connections by state, queues, lives.

use std::collections::BTreeMap;

use opentelemetry::{KeyValue, metrics::Meter};

use crate::{
    restart::State,
    runtime::{RuntimeHandle, ServerStatus},
};

/// What is read of one connection.
type Reading = (&'static str, &'static str, fn(&ServerStatus) -> u64);

const LEVELS: [Reading; 4] = [
    ("switchboard.calls.in_flight", "Calls that a server works on", |it| count(it.in_flight)),
    ("switchboard.calls.waiting", "Calls that wait for a server", |it| count(it.waiting)),
    ("switchboard.incarnation", "The life that a connection is in", |it| it.incarnation.0),
    ("switchboard.circuit.open", "Whether a server is paused for failing too often", |it| {
        u64::from(matches!(it.state, State::Open | State::HalfOpen))
    }),
];

const TOTALS: [Reading; 4] = [
    ("switchboard.calls", "Calls that a server was given", |it| it.calls),
    ("switchboard.calls.failed", "Calls that ended without the server's answer", |it| it.failures),
    ("switchboard.calls.overdue", "Calls that outlived their deadline, a bug", |it| it.overdue),
    ("switchboard.notifications.unheard", "Notifications that reached nobody", |it| it.unheard),
];

/// Has a meter read what a runtime is doing at each collection, for as long as the runtime lives:
/// `switchboard.connections` by state, and by owner and server `switchboard.calls`,
/// `switchboard.calls.failed`, `switchboard.calls.overdue`, `switchboard.notifications.unheard`,
/// `switchboard.calls.in_flight`,
/// `switchboard.calls.waiting`, `switchboard.incarnation` and `switchboard.circuit.open`.
pub fn follow(meter: &Meter, runtime: &RuntimeHandle) {
    let observed = runtime.observed();
    meter
        .u64_observable_gauge("switchboard.connections")
        .with_description("Connections by the state that they are in")
        .with_callback(move |gauge| {
            let mut states: BTreeMap<&'static str, u64> = BTreeMap::new();
            for server in observed() {
                *states.entry(server.state.as_str()).or_default() += 1;
            }
            for (state, count) in states {
                gauge.observe(count, &[KeyValue::new("switchboard.state", state)]);
            }
        })
        .build();
    for (name, description, value) in LEVELS {
        let observed = runtime.observed();
        let gauge = meter.u64_observable_gauge(name).with_description(description);
        let gauge = gauge.with_callback(move |gauge| {
            for (labels, value) in by_server(observed(), value) {
                gauge.observe(value, &labels);
            }
        });
        gauge.build();
    }
    for (name, description, value) in TOTALS {
        let observed = runtime.observed();
        let counter = meter.u64_observable_counter(name).with_description(description);
        let counter = counter.with_callback(move |counter| {
            for (labels, value) in by_server(observed(), value) {
                counter.observe(value, &labels);
            }
        });
        counter.build();
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Sums over the sessions of a server, whose number no configuration bounds.
fn by_server(
    servers: Vec<ServerStatus>,
    value: fn(&ServerStatus) -> u64,
) -> Vec<([KeyValue; 2], u64)> {
    let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
    for server in servers {
        let key = (server.owner.to_string(), server.server.to_string());
        *sums.entry(key).or_default() += value(&server);
    }
    let labels = |(owner, server): (String, String)| {
        [KeyValue::new("switchboard.owner", owner), KeyValue::new("switchboard.server", server)]
    };
    sums.into_iter().map(|(key, sum)| (labels(key), sum)).collect()
}
