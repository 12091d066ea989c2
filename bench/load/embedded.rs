//! A server in this process: its handler called directly, and through the embedding API.
//!
//! One thread and one caller at a time, so that wall time is processor time.

use std::{hint::black_box, time::Duration};

use anyhow::{Context as _, Result};
use rmcp::{
    RoleServer, ServerHandler as _,
    model::{CallToolRequestParams, NumberOrString},
    service::{RequestContext, serve_directly},
};
use serde_json::json;
use switchboard::{
    id::ServerName,
    runtime::{CallRequest, Runtime, RuntimeConfig},
};
use tokio::time::Instant;

use super::{figure::Figures, measure::median, plan::Plan, server::Offer};

pub const DIRECTLY: &str = "a call in this process: the handler directly";
pub const THROUGH: &str = "a call in this process: through the embedding API";

/// Measures both in turn.
pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    if !plan.wants(THROUGH) {
        return Ok(());
    }
    let arguments = json!({ "text": super::text(200) });
    let offer = Offer { tools: 1 };
    let (_there, here) = tokio::io::duplex(1024);
    let served = serve_directly::<RoleServer, _, _, _, _>(offer, here, None);
    let context = || RequestContext::new(NumberOrString::Number(1), served.peer().clone());
    let params = CallToolRequestParams::new("echo")
        .with_arguments(arguments.as_object().cloned().context("arguments are an object")?);

    let runtime = Runtime::spawn(RuntimeConfig::default()).await?;
    let (store, name) = (runtime.store(), ServerName::new("echo")?);
    store.add_handler(name.clone(), move || offer).await?;
    store.wait_ready(&name, Duration::from_secs(10)).await?;

    let (mut directly, mut through) = (Vec::new(), Vec::new());
    for _ in 0..plan.runs {
        let call = async || {
            let answer = offer.call_tool(black_box(params.clone()), context()).await;
            black_box(answer?);
            anyhow::Ok(())
        };
        directly.push(each(plan.bounds.time, call).await?);
        let call = async || {
            let answer = store.call(CallRequest::new("echo_echo", black_box(&arguments))).await;
            black_box(answer?);
            anyhow::Ok(())
        };
        through.push(each(plan.bounds.time, call).await?);
    }
    runtime.stop().await;
    figures.add(DIRECTLY, median(directly)?, "µs");
    figures.add(THROUGH, median(through)?, "µs");
    Ok(())
}

/// µs of one call.
async fn each(time: Duration, mut call: impl AsyncFnMut() -> Result<()>) -> Result<f64> {
    let (start, mut calls) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        for _ in 0..100 {
            call().await?;
        }
        calls += 100;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(calls))
}
