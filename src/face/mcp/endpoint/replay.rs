//! What one stream of a legacy session sent, kept so that a client can resume it.
//!
//! A log has one writer and any number of readers over time; a live stream and a resumed one
//! read it alike. It is bounded in number and in bytes: notifications, and questions that were read,
//! give way to what is newer; an answer never does.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{face::mcp::fault::Head, wire::Pieces};

/// Notifications of one stream that are kept at most.
const KEPT_NOTIFICATIONS: usize = 64;
/// Bytes of notifications and questions of one stream that are kept at most.
const KEPT_BYTES: usize = 4 << 20;
/// How long a stream without readers is kept.
pub(crate) const KEPT_FOR: Duration = Duration::from_mins(5);

/// Whether an event may give way to a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// A notification: may be lost.
    Notification,
    /// A request to the client: may be lost once it was read.
    Request,
    /// A response: is kept as long as the log. What its head says, if it is the only one.
    Response(Head),
}

/// One event: its number in the stream, and the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// 1 for the first.
    pub(crate) number: u64,
    /// The message, one line.
    pub(crate) line: Pieces,
    weight: Weight,
}

impl Event {
    fn is_no_response(&self) -> bool {
        !matches!(self.weight, Weight::Response(_))
    }

    /// Whether it may give way where everything up to a number was read.
    fn may_go(&self, read: u64) -> bool {
        match self.weight {
            Weight::Notification => true,
            Weight::Request => self.number <= read,
            Weight::Response(_) => false,
        }
    }
}

#[derive(Debug)]
struct State {
    events: VecDeque<Event>,
    last: u64,
    /// The last that a reader took.
    read: u64,
    notifications: usize,
    /// Bytes of what is no response.
    held: usize,
    complete: bool,
    touched: Instant,
}

impl State {
    /// Lets the oldest go that may, as long as there is too much.
    fn trim(&mut self) {
        while self.notifications > KEPT_NOTIFICATIONS || self.held > KEPT_BYTES {
            let oldest = self.events.iter().position(|event| event.may_go(self.read));
            let Some(event) = oldest.and_then(|at| self.events.remove(at)) else { return };
            self.held -= event.line.len();
            self.notifications -= usize::from(event.weight == Weight::Notification);
        }
    }
}

/// The log of one stream.
#[derive(Debug)]
pub(crate) struct EventLog {
    state: Mutex<State>,
    /// Wakes readers; its value means nothing.
    grown: watch::Sender<()>,
}

impl EventLog {
    /// An empty log.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                events: VecDeque::new(),
                last: 0,
                read: 0,
                notifications: 0,
                held: 0,
                complete: false,
                touched: Instant::now(),
            }),
            grown: watch::Sender::new(()),
        })
    }

    /// Appends a message.
    pub(crate) fn push(&self, line: Pieces, weight: Weight) {
        let mut state = self.state.lock();
        state.last += 1;
        state.touched = Instant::now();
        let number = state.last;
        let event = Event { number, line, weight };
        if event.is_no_response() {
            state.held += event.line.len();
        }
        state.notifications += usize::from(weight == Weight::Notification);
        state.events.push_back(event);
        state.trim();
        drop(state);
        self.grown.send_replace(());
    }

    /// Nothing follows.
    pub(crate) fn complete(&self) {
        let mut state = self.state.lock();
        state.complete = true;
        state.touched = Instant::now();
        drop(state);
        self.grown.send_replace(());
    }

    /// The responses, if the log is complete within the time and holds nothing but `expected`
    /// responses: what can still be answered without a stream.
    pub(crate) async fn responses(
        self: &Arc<Self>,
        expected: usize,
        within: Duration,
    ) -> Option<Vec<(Pieces, Head)>> {
        let mut grown = self.grown.subscribe();
        let settled = async {
            loop {
                {
                    let state = self.state.lock();
                    if state.complete || state.events.iter().any(Event::is_no_response) {
                        break;
                    }
                }
                if grown.changed().await.is_err() {
                    break;
                }
            }
        };
        timeout(within, settled).await.ok()?;
        let state = self.state.lock();
        let answers = state.events.iter().filter_map(|event| match event.weight {
            Weight::Response(head) => Some((event.line.clone(), head)),
            Weight::Notification | Weight::Request => None,
        });
        (state.complete && state.events.len() == expected).then(|| answers.collect())
    }

    /// Reads what came after an event; 0 reads everything.
    pub(crate) fn read_after(self: &Arc<Self>, number: u64) -> Reader {
        Reader { log: Arc::clone(self), grown: self.grown.subscribe(), seen: number }
    }

    /// The size of what is kept, in bytes.
    pub(crate) fn size(&self) -> usize {
        let state = self.state.lock();
        state.events.iter().map(|event| event.line.len()).sum()
    }

    /// Whether the log can be forgotten: nobody holds it but its session, and nobody came back
    /// for it in time.
    pub(crate) fn is_forgotten(self: &Arc<Self>, now: Instant) -> bool {
        !self.is_in_use() && now.duration_since(self.state.lock().touched) >= KEPT_FOR
    }

    /// Whether a reader or the writer holds it.
    pub(crate) fn is_in_use(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }
}

/// A place in a log.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Arc<EventLog>,
    grown: watch::Receiver<()>,
    seen: u64,
}

impl Reader {
    /// The log that it reads.
    pub(crate) fn log(&self) -> &Arc<EventLog> {
        &self.log
    }

    /// The next event; `None` once the log is complete and read. May be dropped and asked again
    /// without losing one.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            {
                let mut state = self.log.state.lock();
                let next = state.events.iter().find(|event| event.number > self.seen).cloned();
                if let Some(event) = next {
                    self.seen = event.number;
                    state.read = state.read.max(event.number);
                    return Some(event);
                }
                if state.complete {
                    return None;
                }
            }
            self.grown.changed().await.ok()?;
        }
    }
}

impl Drop for Reader {
    /// From here on the client has its time to come back.
    fn drop(&mut self) {
        self.log.state.lock().touched = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Pieces {
        text.to_owned().into()
    }

    fn text(event: Option<Event>) -> String {
        event.unwrap().line.whole().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_resumed_stream_reads_on_where_the_lost_one_stopped() {
        let log = EventLog::new();
        let mut first = log.read_after(0);
        log.push(line("a"), Weight::Notification);
        assert_eq!(first.next().await.unwrap().number, 1);
        drop(first);
        log.push(line("b"), Weight::Notification);
        let mut second = log.read_after(1);
        assert_eq!(text(second.next().await), "b");
        log.push(line("c"), Weight::Response(Head::OK));
        log.complete();
        assert_eq!(text(second.next().await), "c");
        assert_eq!(second.next().await, None);
    }

    #[tokio::test]
    async fn progress_gives_way_but_an_answer_stays() {
        let log = EventLog::new();
        log.push(line("answer"), Weight::Response(Head::OK));
        for number in 0..KEPT_NOTIFICATIONS + 5 {
            log.push(number.to_string().into(), Weight::Notification);
        }
        log.complete();
        let mut reader = log.read_after(0);
        assert_eq!(text(reader.next().await), "answer");
        assert_eq!(text(reader.next().await), "5");
    }

    #[tokio::test]
    async fn notifications_and_questions_that_were_read_give_way_to_bytes() {
        let log = EventLog::new();
        let half = || "x".repeat(KEPT_BYTES / 2).into();
        log.push(half(), Weight::Request);
        log.push(line("lost"), Weight::Notification);
        log.push(half(), Weight::Notification);
        log.push(line("new"), Weight::Notification);
        log.push("y".repeat(KEPT_BYTES).into(), Weight::Response(Head::OK));
        let mut reader = log.read_after(0);
        assert_eq!(reader.next().await.unwrap().number, 1, "an unread question stays");
        assert_eq!(text(reader.next().await), "new");
        log.push(half(), Weight::Notification);
        log.push(half(), Weight::Notification);
        let mut late = log.read_after(0);
        assert!(matches!(late.next().await.unwrap().weight, Weight::Response(_)));
        assert!(log.size() <= 2 * KEPT_BYTES);
        let huge = EventLog::new();
        huge.push("x".repeat(KEPT_BYTES + 1).into(), Weight::Notification);
        assert_eq!(huge.size(), 0, "one that exceeds it all is lost");
    }

    #[tokio::test(start_paused = true)]
    async fn only_prompt_answers_without_notifications_need_no_stream() {
        let within = Duration::from_secs(2);
        let log = EventLog::new();
        assert_eq!(log.responses(1, within).await, None);
        log.push(line("r"), Weight::Response(Head::OK));
        log.complete();
        let answers = log.responses(1, within).await.unwrap();
        assert_eq!(answers, [(line("r"), Head::OK)]);
        assert_eq!(log.responses(2, within).await, None);
        let noisy = EventLog::new();
        noisy.push(line("n"), Weight::Notification);
        assert_eq!(noisy.responses(1, within).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_forgotten_when_nobody_came_back_in_time() {
        let log = EventLog::new();
        let reader = log.read_after(0);
        tokio::time::advance(KEPT_FOR * 2).await;
        assert!(!log.is_forgotten(Instant::now()));
        drop(reader);
        assert!(!log.is_forgotten(Instant::now()));
        tokio::time::advance(KEPT_FOR).await;
        assert!(log.is_forgotten(Instant::now()));
    }
}
