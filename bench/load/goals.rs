//! What was to be reached, and whether it was.
//!
//! Reads figures and decides nothing else: a goal that is missed fails no run.

use super::{
    big, cost,
    embedded::{DIRECTLY, THROUGH},
    figure::Figures,
    matrix::Outcome,
    plan::{BASE, Case, Way},
    scale,
    server::Form,
};

/// One line of the table.
pub struct Goal {
    /// What is wanted.
    pub what: String,
    /// How much of it.
    pub target: String,
    /// How much there is.
    pub measured: String,
    /// Whether that is enough.
    pub is_reached: bool,
}

/// The slowest of the long run.
pub const SLOWEST: &str = "the slowest call of the long run";

/// Goals whose figures were measured.
pub fn goals(outcomes: &[Outcome], figures: &Figures) -> Vec<Goal> {
    let of = |case: Case| outcomes.iter().find(|outcome| outcome.case == case);
    let mut goals = Goals(Vec::new());
    for callers in [16, 64] {
        let way = |way| of(Case { way, callers, ..BASE });
        if let (Some(nginx), Some(ours)) = (way(Way::Nginx), way(Way::Switchboard)) {
            let rate = ours.rate() / nginx.rate();
            goals.least(
                format!("HTTP, {callers} callers: requests/s, of nginx's"),
                0.75,
                rate,
                "x",
            );
            if let (64, Some(cpu), Some(ours)) = (callers, nginx.cpu(), ours.cpu()) {
                goals.most(
                    "HTTP, 64 callers: CPU per call, of nginx's",
                    1.8,
                    Some(ours / cpu),
                    "x",
                );
            }
        }
    }
    let alone = |way| of(Case { way, callers: 1, ..BASE }).map(|outcome| outcome.latency(0.5));
    if let (Some(direct), Some(nginx), Some(ours)) =
        (alone(Way::Direct), alone(Way::Nginx), alone(Way::Switchboard))
    {
        let added = (ours - direct) / (nginx - direct);
        goals.most("HTTP, 1 caller: added p50, of what nginx adds", 2.0, Some(added), "x");
    }
    let stdio = |way| of(Case { way, server: Form::Stdio, ..BASE });
    if let (Some(bare), Some(ours)) = (stdio(Way::Direct), stdio(Way::Switchboard)) {
        let target = (0.9 * bare.rate()).min(15_000.0);
        goals.least("stdio, 64 callers: calls/s".to_owned(), target, ours.rate(), "");
        goals.most("stdio, 64 callers: CPU per call", 35.0, ours.cpu(), " µs");
    }
    if let (Some(direct), Some(through)) = (figures.get(DIRECTLY), figures.get(THROUGH)) {
        goals.most(
            "in-process: above the handler called directly",
            3.0,
            Some(through - direct),
            " µs",
        );
    }
    for (name, target, unit) in [
        (scale::IDLE_20, 25.0, " MB"),
        (scale::IDLE_200, 60.0, " MB"),
        (scale::SESSION, 2.0, " KB"),
    ] {
        goals.most(&format!("memory: {name}"), target, figures.get(name), unit);
    }
    for (name, server) in [("HTTP", Form::Json), ("stdio", Form::Stdio)] {
        let tail = of(Case { server, ..BASE }).map(|it| it.latency(0.99) / it.latency(0.5));
        goals.most(&format!("{name}, 64 callers: p99, of p50"), 3.0, tail, "x");
    }
    goals.most(SLOWEST, 50.0, figures.get(SLOWEST), " ms");
    let base = of(BASE).and_then(Outcome::cpu);
    for (name, case) in
        [("200 servers", Case { servers: 200, ..BASE }), ("50 agents", Case { agents: 50, ..BASE })]
    {
        let grown = of(case).and_then(Outcome::cpu).zip(base).map(|(many, one)| many / one);
        goals.most(&format!("CPU per call with {name}, of that with one"), 1.1, grown, "x");
    }
    let counted = |[instructions, _]: [&str; 2]| figures.get(instructions);
    let grown = counted(cost::OF_200).zip(counted(cost::HTTP)).map(|(many, one)| many / one);
    goals.most("instructions per call with 200 servers, of those with one", 1.1, grown, "x");
    for (name, target, unit) in [
        (scale::LIST, 1.0, " ms"),
        (big::BURST, 1.0, ""),
        (big::PEAK, 2.0, "x"),
        (big::PROGRESS, 5.0, " µs"),
    ] {
        goals.most(name, target, figures.get(name), unit);
    }
    goals.0
}

struct Goals(Vec<Goal>);

impl Goals {
    fn most(&mut self, what: &str, target: f64, measured: Option<f64>, unit: &str) {
        let Some(measured) = measured else { return };
        self.0.push(Goal {
            what: what.to_owned(),
            target: format!("at most {target}{unit}"),
            measured: format!("{measured:.2}{unit}"),
            is_reached: measured <= target,
        });
    }

    fn least(&mut self, what: String, target: f64, measured: f64, unit: &str) {
        self.0.push(Goal {
            what,
            target: format!("at least {target:.2}{unit}"),
            measured: format!("{measured:.2}{unit}"),
            is_reached: measured >= target,
        });
    }
}
