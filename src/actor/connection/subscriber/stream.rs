//! The stream over which a modern server tells of changes.
//!
//! Its filter never changes: another one is opened, and when it is acknowledged the one before
//! ends. Until then, and over HTTP a moment longer, both are read, so that nothing falls between.

use std::{sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt as _};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{AGAIN, Subscriber, cannot_watch, pause};
use crate::{
    actor::{
        connection::ConnectionMsg,
        watches::{Settled, Step, Topic},
    },
    upstream::{Filter, RequestError},
};

/// How long a stream is read after another one took its place: what it still carries was sent before.
const LINGER: Duration = Duration::from_secs(1);

/// A stream that is open. Dropped, it is closed.
type Open = BoxFuture<'static, Settled>;

/// The streams of one life.
pub(super) struct Streams<'s> {
    of: &'s Subscriber,
    /// Whether changed lists are asked for; not of a server that refused.
    lists: bool,
    present: Option<Open>,
    fading: Option<Open>,
    /// The present one ended, or none could be opened: how long to wait for the next.
    lapsed: Option<Duration>,
    /// Resources that are added at a time: fewer after a refusal, which does not say of which.
    most: usize,
}

impl<'s> Streams<'s> {
    pub(super) fn new(of: &'s Subscriber) -> Self {
        let lists = of.live.link.announces_lists();
        Self { of, lists, present: None, fading: None, lapsed: None, most: usize::MAX }
    }

    /// Keeps a stream open that carries what is wanted, as long as anything is.
    pub(super) async fn keep(mut self) {
        loop {
            if let Some(pause) = self.lapsed.take() {
                self.beside(sleep(pause)).await;
                self.start_anew();
            }
            let steps = self.steps();
            if !steps.is_empty() || (self.lists && self.present.is_none()) {
                self.reopen(steps).await;
            } else {
                self.wait().await;
            }
        }
    }

    /// What changed meanwhile is listed, and told of every resource.
    fn start_anew(&mut self) {
        self.present = None;
        self.lapsed = None;
        self.of.handle.watches.begin(self.of.life());
        if self.lists {
            // A closed mailbox means that this life is over anyway.
            self.of.actor.cast(ConnectionMsg::ListsChanged).ok();
        }
    }

    /// What is due, all of it at once.
    fn steps(&self) -> Vec<Step> {
        let (watches, life) = (&self.of.handle.watches, self.of.life());
        let mut steps = Vec::new();
        while steps.len() < self.most
            && let Some(step) = watches.next(life)
        {
            let is_resource = matches!(step, Step::Subscribe(Topic::Resource(_)));
            if is_resource && !self.of.live.link.can_watch() {
                watches.done(life, &step, &Err(cannot_watch()));
            } else {
                steps.push(step);
            }
        }
        steps
    }

    /// Waits until something is due, or a stream ended.
    async fn wait(&mut self) {
        tokio::select! {
            () = self.of.handle.watches.changed() => {}
            _ = ended(&mut self.present) => self.lapse(),
            _ = ended(&mut self.fading) => self.fading = None,
        }
    }

    fn lapse(&mut self) {
        self.present = None;
        self.lapsed = Some(AGAIN);
    }

    /// Reads the streams while something else is waited for.
    async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                output = &mut other => return output,
                _ = ended(&mut self.present) => self.lapse(),
                _ = ended(&mut self.fading) => self.fading = None,
            }
        }
    }

    /// Opens a stream that carries what is wanted now in the place of the present one.
    async fn reopen(&mut self, steps: Vec<Step>) {
        let wanted = self.wanted();
        if wanted == Filter::default() {
            self.present = None;
            return self.settle(&steps, |_| Ok(()));
        }
        let (agreed, mut agreement) = mpsc::channel(1);
        let live = Arc::clone(&self.of.live);
        let mut next: Open = async move { live.link.listen(&wanted, agreed).await }.boxed();
        let patience = self.of.patience();
        let opened = self
            .beside(async {
                tokio::select! {
                    biased;
                    Some(agreed) = agreement.recv() => Ok(agreed),
                    ended = &mut next => Err(ended.err()),
                    () = patience.passed() => Err(Some(RequestError::Timeout { sent: true })),
                }
            })
            .await;
        match opened {
            Ok(agreed) => {
                self.most = self.most.saturating_mul(2);
                self.replace(next);
                self.settle(&steps, |topic| {
                    let is_agreed = match topic {
                        Topic::Resource(uri) => agreed.resources.contains(uri),
                        Topic::Task(id) => agreed.tasks.contains(id),
                    };
                    if is_agreed { Ok(()) } else { Err(not_agreed()) }
                });
            }
            Err(Some(RequestError::Timeout { sent })) => {
                // Some servers tell without a word before.
                if self.present.is_none() {
                    self.present = Some(next);
                }
                self.settle(&steps, |_| Err(RequestError::Timeout { sent }));
            }
            Err(error) => self.not_opened(&steps, error),
        }
    }

    /// What a stream is to carry now.
    fn wanted(&self) -> Filter {
        let mut filter = Filter { lists: self.lists, ..Filter::default() };
        for topic in self.of.handle.watches.wanted() {
            match topic {
                Topic::Resource(uri) => filter.resources.push(uri),
                Topic::Task(id) => filter.tasks.push(id),
            }
        }
        filter
    }

    /// The server ended a stream before it was open, or refused it.
    fn not_opened(&mut self, steps: &[Step], error: Option<RequestError>) {
        let again = error.as_ref().map_or(Some(AGAIN), pause);
        let added = steps.iter().filter(|step| matches!(step, Step::Subscribe(_))).count();
        match error {
            // The present stream may be whole, but what it lacks has to be asked for again.
            None => self.lapsed = again,
            Some(_) if again.is_some() => self.lapsed = again,
            Some(error) if added == 1 => self.settle(steps, |_| Err(error.clone())),
            Some(_) if added > 1 => {
                self.most = (steps.len() / 2).max(1);
                for step in steps {
                    self.of.handle.watches.put_off(self.of.life(), step);
                }
            }
            // It carries on with more than is wanted, or tells of no lists.
            Some(_) => {
                self.lists &= self.present.is_some();
                self.settle(steps, |_| Ok(()));
            }
        }
    }

    fn replace(&mut self, next: Open) {
        let before = self.present.replace(next).filter(|_| !self.of.live.link.is_ordered());
        self.fading = before
            .map(|before| timeout(LINGER, before).map(|ended| ended.unwrap_or(Ok(()))).boxed());
    }

    /// The steps were taken; of those that add something, `outcome` says how.
    fn settle(&self, steps: &[Step], outcome: impl Fn(&Topic) -> Settled) {
        for step in steps {
            let outcome = match step {
                Step::Subscribe(topic) => outcome(topic),
                Step::Unsubscribe(_) => Ok(()),
            };
            self.of.handle.watches.done(self.of.life(), step, &outcome);
        }
    }
}

/// Resolves when a stream ends; never where there is none.
async fn ended(stream: &mut Option<Open>) -> Settled {
    match stream {
        Some(stream) => stream.await,
        None => std::future::pending().await,
    }
}

/// What is said of what a server left out of its acknowledgement.
fn not_agreed() -> RequestError {
    RequestError::Refused("it does not tell of changes of this resource".to_owned())
}
