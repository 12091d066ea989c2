//! An in-process service around another one: what reaches it, as rmcp read it, is held against its
//! revision before it is passed on. What goes over bytes that a test can tap is read there instead.

use std::{borrow::Cow, sync::Mutex};

use rmcp::{
    ErrorData, RoleServer, Service,
    model::{ClientNotification, ClientRequest, ProtocolVersion, ServerConfig, ServerResult},
    service::{NotificationContext, RequestContext},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::outgoing::Leg;

/// A service whose messages are held against the published schemas.
pub struct Heard<S> {
    service: S,
    leg: Mutex<Leg>,
}

impl<S> Heard<S> {
    /// Listens to what a service is sent.
    pub fn new(service: S) -> Self {
        Self { service, leg: Mutex::default() }
    }

    /// rmcp has taken the metadata out of a message by now.
    fn hear(&self, message: &impl Serialize, meta: &impl Serialize, id: Option<Value>) {
        let mut message = serde_json::to_value(message).unwrap();
        let meta = serde_json::to_value(meta).unwrap();
        message["jsonrpc"] = json!("2.0");
        if meta.as_object().is_some_and(|meta| !meta.is_empty()) {
            message["params"]["_meta"] = meta;
        }
        if let Some(id) = id {
            message["id"] = id;
        }
        self.leg.lock().unwrap().hear(&message);
    }
}

impl<S: Service<RoleServer>> Service<RoleServer> for Heard<S> {
    async fn handle_request(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        let id = serde_json::to_value(&context.id).unwrap();
        self.hear(&request, &context.meta, Some(id));
        self.service.handle_request(request, context).await
    }

    async fn handle_notification(
        &self,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.hear(&notification, &context.meta, None);
        self.service.handle_notification(notification, context).await
    }

    fn get_info(&self) -> ServerConfig {
        self.service.get_info()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.service.supported_protocol_versions()
    }
}
