//! Calls by their types: what differs from those over the stream, and what must not.

use futures::poll;
use rmcp::{
    model::{ClientRequest, ServerResult},
    service::NotificationContext,
};

use super::*;
use crate::{
    id::Owner,
    upstream::{
        Dialogue, Root, Roots,
        dialogue::{DialogueSink, Whose},
    },
    wire::{Abilities, Ability, Level},
};

#[tokio::test(start_paused = true)]
async fn a_call_by_its_types_is_answered_as_one_over_the_stream() {
    let (connector, _) = connector(ProtocolVersion::KNOWN_VERSIONS);
    for protocol in [Protocol::Legacy, Protocol::Modern] {
        let link = connector.connect(context(protocol)).await.unwrap();
        for params in [
            serde_json::json!({ "name": "echo", "arguments": { "a": [1.50, "\u{1}"] } }),
            serde_json::json!({ "name": "refuse", "arguments": { "a": 1, "b": null } }),
            serde_json::json!({ "name": "refuse", "_meta": { "own/key": 1 } }),
            serde_json::json!({ "name": "echo", "arguments": [] }),
            serde_json::json!({ "arguments": {} }),
            serde_json::json!({ "name": "big" }),
        ] {
            let (sink, _progress) = ProgressSink::new(1);
            let over = called(&link, &params, Some(sink)).await;
            let typed = called(&link, &params, None).await;
            assert_eq!(format!("{typed:?}"), format!("{over:?}"), "{params}");
        }
        assert_eq!(link.in_flight(), 0);
    }
}

#[tokio::test]
async fn a_plain_call_takes_no_other_task_than_that_of_its_handler() {
    let mut tasks = JoinSet::new();
    tasks.spawn(async {
        let (link, _) = link().await;
        call(&link, "echo").await.unwrap();
        let params = serde_json::json!({ "name": "echo" });
        for (progress, is_plain) in [(None, true), (Some(ProgressSink::new(1).0), false)] {
            let mut request = Box::pin(called(&link, &params, progress));
            assert!(poll!(&mut request).is_pending());
            // Tasks take turns: behind this one there is time for one step of each other.
            let mut turn = JoinSet::new();
            turn.spawn(async {});
            turn.join_next().await;
            assert_eq!(poll!(&mut request).is_ready(), is_plain);
        }
    });
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_has_a_while_to_end_what_its_caller_gave_up() {
    let both = [Duration::from_secs(1), Duration::from_secs(3)];
    for (tool, patience) in ["slow", "heedful"].into_iter().flat_map(|it| both.map(|p| (it, p))) {
        let (link, record) = link().await;
        tokio::select! {
            biased;
            _ = call(&link, tool) => panic!("answered"),
            () = hanging(&record, 1) => {}
        }
        link.close(patience).await;
        assert_eq!(record.hanging.load(Ordering::SeqCst), 0);
        assert_eq!(record.ended.load(Ordering::SeqCst) == 1, patience > SLOW);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_says_in_a_plain_call_reaches_no_other_caller() {
    let (connector, record) = connector(ProtocolVersion::KNOWN_VERSIONS);
    for protocol in [Protocol::Legacy, Protocol::Modern] {
        let link = connector.connect(context(protocol)).await.unwrap();
        let (sink, mut told) = DialogueSink::new(8);
        let party = Some(Whose { owner: Owner::Store, session: None });
        let level = Some(Level::Debug);
        let dialogue = Dialogue { party, level, sink: Some(sink), ..Dialogue::default() };
        let hears = link.request(Request {
            dialogue: Some(Arc::new(dialogue)),
            ..request(&serde_json::json!({ "name": "polite" }), None)
        });
        let says = async {
            hanging(&record, 1).await;
            call(&link, "say").await.unwrap();
            // It came after what was said, over the same stream.
            assert_eq!(link.event().await, Some(LinkEvent::ListsChanged));
        };
        tokio::select! {
            biased;
            _ = hears => panic!("answered"),
            () = says => {}
        }
        assert!(told.try_recv().is_err(), "{protocol:?}");
        hanging(&record, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_learns_the_configured_roots_in_a_plain_call() {
    let (connector, _) = connector(ProtocolVersion::KNOWN_VERSIONS);
    let roots = Roots::new(vec![Root { uri: "file:///here".to_owned(), name: None }]);
    let abilities = Abilities::NONE.and(Ability::Roots);
    let context = ConnectContext { abilities, roots, ..context(Protocol::Legacy) };
    let link = connector.connect(context).await.unwrap();
    assert!(call(&link, "roots").await.unwrap().get().contains("file:///here"));
}

#[tokio::test]
async fn a_handler_runs_where_its_service_does() {
    let (link, _) = link().await;
    let here = tokio::runtime::Handle::current().id().to_string();
    let elsewhere = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(call(&link, "runtime")).unwrap()
    });
    assert!(elsewhere.await.unwrap().get().contains(&format!("{here:?}")));
}

/// Panics before there is anything to wait for.
struct Eager(Demo);

impl Service<RoleServer> for Eager {
    fn handle_request(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ServerResult, ErrorData>> + Send + '_ {
        assert!(!matches!(request, ClientRequest::CallToolRequest(_)), "at once");
        self.0.handle_request(request, context)
    }

    async fn handle_notification(
        &self,
        notification: rmcp::model::ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.0.handle_notification(notification, context).await
    }

    fn get_info(&self) -> ServerConfig {
        Service::get_info(&self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_at_once_ends_its_link() {
    let demo = || Demo { versions: ProtocolVersion::KNOWN_VERSIONS, record: Arc::default() };
    let connector = InProcess::new(move || Eager(demo()));
    let link = connector.connect(context(Protocol::Legacy)).await.unwrap();
    let answer = call(&link, "echo").await;
    assert!(matches!(answer, Err(RequestError::Lost { .. })), "{answer:?}");
    assert_eq!(link.ended().await.to_string(), "transport failed: the in-process server panicked");
}
