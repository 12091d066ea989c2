//! Calls that carry an idempotency key: whoever asks how often under one key, it is carried out
//! once and everybody gets its one answer.
//!
//! Owned by the gate, in memory. A call under a key goes on when its caller leaves, because whoever
//! comes back with the key wants its answer. Never keeps the answer of what was not executed.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tracing::Instrument as _;

use super::{Answer, CallError, CallRequest, Delivery, Principal, Subject, live};
use crate::{
    id::Owner,
    runtime::Scope,
    wire::{Needle, Object, RawValue, meta, result},
};

/// The `_meta` entry of a call that names its key.
const KEY: &str = "io.switchboard/idempotencyKey";
/// How long an answer is kept after it came.
const KEPT: Duration = Duration::from_mins(10);
/// Bytes of all kept answers; beyond, the oldest go first.
const HELD: usize = 64 * 1024 * 1024;
/// Characters of a key at most.
const LONGEST: usize = 256;

type Outcome = Result<Answer, CallError>;

/// Who asked for what under which key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    principal: Principal,
    owner: Owner,
    subject: Subject,
    key: String,
}

/// A call under way, or answered.
struct Run {
    parameters: [u8; 32],
    outcome: watch::Receiver<Option<Outcome>>,
}

#[derive(Default)]
struct Runs {
    by_key: HashMap<Asked, Run>,
    /// What is kept, in the order in which it came, with its size.
    kept: VecDeque<(Instant, Asked, usize)>,
    held: usize,
}

/// The calls under a key of one gate.
#[derive(Default)]
pub(super) struct Once {
    runs: Mutex<Runs>,
    tasks: Mutex<JoinSet<()>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

/// The key of a call, if it has one.
///
/// # Errors
/// [`CallError::Invalid`] for one that is no text of 1 to 256 characters.
pub(super) fn key(params: &RawValue) -> Result<Option<String>, CallError> {
    // Nearly no call has one, and a search costs less than reading the object.
    static KEYED: Needle = Needle::new(KEY);
    if !KEYED.is_in(params) {
        return Ok(None);
    }
    let params = Object::read(params).unwrap_or_default();
    let meta = params.object(meta::META).unwrap_or_default();
    let Some(raw) = meta.get(KEY) else { return Ok(None) };
    match serde_json::from_str::<String>(raw.get()) {
        Ok(key) if (1..=LONGEST).contains(&key.chars().count()) => Ok(Some(key)),
        _ => {
            Err(CallError::Invalid(format!("`{KEY}` must be a text of 1 to {LONGEST} characters")))
        }
    }
}

impl Once {
    /// Carries a call out, or joins the one that was asked for under the same key.
    pub(super) async fn call(
        self: &Arc<Self>,
        principal: &Principal,
        scope: Scope,
        request: CallRequest,
        key: String,
    ) -> Outcome {
        let (principal, owner) = (principal.clone(), scope.owner().clone());
        let asked = Asked { principal, owner, subject: request.subject.clone(), key };
        let parameters = digest(&request.params);
        let mut outcome = {
            let mut runs = self.runs.lock();
            runs.expire(Instant::now());
            match runs.by_key.get(&asked) {
                Some(run) if run.parameters != parameters => {
                    return Err(CallError::Invalid(format!(
                        "other arguments were sent under this `{KEY}` before; give each call its own key"
                    )));
                }
                Some(run) => run.outcome.clone(),
                None => {
                    let (sender, outcome) = watch::channel(None);
                    let run = Run { parameters, outcome: outcome.clone() };
                    runs.by_key.insert(asked.clone(), run);
                    self.start(scope, request, asked, sender);
                    outcome
                }
            }
        };
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(CallError::Draining)),
            // Its task ended without an answer: the runtime ends.
            Err(_) => Err(CallError::Draining),
        }
    }

    /// Drops what was kept for long enough.
    pub(super) fn expire(&self) {
        self.runs.lock().expire(Instant::now());
    }

    fn start(
        self: &Arc<Self>,
        scope: Scope,
        request: CallRequest,
        asked: Asked,
        sender: watch::Sender<Option<Outcome>>,
    ) {
        let once = Arc::downgrade(self);
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        let run = async move {
            let entry = Entry { once, asked, kept: false };
            let outcome = live::call(&scope, &request).await;
            entry.settle(&outcome);
            // Everybody who waited may have left.
            sender.send(Some(outcome)).ok();
        };
        tasks.spawn(run.in_current_span());
    }
}

impl Runs {
    fn keep(&mut self, asked: Asked, size: usize, now: Instant) {
        self.held += size;
        self.kept.push_back((now, asked, size));
        self.expire(now);
    }

    fn expire(&mut self, now: Instant) {
        while let Some((since, ..)) = self.kept.front()
            && (self.held > HELD || now.saturating_duration_since(*since) >= KEPT)
            && let Some((_, asked, size)) = self.kept.pop_front()
        {
            self.held -= size;
            self.by_key.remove(&asked);
        }
    }
}

/// The entry of a call under way; dropped without being kept, its key is free again.
struct Entry {
    once: Weak<Once>,
    asked: Asked,
    kept: bool,
}

impl Entry {
    /// Keeps what was or may have been executed.
    fn settle(mut self, outcome: &Outcome) {
        let size = match outcome {
            // It was not carried out yet, and comes back with a state instead of the key.
            Ok(answer) if result::wants_input(&answer.result) => return,
            Ok(answer) => answer.result.get().len(),
            Err(CallError::Server { error, .. }) => error.raw().get().len(),
            Err(CallError::Failed(failure)) if failure.phase == Delivery::Written => 0,
            Err(_) => return,
        };
        self.kept = true;
        if let Some(once) = self.once.upgrade() {
            once.runs.lock().keep(self.asked.clone(), size, Instant::now());
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.kept
            && let Some(once) = self.once.upgrade()
        {
            once.runs.lock().by_key.remove(&self.asked);
        }
    }
}

/// What tells parameters apart, byte for byte; metadata is not part of what is asked.
fn digest(params: &RawValue) -> [u8; 32] {
    let mut params = Object::read(params).unwrap_or_default();
    params.remove(meta::META);
    Sha256::digest(params.to_raw().get()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_however_its_name_is_written() {
        let of = |name: &str| {
            let params = format!(r#"{{"name":"t","_meta":{{"{name}":"k"}}}}"#);
            key(&RawValue::from_string(params).unwrap()).unwrap()
        };
        for name in
            [KEY, r"io.switchboard\/idempotencyKey", r"\u0069o.switchboard/idempotency\u004Bey"]
        {
            assert_eq!(of(name).as_deref(), Some("k"), "{name}");
        }
        assert_eq!(of(r"io.switchboard\n/idempotencyKey"), None);
    }

    #[test]
    fn everything_but_metadata_tells_requests_apart() {
        let of = |text: &str| digest(&RawValue::from_string(text.to_owned()).unwrap());
        let base = of(r#"{"ref":1,"argument":{"value":"a"},"_meta":{"progressToken":1}}"#);
        assert_eq!(base, of(r#"{"ref":1,"argument":{"value":"a"},"_meta":{"progressToken":2}}"#));
        assert_eq!(base, of(r#"{"ref":1,"argument":{"value":"a"}}"#));
        assert_ne!(base, of(r#"{"ref":1,"argument":{"value":"b"}}"#));
    }
}
