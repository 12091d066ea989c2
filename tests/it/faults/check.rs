//! Judges a run: the promises as invariants over what was taken down.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Duration,
};

use switchboard::{
    error::Kind,
    id::{Incarnation, Owner},
    restart::State,
    runtime::{Delivery, Event, Isolation},
};

use super::{
    plan::{Act, CallPlan, Plan},
    record::State as Recorded,
    run::{CALL, CALL_MAX, Done, Outcome, PAUSE, Run, agent_name},
};

/// Timers are as fine as a millisecond, and a step may take several of them.
const GRAIN: Duration = Duration::from_millis(5);
/// What a sound server's call may take beyond its work: its connection may have to be made first.
const SLACK: Duration = Duration::from_millis(1500);
/// How long a lost link may take to be taken down as lost.
const LINGER: Duration = Duration::from_millis(500);

/// Everything that a run breaks, in words.
pub fn violations(plan: &Plan, run: &Run) -> Vec<String> {
    run.record.with(|recorded| {
        let mut judge = Judge { plan, run, recorded, found: Vec::new() };
        judge.ends();
        for (number, call) in plan.calls.iter().enumerate() {
            match run.done.get(&number) {
                Some(done) => judge.call(number, call, done),
                None => judge.found.push(format!("call {number} was never answered")),
            }
        }
        judge.loads();
        judge.connects();
        judge.ladders();
        judge.views();
        judge.found
    })
}

struct Judge<'a> {
    plan: &'a Plan,
    run: &'a Run,
    recorded: &'a Recorded,
    found: Vec<String>,
}

fn owner(agent: Option<usize>) -> String {
    agent.map_or_else(|| "store".to_owned(), agent_name)
}

fn owner_of(event: &Event) -> String {
    match &event.owner {
        Owner::Store => "store".to_owned(),
        Owner::Agent(agent) => agent.to_string(),
    }
}

impl Judge<'_> {
    fn hold(&mut self, holds: bool, words: impl FnOnce() -> String) {
        if !holds {
            self.found.push(words());
        }
    }

    /// Promise 5: nothing is left.
    fn ends(&mut self) {
        let left = self.run.left;
        self.hold(left == (0, 0, 0), || {
            format!("calls unanswered, calls under way, lives left at the end: {left:?}")
        });
        let ended = &self.run.ended;
        self.hold(&**ended == "shutdown", || format!("the tree ended by {ended}"));
    }

    /// Promises 1, 2 and 3 for one call.
    fn call(&mut self, number: usize, call: &CallPlan, done: &Done) {
        let executions = self.recorded.executions.get(&number).map_or(0, Vec::len);
        let say = |what: &str| {
            format!("call {number} {what}: {call:?}, {done:?}, executed {executions} times")
        };
        self.hold(executions <= 1, || say("was executed twice"));
        let took = done.took();
        let silence = CALL.min(call.timeout.unwrap_or(Duration::MAX));
        let total = CALL_MAX.min(call.timeout.unwrap_or(Duration::MAX));
        let limit = if call.wants_progress { total } else { silence };
        self.hold(took <= limit + GRAIN, || say("was answered after its deadline"));
        match &done.outcome {
            Outcome::Left => {}
            Outcome::Answered { server, result, .. } => {
                let own = &self.plan.servers[call.server].name;
                self.hold(executions == 1 && server == own, || say("was answered by nobody"));
                let words = format!("\"{own} did {number}\"");
                self.hold(result.contains(&words), || say("got another's answer"));
                self.hold(!matches!(call.act, Act::Error(_) | Act::Malformed(_)), || {
                    say("succeeded, although its server refused")
                });
            }
            Outcome::ServerError => {
                let refused = matches!(call.act, Act::Error(_)) && executions == 1;
                self.hold(refused, || say("was refused by nobody"));
            }
            Outcome::Failed { kind, phase, incarnation, .. } => {
                let sent = *phase == Some(Delivery::Written);
                self.hold(sent || executions == 0, || say("was executed but is said not to be"));
                let fits = match kind {
                    Kind::Unavailable | Kind::Overloaded => *phase == Some(Delivery::Queued),
                    Kind::Timeout => {
                        let early = done.to.saturating_sub(LINGER);
                        let lost = sent && self.was_lost(call, *incarnation, done.from..early);
                        took + GRAIN >= silence && !lost
                    }
                    Kind::OutcomeUnknown => {
                        let late = done.to + LINGER;
                        sent && self.was_lost(call, *incarnation, done.from..late)
                    }
                    Kind::Upstream => matches!(call.act, Act::Malformed(_)) && sent,
                    Kind::NotFound => self.was_away(call.server, done),
                    Kind::Invalid
                    | Kind::Unauthenticated
                    | Kind::Denied
                    | Kind::Limited
                    | Kind::Cancelled
                    | Kind::Internal => false,
                };
                self.hold(fits, || say("failed for no reason"));
            }
        }
        self.sound(number, call, done);
    }

    /// Promise 3: what is sound is undisturbed.
    fn sound(&mut self, number: usize, call: &CallPlan, done: &Done) {
        let serving = self.plan.serving(call.server, call.agent);
        let (disturbed, sound) =
            (self.plan.bug_ridden(serving), self.plan.servers[call.server].sound);
        if !sound || done.outcome == Outcome::Left {
            return;
        }
        if disturbed {
            let waited = matches!(done.outcome, Outcome::Failed { kind: Kind::Timeout, .. });
            self.hold(!waited, || {
                format!("call {number} waited in vain for a sound server: {call:?}, {done:?}")
            });
            return;
        }
        let work = call.act.work();
        let took = done.took();
        let fine = matches!(done.outcome, Outcome::Answered { .. }) && took <= work + SLACK;
        self.hold(fine, || {
            format!("call {number} to a sound server was disturbed: {call:?}, {done:?}")
        });
    }

    /// Whether the life that a call was sent to ended in that time.
    fn was_lost(&self, call: &CallPlan, life: Incarnation, time: Range<Duration>) -> bool {
        let serving = owner(self.plan.serving(call.server, call.agent));
        let server = &self.plan.servers[call.server].name;
        let ended = |event: &Event| event.from == State::Ready && event.incarnation == life;
        // A supervisor that died says nothing of the lives that it took along.
        let anew = |event: &Event| event.from == State::Idle && event.incarnation.0 == life.0 + 1;
        self.recorded.events.iter().any(|(at, event)| {
            time.contains(at)
                && owner_of(event) == serving
                && event.server.as_str() == server
                && (ended(event) || anew(event))
        })
    }

    /// Whether a person had taken the server away while a call was under way.
    fn was_away(&self, server: usize, done: &Done) -> bool {
        self.run
            .away
            .iter()
            .any(|(of, from, to)| *of == server && *from <= done.to && done.from <= *to)
    }

    /// Promise 4: queues have bounds; and promise 10: what is down says why.
    fn loads(&mut self) {
        for load in &self.run.loads {
            let plan = self.plan.servers.iter().find(|server| server.name == load.server);
            let fits = plan.is_some_and(|plan| {
                // A call that waits for a connection has a place in flight and counts as waiting.
                let flight = usize::try_from(plan.max_in_flight).unwrap();
                let queue = usize::try_from(plan.max_queue).unwrap();
                load.in_flight <= flight && load.in_flight + load.waiting <= flight + queue
            });
            self.hold(fits && load.explained, || {
                format!("at {:?}: out of bounds: {load:?}", load.at)
            });
        }
    }

    /// Promise 4: connects at a time, and listings at a time.
    fn connects(&mut self) {
        let slot = Duration::from_millis(250);
        let of = |server: usize| {
            let plan = &self.plan.servers[server];
            let granted = self.plan.agents.iter().any(|agent| agent.contains(&server));
            (!granted || plan.isolation == Isolation::Shared).then_some(plan.owner)
        };
        let attempts = &self.recorded.attempts;
        for attempt in attempts {
            let now = attempt.began;
            let slots: Vec<_> = attempts
                .iter()
                .filter(|other| {
                    other.began <= now
                        && now.saturating_sub(other.began) < slot
                        && other.ended.is_none_or(|ended| ended > now)
                })
                .collect();
            let own = of(attempt.server).map_or(0, |owner| {
                slots.iter().filter(|other| of(other.server) == Some(owner)).count()
            });
            let limits = self.plan.limits;
            let fits = slots.len() <= usize::try_from(limits.connects).unwrap()
                && own <= usize::try_from(limits.connects_per_agent).unwrap();
            self.hold(fits, || format!("at {now:?}: {} connects, {own} of one owner", slots.len()));
        }
        for (place, server) in self.plan.servers.iter().enumerate() {
            let connections = 1 + self.plan.agents.iter().filter(|of| of.contains(&place)).count();
            let second =
                |at: Duration, now: Duration| at <= now && now.saturating_sub(at) < 4 * slot;
            for (_, now) in self.recorded.listings.iter().filter(|(of, _)| *of == place) {
                let (mine, now) = (|of: usize| of == place, *now);
                let listed = &self.recorded.listings;
                let listed = listed.iter().filter(|(of, at)| mine(*of) && second(*at, now)).count();
                let began = attempts.iter().filter(|a| mine(a.server) && second(a.began, now));
                let most = 6 * connections + began.count();
                self.hold(listed <= most, || {
                    format!("{} was listed {listed} times in the second to {now:?}", server.name)
                });
            }
        }
    }

    /// Promises 4 and 10: pauses are the ladder's, and every step has a cause.
    fn ladders(&mut self) {
        let mut timelines: BTreeMap<(String, &str), Vec<(Duration, &Event)>> = BTreeMap::new();
        for (at, event) in &self.recorded.events {
            let key = (owner_of(event), event.server.as_str());
            timelines.entry(key).or_default().push((*at, event));
        }
        for ((owner, server), timeline) in timelines {
            self.ladder(&owner, server, &timeline);
        }
    }

    fn ladder(&mut self, owner: &str, server: &str, timeline: &[(Duration, &Event)]) {
        let place = self.plan.servers.iter().position(|plan| plan.name == server).unwrap();
        let agent = (0..self.plan.agents.len()).find(|agent| agent_name(*agent) == owner);
        let disturbed = self.plan.bug_ridden(agent);
        // When, and whether it had been ready.
        let mut failures: VecDeque<(Duration, bool)> = VecDeque::new();
        let (mut attempts, mut ready_at) = (0_u32, None);
        let mut due: Option<Duration> = None;
        for (at, event) in timeline {
            let say = |what: &str| format!("{owner} {server} at {at:?}: {what}: {event:?}");
            let told = !event.cause.is_empty() && !event.decision.is_empty();
            self.hold(told, || say("a step without a cause"));
            let anew = matches!(&*event.cause, "configured" | "restart was asked for")
                || event.from == State::Idle
                || event.to == State::Idle;
            if let Some(due) = due.take() {
                let asked = anew || matches!(event.to, State::Draining | State::Stopped);
                let on_time = *at + GRAIN >= due && *at <= due + GRAIN;
                self.hold(asked || on_time, || say("not when it was due"));
            }
            let stable = |since: &Duration| at.saturating_sub(*since) >= Duration::from_secs(30);
            if anew || (event.from == State::Ready && ready_at.as_ref().is_some_and(stable)) {
                failures.clear();
                attempts = 0;
            }
            if event.to == State::Ready {
                ready_at = Some(*at);
                // What failed before says nothing of the next loss.
                failures.retain(|(_, was_ready)| *was_ready);
            }
            if let Some(next) = event.next {
                due = Some(*at + next);
                failures.push_back((*at, event.from == State::Ready));
                failures.retain(|(past, _)| at.saturating_sub(*past) <= Duration::from_mins(1));
                let longest = Duration::from_millis(250).saturating_mul(1 << attempts.min(20));
                attempts += 1;
                let fits = if event.to == State::Backoff {
                    failures.len() <= 5 && next >= Duration::from_millis(50) && next <= longest
                } else {
                    next >= Duration::from_secs(3)
                };
                self.hold(fits && next <= PAUSE, || say("not the ladder's pause"));
            }
            let quiet = *at >= self.run.closing
                || matches!(event.to, State::Connecting | State::Ready)
                || !self.plan.servers[place].sound
                || disturbed;
            self.hold(quiet, || say("a sound server was disturbed"));
        }
    }

    /// Promise 8: names, order and members stay; a version grows with real differences only.
    fn views(&mut self) {
        let mut last: BTreeMap<Option<usize>, (Duration, u64, &[String])> = BTreeMap::new();
        for sight in &self.run.sights {
            let say = |what: &str| format!("{what}: {sight:?}");
            let place = |name: &String| {
                let (server, tool) = name.split_once('_').unwrap_or_default();
                let tool = ["work", "act", "extra"].iter().position(|known| *known == tool);
                (server.to_owned(), tool)
            };
            let places: Vec<_> = sight.tools.iter().map(place).collect();
            let ordered = places.windows(2).all(|pair| pair[0] < pair[1]);
            self.hold(ordered && places.iter().all(|place| place.1.is_some()), || {
                say("not the servers' order")
            });
            let (then, version, before) = last.get(&sight.owner).copied().unwrap_or_default();
            // A server that went and came back between two looks leaves the same tools.
            let between = Done { from: then, to: sight.at, outcome: Outcome::Left };
            let touched = (0..self.plan.servers.len()).any(|of| self.was_away(of, &between));
            let fits = if before == sight.tools {
                sight.version == version || (touched && sight.version > version)
            } else {
                sight.version > version
            };
            self.hold(fits, || say("a version that does not tell"));
            for gone in before.iter().filter(|name| !sight.tools.contains(name)) {
                let server = self.plan.servers.iter().position(|server| {
                    gone.strip_prefix(&server.name).is_some_and(|rest| rest.starts_with('_'))
                });
                let away = server.is_some_and(|server| self.was_away(server, &between));
                self.hold(gone.ends_with("_extra") || away, || say(&format!("without {gone}")));
            }
            last.insert(sight.owner, (sight.at, sight.version, &sight.tools));
        }
    }
}
