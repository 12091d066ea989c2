//! rmcp handlers in both eras, and what they must not be able to do to us.

#![expect(deprecated, reason = "servers log as long as clients take it")]

use std::{
    borrow::Cow,
    sync::atomic::{AtomicUsize, Ordering},
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject,
        ListToolsResult, LoggingLevel, LoggingMessageNotificationParam, PaginatedRequestParams,
        ProgressNotificationParam, ProtocolVersion, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use tokio::time::Instant;

use super::*;
use crate::{
    id::{Incarnation, ServerName},
    upstream::{Deadline, LinkEvent, ProgressSink, Protocol, Request, RequestError},
    wire::{Era, Primitive, RawValue, Revision},
};

const MINUTE: Duration = Duration::from_mins(1);
const SLOW: Duration = Duration::from_secs(2);
const LIMIT: usize = 1 << 20;

mod typed;

/// What the handlers of one test have been through.
#[derive(Default)]
struct Record {
    made: AtomicUsize,
    hanging: AtomicUsize,
    /// Slow calls that came to their end.
    ended: AtomicUsize,
}

/// Counts as long as a call hangs.
struct Hanging(Arc<Record>);

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.hanging.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Demo {
    versions: &'static [ProtocolVersion],
    record: Arc<Record>,
}

impl ServerHandler for Demo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(self.versions)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema: JsonObject = serde_json::from_str(r#"{"type":"object"}"#).unwrap();
        let tool = Tool::new("echo", "says it again", Arc::new(schema));
        Ok(ListToolsResult::with_all_items(vec![tool]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match request.name.as_ref() {
            "progress" => {
                let token = context.meta.get_progress_token().unwrap();
                for step in 1..4 {
                    let progress = ProgressNotificationParam::new(token.clone(), f64::from(step));
                    context.peer.notify_progress(progress).await.unwrap();
                }
                context.peer.notify_tool_list_changed().await.unwrap();
            }
            "hang" => {
                self.record.hanging.fetch_add(1, Ordering::SeqCst);
                let _hanging = Hanging(Arc::clone(&self.record));
                std::future::pending::<()>().await;
            }
            "polite" => {
                self.record.hanging.fetch_add(1, Ordering::SeqCst);
                let _hanging = Hanging(Arc::clone(&self.record));
                context.ct.cancelled().await;
            }
            "heedful" => {
                self.record.hanging.fetch_add(1, Ordering::SeqCst);
                let _hanging = Hanging(Arc::clone(&self.record));
                let work = tokio::time::sleep(SLOW);
                if context.ct.run_until_cancelled(work).await.is_some() {
                    self.record.ended.fetch_add(1, Ordering::SeqCst);
                }
            }
            "say" => {
                let said = LoggingMessageNotificationParam::new(LoggingLevel::Error, "of A".into());
                context.peer.notify_logging_message(said).await.unwrap();
                context.peer.notify_tool_list_changed().await.unwrap();
            }
            "roots" => {
                let roots = context.peer.list_roots().await.unwrap().roots;
                return Ok(CallToolResult::success(vec![ContentBlock::text(&roots[0].uri)]).into());
            }
            "runtime" => {
                let runtime = tokio::runtime::Handle::current().id().to_string();
                return Ok(CallToolResult::success(vec![ContentBlock::text(runtime)]).into());
            }
            "slow" => {
                self.record.hanging.fetch_add(1, Ordering::SeqCst);
                let _hanging = Hanging(Arc::clone(&self.record));
                tokio::time::sleep(SLOW).await;
                self.record.ended.fetch_add(1, Ordering::SeqCst);
            }
            "panic" => panic!("secret of {}", request.name),
            "refuse" => {
                let data = serde_json::json!({ "why": request.arguments });
                return Err(ErrorData::invalid_params("not that", Some(data)));
            }
            "big" => {
                let text = "x".repeat(LIMIT);
                return Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into());
            }
            _ => {}
        }
        Ok(CallToolResult::success(vec![ContentBlock::text("done")]).into())
    }
}

fn context(protocol: Protocol) -> ConnectContext {
    ConnectContext {
        server: ServerName::new("demo").unwrap(),
        incarnation: Incarnation(1),
        abilities: crate::wire::Abilities::NONE,
        roots: crate::upstream::Roots::default(),
        protocol,
        timeout: MINUTE,
        message_limit: LIMIT,
        stderr: Arc::new(StderrRing::default()),
        guard: crate::guard::Guard::none(),
    }
}

fn connector(versions: &'static [ProtocolVersion]) -> (impl Connect, Arc<Record>) {
    let record = Arc::new(Record::default());
    let shared = Arc::clone(&record);
    let connector = InProcess::new(move || {
        shared.made.fetch_add(1, Ordering::SeqCst);
        Demo { versions, record: Arc::clone(&shared) }
    });
    (connector, record)
}

async fn link() -> (Link, Arc<Record>) {
    let (connector, record) = connector(ProtocolVersion::KNOWN_VERSIONS);
    let link = connector.connect(context(Protocol::Auto)).await.unwrap();
    (link, record)
}

async fn call(link: &Link, tool: &str) -> Result<Box<RawValue>, RequestError> {
    called(link, &serde_json::json!({ "name": tool, "arguments": {} }), None).await
}

/// Calls a tool; one that wants progress goes over the stream.
async fn called(
    link: &Link,
    params: &serde_json::Value,
    progress: Option<ProgressSink>,
) -> Result<Box<RawValue>, RequestError> {
    link.request(request(params, progress)).await
}

fn request(params: &serde_json::Value, progress: Option<ProgressSink>) -> Request {
    Request {
        method: "tools/call".into(),
        params: Some(crate::wire::raw(params).into()),
        name: None,
        progress,
        deadline: Deadline::new(MINUTE, MINUTE),
        trace: None,
        dialogue: None,
    }
}

async fn hanging(record: &Record, calls: usize) {
    let wait = async {
        while record.hanging.load(Ordering::SeqCst) != calls {
            tokio::task::yield_now().await;
        }
    };
    timeout(MINUTE, wait).await.expect("the calls never came or never ended");
}

#[tokio::test(start_paused = true)]
async fn handlers_of_either_era_are_served() {
    const LEGACY: &[ProtocolVersion] = &[ProtocolVersion::V_2025_06_18];
    const MODERN: &[ProtocolVersion] = &[ProtocolVersion::V_2026_07_28];
    const BOTH: &[ProtocolVersion] = ProtocolVersion::KNOWN_VERSIONS;
    for (versions, protocol, era) in [
        (LEGACY, Protocol::Auto, Era::Legacy),
        (LEGACY, Protocol::Legacy, Era::Legacy),
        (MODERN, Protocol::Auto, Era::Modern),
        (MODERN, Protocol::Modern, Era::Modern),
        (BOTH, Protocol::Auto, Era::Modern),
        (BOTH, Protocol::Legacy, Era::Legacy),
    ] {
        let start = Instant::now();
        let (connector, _) = connector(versions);
        let link = connector.connect(context(protocol)).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO, "nothing was waited for");
        assert_eq!(link.facts().era, era);
        assert!(link.facts().info.is_some() && link.facts().pid.is_none());
        let tools = link.list(Primitive::Tool, Deadline::new(MINUTE, MINUTE)).await.unwrap();
        assert!(tools[0].get().contains("says it again"));
        assert!(call(&link, "echo").await.unwrap().get().contains("done"));
        link.probe(Deadline::new(MINUTE, MINUTE)).await.unwrap();
    }
    for (versions, protocol) in [(LEGACY, Protocol::Modern), (MODERN, Protocol::Legacy)] {
        let (connector, _) = connector(versions);
        let refused = connector.connect(context(protocol)).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Refused { .. }), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn progress_and_changes_come_through() {
    let (connector, _) = connector(ProtocolVersion::KNOWN_VERSIONS);
    let link = connector.connect(context(Protocol::Legacy)).await.unwrap();
    assert_eq!(link.facts().revision, Revision::LATEST_LEGACY);
    let (sink, mut progress) = ProgressSink::new(8);
    called(&link, &serde_json::json!({ "name": "progress" }), Some(sink)).await.unwrap();
    let mut count = 0;
    while progress.recv().await.is_some() {
        count += 1;
    }
    assert_eq!(count, 3);
    assert_eq!(link.event().await, Some(LinkEvent::ListsChanged));
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_in_the_handler() {
    let (connector, record) = connector(ProtocolVersion::KNOWN_VERSIONS);
    for protocol in [Protocol::Legacy, Protocol::Modern] {
        let link = connector.connect(context(protocol)).await.unwrap();
        tokio::select! {
            _ = call(&link, "polite") => panic!("answered"),
            () = hanging(&record, 1) => {}
        }
        hanging(&record, 0).await;
        assert!(call(&link, "echo").await.is_ok());
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_link_and_nothing_else() {
    let (connector, record) = connector(ProtocolVersion::KNOWN_VERSIONS);
    let healthy = connector.connect(context(Protocol::Auto)).await.unwrap();
    let context = context(Protocol::Auto);
    let ring = Arc::clone(&context.stderr);
    let link = connector.connect(context).await.unwrap();
    assert_eq!(record.made.load(Ordering::SeqCst), 2);
    let other = call(&link, "hang");
    let panics = async {
        hanging(&record, 1).await;
        call(&link, "panic").await
    };
    let (other, panicked) = tokio::join!(other, panics);
    for answer in [other, panicked] {
        assert!(matches!(answer, Err(RequestError::Lost { .. })), "{answer:?}");
    }
    let end = link.ended().await.to_string();
    assert_eq!(end, "transport failed: the in-process server panicked");
    assert_eq!(ring.last(1), ["secret of panic"]);
    hanging(&record, 0).await;
    assert!(call(&healthy, "echo").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_panics_fails_its_connect() {
    let connector = InProcess::new(|| -> Demo { panic!("no such thing") });
    let error = connector.connect(context(Protocol::Auto)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("panicked") && text.contains("no such thing"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn closing_and_dropping_end_the_handler_and_its_calls() {
    for drops in [true, false] {
        let (link, record) = link().await;
        tokio::select! {
            biased;
            _ = call(&link, "hang") => panic!("answered"),
            () = hanging(&record, 1) => {}
        }
        if drops {
            drop(link);
        } else {
            link.close(Duration::from_secs(2)).await;
            assert_eq!(record.hanging.load(Ordering::SeqCst), 0, "nothing is left of it");
            assert_eq!(link.ended().await, LinkEnd::Stopped);
        }
        hanging(&record, 0).await;
    }
}
