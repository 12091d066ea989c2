//! What every message costs before anything happens: reading and writing an envelope, comparing
//! headers, restating parameters for the next leg.

use std::{borrow::Cow, hint::black_box};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use switchboard::wire::{
    Message, Object, RawValue, Revision, envelope, header,
    meta::{Stamp, for_next_leg},
    method, raw,
};

use super::{Round, text};

/// Parameters of `tools/call` as a modern client sends them.
pub(crate) fn parameters(size: usize) -> Box<RawValue> {
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

/// Reads a request.
pub(crate) fn read(size: usize) -> Result<Round> {
    let line = envelope::request(&7_u64, method::TOOLS_CALL, Some(&parameters(size)));
    ensure!(matches!(Message::parse(&line), Ok(Message::Request { .. })), "no request");
    Ok(Box::new(move || {
        black_box(Message::parse(black_box(&line))).ok();
    }))
}

/// Writes a request.
pub(crate) fn write(size: usize) -> Round {
    let params = parameters(size);
    Box::new(move || {
        black_box(envelope::request(&7_u64, method::TOOLS_CALL, Some(black_box(&params))));
    })
}

/// Compares the headers of a modern call with its body: method, name, two annotated parameters.
pub(crate) fn headers() -> Result<Round> {
    let schema = raw::<Value>(&json!({ "properties": {
        "state": { "type": "string", "x-mcp-header": "State" },
        "page": { "type": "integer", "x-mcp-header": "Page" },
    } }));
    let annotated = header::annotated(&schema).context("a schema with annotations")?;
    let params = parameters(200);
    let found = |name: &str| Ok(Some(if name.ends_with("page") { "1" } else { "open" }));
    let check = move || {
        let object = Object::read(black_box(&params)).unwrap_or_default();
        let name = object.text("name").unwrap_or_default();
        header::check_text(header::METHOD, Some(black_box("tools/call")), method::TOOLS_CALL)
            .and_then(|()| header::check_text(header::NAME, Some("github_search_issues"), &name))
            .and_then(|()| header::check_params(&annotated, object.get("arguments"), found))
    };
    check()?;
    Ok(Box::new(move || {
        black_box(check()).ok();
    }))
}

/// Restates parameters for a modern server that reports progress.
pub(crate) fn next_leg_modern(size: usize) -> Result<Round> {
    let params = parameters(size);
    let stamp = Stamp {
        revision: Revision::LATEST,
        client: raw::<Value>(&json!({ "name": "switchboard", "version": "0.1.0" })),
        capabilities: RawValue::from_string("{}".to_owned())?,
        level: None,
    };
    Ok(Box::new(move || {
        let name = Some(("name", "echo"));
        black_box(for_next_leg(Some(black_box(&params)), name, Some(&stamp), Some(9), []));
    }))
}

/// Restates parameters for a legacy server.
pub(crate) fn next_leg_legacy(size: usize) -> Round {
    let params = parameters(size);
    Box::new(move || {
        let name = Some(("name", "echo"));
        black_box(for_next_leg(Some(black_box(&params)), name, None, None, []));
    })
}

/// Edits one member of an object.
pub(crate) fn rename(size: usize) -> Round {
    let (params, name) = (parameters(size), raw("search_issues"));
    Box::new(move || {
        let mut object = Object::read(black_box(&params)).unwrap_or_default();
        object.set("name", Cow::Borrowed(&*name));
        black_box(object.to_raw());
    })
}
