//! In-process servers that do what a test says, built on rmcp's own server.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures::future::BoxFuture;
use rmcp::{
    ErrorData, Peer, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject,
        ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig,
        Tool,
    },
    service::{NotificationContext, RequestContext},
};
use serde_json::Value;

use super::heard::Heard;

/// One call of a scripted tool.
pub struct Call {
    /// Its arguments.
    pub arguments: JsonObject,
    /// Its cancellation, metadata and way back to the caller.
    pub context: RequestContext<RoleServer>,
}

type Answer = Result<CallToolResult, ErrorData>;
type Act = Arc<dyn Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync>;

/// What a server does. Clones share it, so a test changes and watches a server that runs.
#[derive(Clone, Default)]
pub struct Script(Arc<Shared>);

#[derive(Default)]
struct Shared {
    tools: Mutex<BTreeMap<String, Act>>,
    calls: Mutex<Vec<String>>,
    clients: Mutex<Vec<Peer<RoleServer>>>,
    lives: AtomicUsize,
    listings: AtomicUsize,
    cancelled: AtomicUsize,
    legacy: AtomicBool,
}

impl Script {
    /// A server of both eras without tools.
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks only revisions with `initialize`.
    pub fn legacy(self) -> Self {
        self.0.legacy.store(true, Ordering::Relaxed);
        self
    }

    /// Adds or replaces a tool.
    pub fn tool<F>(self, name: &str, act: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let act: Act = Arc::new(move |call| Box::pin(act(call)));
        self.0.tools.lock().unwrap().insert(name.to_owned(), act);
        self
    }

    /// Adds `echo`, which answers its arguments as text.
    pub fn echo(self) -> Self {
        self.tool("echo", async |call| Ok(text(Value::Object(call.arguments).to_string())))
    }

    /// Adds `hang`, which answers only its cancellation.
    pub fn hang(self) -> Self {
        let shared = Arc::downgrade(&self.0);
        self.tool("hang", move |call| {
            let shared = Weak::clone(&shared);
            async move {
                call.context.ct.cancelled().await;
                if let Some(shared) = shared.upgrade() {
                    shared.cancelled.fetch_add(1, Ordering::Relaxed);
                }
                Ok(text("cancelled"))
            }
        })
    }

    /// Adds `crash`, which ends its server with a panic.
    pub fn crash(self) -> Self {
        self.tool("crash", async |_| panic!("a scripted crash"))
    }

    /// Takes a tool away.
    pub fn remove(&self, name: &str) {
        self.0.tools.lock().unwrap().remove(name);
    }

    /// Tells every client that has initialised that the list of tools changed.
    pub async fn announce(&self) {
        let clients = self.0.clients.lock().unwrap().clone();
        for client in clients {
            // A client that is gone need not know.
            client.notify_tool_list_changed().await.ok();
        }
    }

    /// The tools that were called, in their order.
    pub fn calls(&self) -> Vec<String> {
        self.0.calls.lock().unwrap().clone()
    }

    /// How many servers were made of it.
    pub fn lives(&self) -> usize {
        self.0.lives.load(Ordering::Relaxed)
    }

    /// How often its tools were listed.
    pub fn listings(&self) -> usize {
        self.0.listings.load(Ordering::Relaxed)
    }

    /// How many calls of `hang` were cancelled.
    pub fn cancelled(&self) -> usize {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// A server that follows the script: one life, in which what it is sent is checked.
    pub fn server(&self) -> Heard<Server> {
        Heard::new(self.handler())
    }

    /// The same for where its bytes are checked before it reads them.
    pub fn handler(&self) -> Server {
        self.0.lives.fetch_add(1, Ordering::Relaxed);
        Server(Self::clone(self))
    }
}

/// A successful result of one text.
pub fn text(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// One life of a scripted server.
pub struct Server(Script);

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        ServerConfig::new(capabilities)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        let newest = if self.0.0.legacy.load(Ordering::Relaxed) {
            ProtocolVersion::LATEST_WITH_INITIALIZE
        } else {
            ProtocolVersion::LATEST
        };
        Cow::Borrowed(ProtocolVersion::known_up_to(&newest))
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.0.0.clients.lock().unwrap().push(context.peer);
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.0.0.listings.fetch_add(1, Ordering::Relaxed);
        let tools = self.0.0.tools.lock().unwrap();
        let tools = tools.keys().map(|name| tool(name)).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let shared = &self.0.0;
        let act = shared.tools.lock().unwrap().get(&*request.name).cloned();
        let Some(act) = act else {
            return Err(ErrorData::invalid_params("no such tool", None));
        };
        shared.calls.lock().unwrap().push(request.name.into_owned());
        let arguments = request.arguments.unwrap_or_default();
        act(Call { arguments, context }).await.map(CallToolResponse::Complete)
    }
}

fn tool(name: &str) -> Tool {
    let schema = rmcp::object!({"type": "object"});
    Tool::new(name.to_owned(), format!("The scripted tool {name}."), schema)
}
