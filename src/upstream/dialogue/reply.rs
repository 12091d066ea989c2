//! The way back to a server that asked: how far its answer is, then the answer, once.
//!
//! Owned by whoever was asked. Progress is a hint: it is bounded, and leaves answers their room.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use super::{Response, declined};
use crate::wire::{Object, RawValue, envelope, meta, method};

/// Bytes of one progress notification at most; a longer one is dropped.
const HINT: usize = 64 << 10;

/// One message on its way back to a server that asked.
pub(in crate::upstream) enum Back {
    /// The answer to its request.
    Answer(Vec<u8>),
    /// How far the answer is. May be lost.
    Hint(Hint),
}

/// How far an answer is.
pub(in crate::upstream) struct Hint {
    line: Vec<u8>,
    /// Gone once the question is answered or nobody's any more.
    open: Weak<()>,
}

impl Hint {
    /// What is told, if anybody wants to know it still.
    pub(in crate::upstream) fn line(self) -> Option<Vec<u8>> {
        (self.open.strong_count() > 0).then_some(self.line)
    }
}

/// Takes the answer to one request of a server, and how far it is until then.
pub struct Reply {
    method: &'static str,
    send: Option<Box<dyn FnOnce(Response) + Send>>,
    progress: Option<Box<Wanted>>,
}

/// Progress that a server wants to hear of.
struct Wanted {
    /// Its own token.
    token: Box<RawValue>,
    /// The value that was passed on last.
    last: f64,
    send: Box<dyn Fn(Hint) + Send>,
    open: Arc<()>,
}

impl Reply {
    /// A way back to whoever asked; it is gone after one answer.
    pub fn new(method: &'static str, send: impl FnOnce(Response) + Send + 'static) -> Self {
        Self { method, send: Some(Box::new(send)), progress: None }
    }

    /// Whoever asked gave a token, under which it wants to hear how far the answer is: a text or a
    /// whole number (MCP, `ProgressToken`), any other is none.
    pub(super) fn watched(
        mut self,
        token: Box<RawValue>,
        send: impl Fn(Hint) + Send + 'static,
    ) -> Self {
        let digits = token.get().strip_prefix('-').unwrap_or(token.get());
        if !digits.starts_with('"') && !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return self;
        }
        let (last, open) = (f64::NEG_INFINITY, Arc::default());
        let wanted = Wanted { token, last, send: Box::new(send), open };
        self.progress = Some(Box::new(wanted));
        self
    }

    /// Tells the server how far its answer is: `ProgressNotificationParams` under any token.
    ///
    /// Lost where the server gave no token, where the value does not increase (MCP, progress), and
    /// beyond 64 KiB.
    pub fn progress(&mut self, mut params: Object<'_>) {
        let Some(wanted) = &mut self.progress else { return };
        let Some(value) = params.typed::<f64>("progress").filter(|value| *value > wanted.last)
        else {
            return;
        };
        params.put(meta::PROGRESS_TOKEN, &*wanted.token);
        let line = envelope::notification(method::PROGRESS, Some(&params.to_raw()));
        if line.len() <= HINT {
            wanted.last = value;
            (wanted.send)(Hint { line, open: Arc::downgrade(&wanted.open) });
        }
    }

    /// Answers the server.
    pub fn give(mut self, response: Response) {
        self.progress = None;
        if let Some(send) = self.send.take() {
            send(response);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(send) = self.send.take() {
            send(declined(self.method));
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("method", &self.method).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::wire::raw;

    #[test]
    fn progress_increases_under_the_servers_own_token_and_is_short() {
        let (sender, mut sent) = mpsc::unbounded_channel();
        let token = RawValue::from_string(r#""theirs""#.to_owned()).unwrap();
        let mut reply = Reply::new(method::SAMPLE, |_| {}).watched(token, move |hint| {
            sender.send(String::from_utf8(hint.line().unwrap()).unwrap()).unwrap();
        });
        let mut tell = |params: &str| {
            let params = RawValue::from_string(params.to_owned()).unwrap();
            reply.progress(Object::read(&params).unwrap());
            sent.try_recv().ok()
        };
        let line = tell(r#"{"progressToken":1,"progress":1.50,"x":2e400}"#).unwrap();
        assert!(line.contains(r#"{"progressToken":"theirs","progress":1.50,"x":2e400}"#), "{line}");
        assert_eq!(tell(r#"{"progressToken":1,"progress":1.5}"#), None);
        assert_eq!(tell(r#"{"progressToken":1,"progress":"2"}"#), None);
        let long = format!(r#"{{"progress":2,"message":"{}"}}"#, "x".repeat(HINT));
        assert_eq!(tell(&long), None);
        assert!(tell(r#"{"progress":2}"#).is_some());
        for odd in ["null", "{}", "1.0", "1e400", "true"] {
            let token = RawValue::from_string(odd.to_owned()).unwrap();
            let mut reply =
                Reply::new(method::SAMPLE, |_| {}).watched(token, move |_| panic!("{odd}"));
            reply.progress(Object::read(&raw(&serde_json::json!({"progress": 1}))).unwrap());
        }
    }
}
