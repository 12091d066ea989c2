//! Tasks that a server made of calls, asked for at one of its lives whatever has become of the
//! connection since: a server that is removed is still there for them.
//!
//! What is asked here takes no place, because it belongs to a call that had one, and is never sent
//! again.

use std::sync::Arc;

use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument as _;

use super::{Awaiting, ConnectionHandle, Errand, Live, leg::Leg};
use crate::{
    actor::{
        call::{Answer, CallError},
        router::{Route, Target},
    },
    id::Incarnation,
    wire::{RawValue, Task, method},
};

/// Who made a task of a call.
#[derive(Debug)]
pub(crate) struct Maker {
    /// Its connection.
    pub(crate) handle: Arc<ConnectionHandle>,
    /// The way to that, which may be in no table any more.
    pub(crate) route: Route,
    incarnation: Incarnation,
    awaiting: Arc<Awaiting>,
}

impl Maker {
    /// What told its definition from any other.
    pub(crate) fn program(&self) -> &Arc<str> {
        &self.awaiting.program
    }

    /// A call waits for the task as long as this lives.
    pub(crate) fn wait(&self) -> TaskTrackerToken {
        self.awaiting.wait()
    }

    /// The life that has to be asked, because no other can answer: the one that made the task where
    /// that ends, or is no longer where calls lead (`leads`: to this connection, to this program); or
    /// the program's last one.
    pub(crate) fn life(&self, leads: Leads) -> Option<Arc<Live>> {
        let made = self.awaiting.maker(self.incarnation);
        match leads {
            Leads::Here => made.filter(|live| self.awaiting.is_retiring(live.incarnation)),
            Leads::Beside => made,
            Leads::Nowhere => made.or_else(|| self.awaiting.last()),
        }
    }

    /// Resolves when the life that has to be asked has no more time for the task.
    pub(crate) async fn given_up(&self, leads: impl Fn() -> Leads) {
        let ours = |lives: &[Incarnation]| {
            lives.contains(&self.incarnation) || !lives.is_empty() && leads() == Leads::Nowhere
        };
        self.awaiting.given_up(ours).await;
    }
}

/// Where calls of a task's server lead now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To the connection at which the task was made.
    Here,
    /// To another connection with the same program.
    Beside,
    /// To none that has the program.
    Nowhere,
}

impl ConnectionHandle {
    /// Asks this life.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        live: &Arc<Live>,
        errand: Errand<'_>,
    ) -> Result<Answer, CallError> {
        let leg = Leg::begin(errand.telemetry, self, live, errand.target);
        let sent = live.link.request(errand.request(&leg)).instrument(leg.span.clone());
        let outcome = sent.await;
        leg.end(outcome.as_deref());
        match outcome {
            Ok(result) => Ok(self.answered(live, errand.target, result)),
            Err(error) => Err(self.failed(&errand.target.method, error, live.incarnation)),
        }
    }

    /// What a result is to its caller; a task that it speaks of is remembered.
    pub(super) fn answered(
        self: &Arc<Self>,
        live: &Arc<Live>,
        target: &Target,
        result: Box<RawValue>,
    ) -> Answer {
        let task = Task::told(live.link.facts().era, &target.method, &result);
        if let Some(task) = &task {
            self.tasks.note(task);
        }
        let maker = task.as_ref().filter(|_| target.method == method::TOOLS_CALL);
        let maker = maker.map(|_| Arc::new(self.maker(live, &target.route)));
        let (server, incarnation) = (self.seat.server.clone(), live.incarnation);
        Answer { result, server, incarnation, task, maker }
    }

    fn maker(self: &Arc<Self>, live: &Arc<Live>, route: &Route) -> Maker {
        let awaiting = self.awaiting(&live.program);
        awaiting.made(live);
        let (handle, route) = (Arc::clone(self), route.clone());
        Maker { handle, route, incarnation: live.incarnation, awaiting }
    }
}
