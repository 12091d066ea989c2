//! Calls that wait for a task of their server's: they are under way although no request of theirs
//! may be, so a drain waits for them, and what they ask goes on while new calls are refused.
//!
//! Whoever waits holds an [`Awaited`]. When there is no more time for it, it is told to give up.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};

use super::{
    Answer, CallError, CallRequest, Scope,
    dispatch::{Turn, with_server},
};
use crate::{
    actor::{
        handle::{Errand, Leads, Live, Maker},
        router::Target,
    },
    id::SessionKey,
    upstream::Deadline,
};

/// What became of a server that has no more time for a task.
const GONE: &str = "it was removed, replaced or gone";
/// How often a call looks whether anybody is left whom it can ask.
const LOOK: Duration = Duration::from_secs(1);

/// One such call; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Awaited {
    scope: Scope,
    maker: Arc<Maker>,
    session: Option<SessionKey>,
    given_up: CancellationToken,
    _under_way: TaskTrackerToken,
    _task: TaskTrackerToken,
    _of_maker: TaskTrackerToken,
}

impl Awaited {
    /// Resolves when there is no more time for it; says why.
    pub(crate) async fn given_up(&self) -> &'static str {
        tokio::select! {
            biased;
            () = self.given_up.cancelled() => "switchboard shut down",
            () = self.maker.given_up(|| self.leads()) => GONE,
            () = self.nobody_left() => GONE,
        }
    }

    /// Resolves when nobody can be asked any more: a server that has no life has nobody to say so.
    async fn nobody_left(&self) {
        while self.can_ask() {
            sleep(LOOK).await;
        }
    }

    /// Asks about the task: its server as it is now, or the life that alone can answer. Nobody else
    /// is asked.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Invalid`] where nobody is left who could.
    pub(crate) async fn ask(&self, request: &CallRequest) -> Result<Answer, CallError> {
        let leads = self.leads();
        match self.maker.life(leads) {
            Some(live) => self.ask_life(&live, request).await,
            None if leads == Leads::Nowhere => {
                let why = "the server of this task is no longer here";
                Err(CallError::Invalid(why.to_owned()))
            }
            None => self.scope.carry_out(request, Turn::Further).await,
        }
    }

    /// Whether anybody is left who could be asked.
    pub(crate) fn can_ask(&self) -> bool {
        let leads = self.leads();
        leads != Leads::Nowhere || self.maker.life(leads).is_some()
    }

    /// Says something of the task to which nobody waits for an answer.
    pub(crate) fn part(self: Arc<Self>, request: CallRequest) {
        // Outside of a tokio runtime there is nobody left who could carry it out.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let parting = self.scope.runtime.tree.exchange.awaited.clone();
            let said = async move { drop(self.ask(&request).await) };
            parting.spawn_on(said, &runtime);
        }
    }

    /// What tells the definition of the server that made the task from any other.
    pub(crate) fn program(&self) -> &Arc<str> {
        self.maker.program()
    }

    fn leads(&self) -> Leads {
        let table = self.scope.runtime.tree.exchange.table.load();
        let seat = &self.maker.handle.seat;
        let route = table.owner(&self.scope.owner).and_then(|view| view.route(&seat.server));
        let Some(route) = route.filter(|route| route.program == *self.program()) else {
            return Leads::Nowhere;
        };
        let is_here = match self.session.as_ref().filter(|_| route.by_session) {
            Some(session) => seat.session.as_ref() == Some(session),
            None => Arc::ptr_eq(&route.handle, &self.maker.handle),
        };
        if is_here { Leads::Here } else { Leads::Beside }
    }

    async fn ask_life(&self, live: &Arc<Live>, request: &CallRequest) -> Result<Answer, CallError> {
        let Self { scope, maker, session, .. } = self;
        let target = Target::of_task(maker.route.clone(), &request.subject);
        let dialogue = request.dialogue.clone();
        let dialogue = with_server(dialogue, &scope.owner, session.as_ref(), &maker.route);
        let longest = scope.longest();
        let deadline = Deadline::new(request.timeout.unwrap_or(longest), longest);
        let errand = Errand {
            telemetry: &*scope.runtime.tree.exchange.telemetry,
            caller: &scope.owner,
            target: &target,
            params: Arc::clone(&request.params),
            progress: request.progress.clone(),
            dialogue: Arc::new(dialogue),
            deadline: &deadline,
        };
        maker.handle.ask(live, errand).await
    }
}

impl Scope {
    /// A call of this scope's begins to wait for its task.
    pub(crate) fn awaited(&self, maker: Arc<Maker>, session: Option<&SessionKey>) -> Arc<Awaited> {
        let exchange = &self.runtime.tree.exchange;
        Arc::new(Awaited {
            scope: self.clone(),
            session: session.cloned(),
            given_up: exchange.given_up.clone(),
            _under_way: self.under_way(),
            _task: exchange.awaited.token(),
            _of_maker: maker.wait(),
            maker,
        })
    }

    /// A call of this scope's is under way as long as this lives, whatever it waits for.
    pub(crate) fn under_way(&self) -> TaskTrackerToken {
        self.runtime.tree.exchange.tracker.token()
    }
}
