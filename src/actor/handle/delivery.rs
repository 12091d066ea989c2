//! One call on its way to a live link: admitted, parked, sent, and sent again where that is safe.
//!
//! Part of the connection's handle. It ends every call by its deadline, and never sends twice what
//! may have run unless the tool's policy says that this does no harm.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tracing::Instrument as _;

use super::{
    ConnectionHandle, Live, Notices, Standing, Verdict,
    leg::{Leg, waited},
    verdict,
};
use crate::{
    actor::{
        call::{Answer, CallError, Delivery},
        router::Target,
    },
    id::{Incarnation, Owner},
    trace::Telemetry,
    upstream::{Deadline, Dialogue, LinkEnd, ProgressSink, Request, RequestError},
    wire::RawValue,
};

/// The least pause before a busy server is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How often a call that may have run is sent again: one that kills its server must come to an end.
const REPEATS: u32 = 2;

/// One call, as it is carried out.
#[derive(Debug)]
pub(crate) struct Errand<'a> {
    pub(crate) telemetry: &'a dyn Telemetry,
    /// Whose turn in the queue it takes.
    pub(crate) caller: &'a Owner,
    /// What is called.
    pub(crate) target: &'a Target,
    pub(crate) params: Arc<RawValue>,
    pub(crate) progress: Option<ProgressSink>,
    /// Who is behind it, as far as the server may ask back.
    pub(crate) dialogue: Arc<Dialogue>,
    pub(crate) deadline: &'a Deadline,
}

impl Errand<'_> {
    /// What goes to the server, as a leg of its own.
    pub(super) fn request(&self, leg: &Leg<'_>) -> Request {
        Request {
            method: self.target.method.clone(),
            params: Some(Arc::clone(&self.params)),
            name: self.target.name(),
            progress: self.progress.clone(),
            deadline: self.deadline.clone(),
            trace: leg.context(),
            dialogue: Some(Arc::clone(&self.dialogue)),
        }
    }
}

/// A sending whose outcome is unknown, and the life that it belongs to.
type Lost = (RequestError, Incarnation);

impl ConnectionHandle {
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        errand: Errand<'_>,
    ) -> Result<Answer, CallError> {
        let (mut lost, target) = (None, errand.target);
        let outcome = self.deliver(errand, &mut lost).await;
        match (outcome, lost) {
            // Once it may have run, a later sending that never was makes that no less true.
            (Err(CallError::Failed(failure)), Some((error, incarnation)))
                if failure.phase == Delivery::Queued =>
            {
                Err(self.failed(&target.method, error, incarnation))
            }
            (outcome, _) => outcome,
        }
    }

    async fn deliver(
        self: &Arc<Self>,
        errand: Errand<'_>,
        lost: &mut Option<Lost>,
    ) -> Result<Answer, CallError> {
        let (target, deadline) = (errand.target, errand.deadline);
        let refused = {
            let standing = self.standing.borrow();
            (verdict(standing.state) == Verdict::Refuse).then(|| standing.clone())
        };
        if let Some(standing) = refused {
            return Err(self.unavailable(&standing));
        }
        let admission = Arc::clone(&self.terms.load().admission);
        let mut notices = Notices::new(errand.progress.as_ref());
        let entered = Instant::now();
        let admitted = async {
            tokio::select! {
                biased;
                entered = admission.enter(errand.caller) => {
                    entered.map_err(|full| self.overloaded(full.waiting))
                }
                () = deadline.passed() => Err(self.late_in_queue()),
            }
        };
        let permit = notices.during(admitted, || self.is_queued()).await?;
        waited("admitted", entered);
        let (mut pauses, mut repeats, mut renewed) = (0, 0, false);
        let mut dead = None;
        loop {
            let parked = Instant::now();
            let live = self.connected(dead, deadline, &mut notices).await?;
            waited("connected", parked);
            if target.program.as_ref().is_some_and(|program| *program != live.program) {
                let why = "unknown task; its server is another one now";
                return Err(CallError::Invalid(why.to_owned()));
            }
            let leg = Leg::begin(errand.telemetry, self, &live, target);
            let sent = live.link.request(errand.request(&leg)).instrument(leg.span.clone());
            let outcome = sent.await;
            leg.end(outcome.as_deref());
            match outcome {
                Ok(result) => {
                    drop(permit);
                    return Ok(self.answered(&live, target, result));
                }
                // In a session that was opened for it just now it is the call that is refused, and
                // every further try would take the session from all others.
                Err(RequestError::NotSent(LinkEnd::SessionOver)) if renewed => {
                    let why = "it answers that the session is unknown, even a new one".to_owned();
                    let refused = RequestError::Refused(why);
                    return Err(self.failed(&target.method, refused, live.incarnation));
                }
                Err(RequestError::NotSent(LinkEnd::SessionOver)) => {
                    renewed = true;
                    dead = Some(live.incarnation);
                }
                // Not executed, so it goes to the next life of the connection.
                Err(RequestError::NotSent(_)) => dead = Some(live.incarnation),
                // Not executed either, and the same life may take it later.
                Err(RequestError::Busy { retry_after }) => {
                    pauses += 1;
                    let pause = Box::pin(self.come_again(retry_after, pauses, deadline));
                    notices.during(pause, || self.is_put_off()).await?;
                }
                Err(error @ RequestError::Lost { .. })
                    if repeats < REPEATS && target.may_repeat() =>
                {
                    repeats += 1;
                    *lost = Some((error, live.incarnation));
                }
                Err(error) => return Err(self.failed(&target.method, error, live.incarnation)),
            }
        }
    }

    /// The live link, at once if there is one other than that which was found dead; a caller hears
    /// why it waits for it.
    async fn connected(
        &self,
        dead: Option<Incarnation>,
        deadline: &Deadline,
        notices: &mut Notices<'_>,
    ) -> Result<Arc<Live>, CallError> {
        let live = self.standing.borrow().other_than(dead);
        if let Some(live) = live {
            return Ok(live);
        }
        let wait = Box::pin(self.live(dead, deadline));
        notices.during(wait, || self.is_parked()).await
    }

    /// Waits for a live link, other than the one that was found dead, inside the deadline; fails
    /// at once where waiting makes no sense. Calls that wait go on in the order in which they came.
    async fn live(
        &self,
        dead: Option<Incarnation>,
        deadline: &Deadline,
    ) -> Result<Arc<Live>, CallError> {
        let _place = self.parked.enter();
        let _turn = tokio::select! {
            biased;
            turn = self.turn.lock() => turn,
            () = deadline.passed() => return Err(self.late_in_queue()),
        };
        let mut standing = self.watch();
        loop {
            {
                let now = standing.borrow_and_update();
                match verdict(now.state) {
                    Verdict::Go => {
                        if let Some(live) = now.other_than(dead) {
                            return Ok(live);
                        }
                    }
                    Verdict::Refuse => return Err(self.unavailable(&now)),
                    Verdict::Wake => self.wake(),
                    Verdict::Park => {}
                }
            }
            self.changed(&mut standing, deadline).await?;
        }
    }

    /// Waits as long as a busy server asks for, or a little longer each time if it names nothing.
    async fn come_again(
        &self,
        retry_after: Option<Duration>,
        pauses: u32,
        deadline: &Deadline,
    ) -> Result<(), CallError> {
        let grown = FIRST_PAUSE.saturating_mul(1 << pauses.min(6));
        let pause = retry_after.unwrap_or(grown).max(FIRST_PAUSE);
        if pause >= deadline.remaining() {
            return Err(self.busy(pause));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    async fn changed(
        &self,
        standing: &mut watch::Receiver<Standing>,
        deadline: &Deadline,
    ) -> Result<(), CallError> {
        tokio::select! {
            biased;
            changed = standing.changed() => changed.map_err(|_| CallError::Draining),
            () = deadline.passed() => Err(self.late_in_queue()),
        }
    }
}
