//! Health: is the server still there, and is it still wanted.
//!
//! Only received messages count. A handler never waits for a probe; its task reports back.

use std::time::Duration;

use ractor::{ActorRef, RpcReplyPort};
use tokio::time::Instant;

use super::{ConnectionFailure, ConnectionMsg, ConnectionState, PROBES, Tasks};
use crate::{actor::event::Trouble, restart::Exit, upstream::Deadline};

impl ConnectionState {
    /// Only received messages count: a silent server is probed.
    pub(super) fn health(
        &mut self,
        myself: &ActorRef<ConnectionMsg>,
    ) -> Result<(), ConnectionFailure> {
        let Some(live) = self.live.clone() else {
            return Ok(());
        };
        let interval = self.health_interval();
        let silent = live.link.silent_for();
        if silent < interval {
            self.unanswered = 0;
            self.arm_health(myself, interval.saturating_sub(silent));
            return Ok(());
        }
        self.hung(silent, self.handle.load().0)?;
        if !self.probing {
            self.probing = true;
            let limit = self.exchange.settings().timeouts.health_check;
            let actor = myself.clone();
            self.spawn(myself, "probe", async move {
                let alive = live.link.probe(Deadline::new(limit, limit)).await.is_ok();
                actor.cast(ConnectionMsg::Probed { alive }).ok();
            });
        }
        Ok(())
    }

    /// A server is lost when two probes in a row had no answer; with calls in flight only after
    /// a long silence as well, because a busy single-threaded server is not a dead one.
    fn hung(&self, silent: Duration, in_flight: usize) -> Result<(), ConnectionFailure> {
        let hang = self.exchange.settings().timeouts.hang;
        if self.unanswered < PROBES || (in_flight > 0 && silent < hang) {
            return Ok(());
        }
        let cause = format!(
            "no sign of life for {:.0} s, {} health checks without an answer",
            silent.as_secs_f64(),
            self.unanswered
        );
        Err(ConnectionFailure::lost(Trouble::Silent, cause))
    }

    pub(super) fn probed(
        &mut self,
        myself: &ActorRef<ConnectionMsg>,
        alive: bool,
    ) -> Result<(), ConnectionFailure> {
        self.probing = false;
        if alive {
            self.unanswered = 0;
        } else {
            self.unanswered = self.unanswered.saturating_add(1);
            if let Some(live) = &self.live {
                self.hung(live.link.silent_for(), self.handle.load().0)?;
            }
        }
        let interval = self.health_interval();
        // A doubtful server is asked again soon; a healthy one after the whole interval.
        let next = if alive {
            interval
        } else {
            interval.min(self.exchange.settings().timeouts.health_check)
        };
        self.arm_health(myself, next);
        Ok(())
    }

    pub(super) fn health_interval(&self) -> Duration {
        let settings = self.exchange.settings();
        Duration::from_secs(u64::from(settings.monitoring.health_check_seconds))
    }

    pub(super) fn arm_health(&mut self, myself: &ActorRef<ConnectionMsg>, delay: Duration) {
        self.health_timer.set(myself, delay, || ConnectionMsg::HealthTick);
    }

    /// How long nobody need call before it is stopped; zero is for ever.
    pub(super) fn idle_limit(&self) -> Duration {
        let of_server = self.spec.config.idle_stop;
        if self.handle.seat.session.is_none() {
            return of_server;
        }
        let of_session = self.exchange.settings().timeouts.session;
        if of_server.is_zero() { of_session } else { of_server.min(of_session) }
    }

    pub(super) fn arm_idle(&mut self, myself: &ActorRef<ConnectionMsg>, delay: Duration) {
        if delay.is_zero() {
            self.idle_timer.clear();
        } else {
            self.idle_timer.set(myself, delay, || ConnectionMsg::IdleTick);
        }
    }

    pub(super) fn check(
        &mut self,
        myself: &ActorRef<ConnectionMsg>,
        reply: RpcReplyPort<Result<Duration, String>>,
    ) {
        let Some(live) = self.live.clone() else {
            reply.send(Err("it is still connecting".to_owned())).ok();
            return;
        };
        let limit = self.exchange.settings().timeouts.health_check;
        self.spawn(myself, "check", async move {
            let asked = Instant::now();
            let outcome = live.link.probe(Deadline::new(limit, limit)).await;
            reply.send(outcome.map(|()| asked.elapsed()).map_err(|why| why.to_string())).ok();
        });
    }

    pub(super) fn idle(&mut self, myself: &ActorRef<ConnectionMsg>) {
        let limit = self.idle_limit();
        let unused = self.handle.unused_for();
        let is_needed = self.handle.has_task() || self.handle.is_watched();
        if self.handle.load() == (0, 0) && unused >= limit && !is_needed {
            self.close(myself, Exit::Idle, Duration::ZERO, Tasks::Left);
        } else {
            let rest = limit.saturating_sub(unused).max(Duration::from_secs(1));
            self.arm_idle(myself, rest);
        }
    }
}
