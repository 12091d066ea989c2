//! What waits for answers, and what waits to be written beside requests.
//!
//! One short lock; nothing is sent, read or decided about the connection here. Every request
//! that is registered is answered exactly once, at the latest when the table ends.

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};

use super::{Acknowledged, Answer, Call, Outgoing};
use crate::{
    upstream::{
        LinkEnd, RequestError,
        dialogue::{Back, GivenUp, Party, addressee},
        progress::Track,
    },
    wire::RawValue,
};

/// Answers to a server's requests that wait to be written, at most; a server that asks faster
/// than it reads loses the rest.
const REPLIES: usize = 64;
/// Bytes of one such answer at most; only an absurd id makes a longer one.
const REPLY: usize = 4096;

/// The table of one link.
#[derive(Default)]
pub(super) struct Pending(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    given_up: GivenUp,
    /// Cancellations: as many as requests were taken, so bounded by those.
    cancellations: Vec<Vec<u8>>,
    replies: VecDeque<Vec<u8>>,
    /// Answers of callers and of the configuration, and how far they are; a server that asks faster
    /// than it reads loses the rest.
    answers: Vec<Vec<u8>>,
    /// Set once nothing more can be asked.
    end: Option<LinkEnd>,
}

struct Entry {
    answer: oneshot::Sender<Answer>,
    progress: Option<Track>,
    acknowledged: Option<Acknowledged>,
    /// Who is behind it, where the server may ask back.
    party: Option<Party>,
    sent: Sent,
}

/// How far a request came on its way to the kernel.
#[derive(Clone, Copy)]
enum Sent {
    /// In the queue: the writer asks before it takes it.
    Queued,
    /// Taken by the writer: will be written unless the link ends first.
    Taken,
    /// Its newline has gone to the kernel.
    Written(Instant),
}

impl Pending {
    /// Has a request wait for its answer, unless the link is over.
    pub(super) fn register(
        &self,
        id: u64,
        call: &Call<'_>,
    ) -> Result<oneshot::Receiver<Answer>, RequestError> {
        let (answer, receiver) = oneshot::channel();
        let mut table = self.0.lock();
        if let Some(end) = &table.end {
            return Err(RequestError::NotSent(end.clone()));
        }
        table.entries.insert(
            id,
            Entry {
                answer,
                progress: call.progress.clone().map(|it| Track::new(it, call.deadline.clone())),
                acknowledged: call.acknowledged.clone(),
                party: call.party(),
                sent: Sent::Queued,
            },
        );
        Ok(receiver)
    }

    /// A request is carried out from now on without being written; false if it has failed already.
    pub(super) fn begin(&self, id: u64) -> bool {
        let mut table = self.0.lock();
        let Some(entry) = table.entries.get_mut(&id) else { return false };
        entry.sent = Sent::Written(Instant::now());
        true
    }

    /// Forgets a request that nobody waits for any more; says whether the server gets it. In that
    /// case `cancellation` is written after it.
    pub(super) fn forget(&self, id: u64, cancellation: Option<Vec<u8>>) -> bool {
        let mut table = self.0.lock();
        match table.entries.remove(&id) {
            None | Some(Entry { sent: Sent::Queued, .. }) => false,
            Some(Entry { sent: Sent::Taken | Sent::Written(_), party, .. }) => {
                table.cancellations.extend(cancellation);
                if let Some(party) = party {
                    table.given_up.add(id, &party);
                }
                true
            }
        }
    }

    /// Answers a request; false if nobody waits for it.
    pub(super) fn answer(&self, id: u64, answer: impl FnOnce() -> Answer) -> bool {
        let entry = {
            let mut table = self.0.lock();
            table.given_up.answered(id);
            table.entries.remove(&id)
        };
        match entry {
            Some(entry) => entry.answer.send(answer()).is_ok(),
            None => false,
        }
    }

    /// Passes progress on if it exceeds the last; false if nobody waits for it.
    pub(super) fn progress(&self, id: u64, value: f64, params: &RawValue) -> bool {
        let table = self.0.lock();
        match table.entries.get(&id).and_then(|entry| entry.progress.as_ref()) {
            Some(track) => {
                track.pass(value, params);
                true
            }
            None => false,
        }
    }

    /// A subscription is acknowledged; false if nobody waits for that.
    pub(super) fn acknowledge(&self, id: u64, params: &RawValue) -> bool {
        let table = self.0.lock();
        let waiting = table.entries.get(&id).and_then(|entry| entry.acknowledged.as_ref());
        waiting.is_some_and(|waiting| waiting.try_send(params.to_owned()).is_ok())
    }

    /// Whose a message of the server is that names no call, among the calls that it has.
    pub(super) fn addressee(&self) -> Option<Party> {
        let table = self.0.lock();
        let written = table.entries.iter().filter(|(_, entry)| !matches!(entry.sent, Sent::Queued));
        let calls = written.filter_map(|(id, entry)| Some((*id, entry.party.as_ref()?)));
        addressee(calls).filter(|party| table.given_up.allow(party)).cloned()
    }

    /// Queues a caller's answer to the server, or that of the configuration, or how far one is;
    /// false if there is no room.
    pub(super) fn tell_server(&self, back: Back) -> bool {
        let (mut line, most) = match back {
            Back::Answer(line) => (line, REPLIES),
            Back::Hint(hint) => match hint.line() {
                Some(line) => (line, REPLIES / 2),
                None => return true,
            },
        };
        let mut table = self.0.lock();
        let room = table.answers.len() < most;
        if room && table.end.is_none() {
            line.push(b'\n');
            table.answers.push(line);
        }
        room
    }

    /// Queues an answer to the server; false if there is no room.
    pub(super) fn reply(&self, line: Vec<u8>) -> bool {
        let mut table = self.0.lock();
        let room = table.replies.len() < REPLIES && line.len() <= REPLY;
        if room {
            table.replies.push_back(line);
        }
        room
    }

    /// Moves everything that is to be written into `batch`: requests that somebody still waits
    /// for, cancellations after them, answers to the server.
    pub(super) fn take(&self, queued: &mut Vec<Outgoing>, batch: &mut impl FnMut(Outgoing)) {
        let mut table = self.0.lock();
        for outgoing in queued.drain(..) {
            match outgoing.id.map(|id| table.entries.get_mut(&id)) {
                Some(None) => continue,
                Some(Some(entry)) => entry.sent = Sent::Taken,
                None => {}
            }
            batch(outgoing);
        }
        let cancellations = mem::take(&mut table.cancellations);
        let answers = mem::take(&mut table.answers);
        for line in cancellations.into_iter().chain(answers).chain(table.replies.drain(..)) {
            batch(Outgoing { id: None, line });
        }
    }

    /// The newlines of these requests have gone to the kernel.
    pub(super) fn written(&self, ids: impl Iterator<Item = u64>, at: Instant) {
        let mut table = self.0.lock();
        for id in ids {
            if let Some(entry) = table.entries.get_mut(&id) {
                entry.sent = Sent::Written(at);
            }
        }
    }

    /// Nothing more can be asked. What was never written fails as such.
    pub(super) fn refuse(&self, end: &LinkEnd) {
        self.fail(end, |sent| !matches!(sent, Sent::Written(_)));
    }

    /// The link is over: everybody who waits learns it.
    pub(super) fn end(&self, end: &LinkEnd) {
        self.fail(end, |_| true);
    }

    /// A later cause is a better one, except where we closed the link ourselves. Callers must
    /// have stopped the writer, so that what counts as not written stays so.
    fn fail(&self, end: &LinkEnd, which: impl Fn(Sent) -> bool) {
        let mut table = self.0.lock();
        if table.end != Some(LinkEnd::Stopped) {
            table.end = Some(end.clone());
        }
        let end = table.end.clone().unwrap_or_else(|| end.clone());
        let mut failed: Vec<(u64, Entry)> =
            table.entries.extract_if(|_, entry| which(entry.sent)).collect();
        // In their order, so that what goes on to the next link does so in its order too.
        failed.sort_unstable_by_key(|(id, _)| *id);
        table.cancellations.clear();
        table.replies.clear();
        table.answers.clear();
        drop(table);
        for (_, Entry { answer, sent, .. }) in failed {
            let end = end.clone();
            let error = match sent {
                Sent::Queued | Sent::Taken => RequestError::NotSent(end),
                Sent::Written(written) => RequestError::Lost { end, written },
            };
            answer.send(Err(error)).ok();
        }
    }

    /// How the link ended, once it has.
    pub(super) fn ended(&self) -> Option<LinkEnd> {
        self.0.lock().end.clone()
    }

    /// How many requests wait for an answer.
    pub(super) fn len(&self) -> usize {
        self.0.lock().entries.len()
    }
}
