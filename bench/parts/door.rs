//! Admission to a connection, and the state that a client carries between two rounds of a call.

use std::{hint::black_box, time::SystemTime};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use switchboard::{
    access::seal_bench::Sealer,
    actor::admission_bench::Door,
    id::{AgentId, Owner},
    wire::method,
};
use tokio::runtime::{Builder, Runtime};

use super::{Round, message::parameters};

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().build()?)
}

/// A call that finds a place free.
pub(crate) fn at_once() -> Result<Round> {
    let (runtime, door, caller) = (runtime()?, Door::new(64), Owner::Store);
    ensure!(runtime.block_on(door.pass(&caller)), "a free place was refused");
    Ok(Box::new(move || {
        black_box(runtime.block_on(door.pass(black_box(&caller))));
    }))
}

/// 64 calls of eight callers at once, of which four have a place at a time.
pub(crate) fn in_turn() -> Result<Round> {
    let (runtime, door) = (runtime()?, Door::new(4));
    let callers = (0..64).map(|call| AgentId::new(format!("caller{}", call % 8)));
    let callers = callers.map(|caller| Ok(Owner::Agent(caller?))).collect::<Result<Vec<_>>>()?;
    let all = move || runtime.block_on(join_all(callers.iter().map(|caller| door.pass(caller))));
    ensure!(all().iter().all(|passed| *passed), "a caller was refused");
    Ok(Box::new(move || {
        black_box(all());
    }))
}

/// Seals the state of a waiting call.
pub(crate) fn seal() -> Round {
    let (sealer, params, now) = (Sealer::default(), parameters(200), SystemTime::now());
    Box::new(move || {
        black_box(sealer.seal(method::TOOLS_CALL, black_box(&params), now));
    })
}

/// Opens it.
pub(crate) fn open() -> Result<Round> {
    let (sealer, params, now) = (Sealer::default(), parameters(200), SystemTime::now());
    let state = sealer.seal(method::TOOLS_CALL, &params, now).context("nothing was sealed")?;
    ensure!(sealer.opens(method::TOOLS_CALL, &params, &state, now), "a state did not open");
    Ok(Box::new(move || {
        black_box(sealer.opens(method::TOOLS_CALL, black_box(&params), &state, now));
    }))
}
