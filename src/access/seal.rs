//! What a client carries for us, between the rounds of a call and as the name of a task, so that it
//! can neither read nor change it: XChaCha20-Poly1305 over everything that it must not be taken to.
//!
//! Pure but for randomness: the time comes in as an argument. It never says why a state did not
//! open, because whoever tampers with one would like to know.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chacha20poly1305::{
    Key, KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Generate as _, Payload},
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Principal;
pub(super) use crate::wire::result::{RESPONSES, STATE};
use crate::{
    id::{Owner, ServerName},
    wire::{Era, Object, RawValue, meta, task},
};

/// Levels of objects whose members may stand in any order.
const DEEPEST: usize = 16;
/// How long what a client carries opens after it was sealed.
pub(super) const TTL: Duration = Duration::from_mins(5);
/// Bytes of a task's name at most: those of the longest that a server may give, each written as
/// `\u0000`, with the server's own, all of it sealed and in Base64.
const LONGEST_NAME: usize = 12 * 1024;
/// Bytes of a nonce, which stands before what is sealed.
const NONCE: usize = 24;

/// A line of text is no key.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is no key: 64 hexadecimal digits are one")]
pub struct KeyError {
    /// Which line, from 1.
    pub line: usize,
}

/// Keys that seal what clients carry: the first seals, all of them open.
#[derive(Clone)]
pub struct StateKeys(Vec<Key>);

impl fmt::Debug for StateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateKeys").field("count", &self.0.len()).finish_non_exhaustive()
    }
}

impl StateKeys {
    /// One new key.
    pub fn random() -> Self {
        Self(vec![Key::generate()])
    }

    /// Reads keys, the newest first: a line of 64 hexadecimal digits for each; empty lines and
    /// those that start with `#` are skipped.
    ///
    /// # Errors
    /// [`KeyError`] for a line that is something else, and for a text without any key.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = KeyError { line: index + 1 };
            let Ok(bytes) = HEXLOWER_PERMISSIVE.decode(line.as_bytes()) else { return Err(wrong) };
            let Ok(key) = <[u8; 32]>::try_from(bytes) else { return Err(wrong) };
            keys.push(Key::from(key));
        }
        if keys.is_empty() { Err(KeyError { line: 1 }) } else { Ok(Self(keys)) }
    }

    /// The keys as [`StateKeys::read`] takes them. They are secrets.
    pub fn expose(&self) -> String {
        self.0.iter().map(|key| HEXLOWER_PERMISSIVE.encode(key) + "\n").collect()
    }
}

/// Where a call goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ticket {
    /// A call that waits here for the answers to a round.
    Parked {
        /// Which call; never the same twice.
        talk: u128,
        /// Which of its rounds, from 1.
        round: usize,
    },
    /// A server that keeps nothing but what it gave us to keep.
    Server {
        /// Which server.
        server: ServerName,
        /// What told its definition from any other.
        program: Arc<str>,
        /// Its own state.
        state: Option<String>,
    },
    /// The call is made anew.
    Again,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    /// Seconds of the Unix epoch.
    expires: u64,
    ticket: Ticket,
}

/// A task, as its caller carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskTicket {
    /// Which server made it.
    pub(super) server: ServerName,
    /// What told its definition from any other: another program may have a task of the same name.
    pub(super) program: Arc<str>,
    /// That server's own name for it.
    pub(super) id: String,
}

/// What a state belongs to, and opens for nothing else.
#[derive(Clone, Debug)]
pub(super) struct Bound(Vec<u8>);

impl Bound {
    /// A principal's request on an owner's view, whatever it answers and carries.
    pub(super) fn new(
        principal: &Principal,
        owner: &Owner,
        method: &str,
        params: &RawValue,
    ) -> Self {
        let mut bound = Self::to([principal.as_str(), owner.as_str(), method]);
        bound.0.extend(digest(params));
        bound
    }

    /// A principal's tasks on an owner's view, by the rules of an era.
    pub(super) fn of_tasks(principal: &Principal, owner: &Owner, era: Era) -> Self {
        let rules = match era {
            Era::Legacy => "tasks of 2025-11-25",
            Era::Modern => task::EXTENSION,
        };
        Self::to([principal.as_str(), owner.as_str(), rules])
    }

    fn to(parts: [&str; 3]) -> Self {
        let mut bound = Vec::new();
        for part in parts {
            bound.extend((part.len() as u64).to_be_bytes());
            bound.extend(part.as_bytes());
        }
        Self(bound)
    }
}

/// What tells requests apart: without metadata and the members of a dialogue, members in the order
/// of their keys. Numbers and strings count as they are written, so that none is taken for another
/// that our own numbers cannot tell from it.
fn digest(params: &RawValue) -> [u8; 32] {
    let mut object = Object::read(params).unwrap_or_default();
    object.retain(|key| ![meta::META, STATE, RESPONSES].contains(&key));
    let mut hash = Sha256::new();
    canonical(&object.to_raw(), 0, &mut hash);
    hash.finalize().into()
}

/// Hashes a value; what is no object, lies too deep or cannot be read as one counts as it is
/// written.
fn canonical(value: &RawValue, depth: usize, hash: &mut Sha256) {
    let object = Object::read(value).filter(|_| depth < DEEPEST);
    let Some(object) = object else { return part(value.get(), hash) };
    let mut members: Vec<(&str, &RawValue)> = object.members().collect();
    members.sort_by_key(|(key, _)| *key);
    part(&members.len().to_string(), hash);
    for (key, value) in members {
        part(key, hash);
        canonical(value, depth + 1, hash);
    }
}

/// The length keeps neighbours apart.
fn part(text: &str, hash: &mut Sha256) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

/// Seals and opens.
pub(super) struct Seal {
    keys: StateKeys,
    ciphers: Vec<XChaCha20Poly1305>,
}

impl Seal {
    pub(super) fn new(keys: &StateKeys) -> Self {
        let ciphers = keys.0.iter().map(XChaCha20Poly1305::new).collect();
        Self { keys: keys.clone(), ciphers }
    }

    /// A state that a client may carry; `None` only if the cipher fails.
    pub(super) fn seal(&self, bound: &Bound, ticket: Ticket, now: SystemTime) -> Option<String> {
        let sealed = Sealed { expires: seconds(now + TTL), ticket };
        let msg = serde_json::to_vec(&sealed).ok()?;
        self.encrypt(&XNonce::generate(), bound, &msg)
    }

    /// Opens what was sealed for this and has not expired.
    pub(super) fn open(&self, bound: &Bound, state: &str, now: SystemTime) -> Option<Ticket> {
        let sealed: Sealed = serde_json::from_slice(&self.decrypt(bound, state)?).ok()?;
        (sealed.expires > seconds(now)).then_some(sealed.ticket)
    }

    /// A caller's name for a task. It is the same each time, so that the caller knows its task
    /// again, and opens as long as the key is there: its server decides how long a task lasts.
    pub(super) fn name(&self, bound: &Bound, task: &TaskTicket) -> Option<String> {
        let msg = serde_json::to_vec(task).ok()?;
        // No nonce may be used for two texts: this one is made of the text, by who has the key.
        let mut hash = Sha256::new();
        hash.update(self.keys.0.first()?);
        part("name of a task", &mut hash);
        hash.update((bound.0.len() as u64).to_be_bytes());
        hash.update(&bound.0);
        hash.update(&msg);
        let digest: [u8; 32] = hash.finalize().into();
        let nonce = XNonce::from(*digest.first_chunk::<NONCE>()?);
        self.encrypt(&nonce, bound, &msg)
    }

    /// The task of this caller that has a name.
    pub(super) fn named(&self, bound: &Bound, name: &str) -> Option<TaskTicket> {
        if name.len() > LONGEST_NAME {
            return None;
        }
        serde_json::from_slice(&self.decrypt(bound, name)?).ok()
    }

    fn encrypt(&self, nonce: &XNonce, bound: &Bound, msg: &[u8]) -> Option<String> {
        let text = self.ciphers.first()?.encrypt(nonce, Payload { msg, aad: &bound.0 }).ok()?;
        Some(BASE64URL_NOPAD.encode(&[nonce.as_slice(), &text].concat()))
    }

    fn decrypt(&self, bound: &Bound, sealed: &str) -> Option<Vec<u8>> {
        let bytes = BASE64URL_NOPAD.decode(sealed.as_bytes()).ok()?;
        let (nonce, msg) = bytes.split_at_checked(NONCE)?;
        let nonce = XNonce::from(<[u8; NONCE]>::try_from(nonce).ok()?);
        let open = |cipher: &XChaCha20Poly1305| {
            cipher.decrypt(&nonce, Payload { msg, aad: &bound.0 }).ok()
        };
        self.ciphers.iter().find_map(open)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(feature = "bench")]
pub mod bench;
#[cfg(test)]
mod tests;
