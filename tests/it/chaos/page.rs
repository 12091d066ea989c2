//! `docs/reliability.md`: the figures of a run, written by it; and that the page names every fault.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, time::Duration};

use super::{
    callers::Answer,
    check,
    fault::Fault,
    fleet::Entry,
    plan::{CALM, Plan},
    run::Seen,
};

const BEGIN: &str = "<!-- seen: begin -->\n";
const END: &str = "<!-- seen: end -->\n";
/// Set to anything, it makes the test write the figures.
const UPDATE: &str = "UPDATE_DOCS";
/// How much slower an untouched agent's usual call may be than in quiet times, and what a machine
/// of two cores adds while processes are started on it.
const SLOWER: u32 = 2;
const SHARED_MACHINE: Duration = Duration::from_millis(50);
/// After a kill of Switchboard everybody is touched for so long.
const REBIRTH: Duration = Duration::from_secs(3);

/// What all runs saw.
#[derive(Default)]
pub struct Figures {
    runs: usize,
    time: Duration,
    faults: BTreeMap<Fault, usize>,
    /// By words: of the untouched agent, of the others.
    answers: BTreeMap<String, (usize, usize)>,
    /// Calls that were carried out more than once, as their tool's rule allows.
    again: usize,
    starts: usize,
    recoveries: Vec<Duration>,
    orphans: usize,
    serving: Vec<Duration>,
    settled: Vec<Duration>,
    /// Of the untouched agent's calls without much work: in quiet times, and under chaos.
    quiet: Vec<Duration>,
    chaos: Vec<Duration>,
    descriptors: Vec<(usize, usize)>,
    resident_kib: Vec<(u64, u64)>,
}

impl Figures {
    /// Adds a run that kept every promise.
    pub fn add(&mut self, plan: &Plan, seen: &Seen) {
        self.runs += 1;
        self.time += plan.end;
        for blow in &plan.blows {
            *self.faults.entry(blow.fault).or_default() += 1;
        }
        let (_, start) = seen.began;
        let kills: Vec<Duration> = seen.kills.iter().map(|kill| kill.at - start).collect();
        for done in &seen.done {
            let call = &plan.calls[done.call];
            let rebirth = kills.iter().any(|kill| (*kill..*kill + REBIRTH).contains(&call.at));
            let count = self.answers.entry(done.words()).or_default();
            let calm = call.agent == CALM;
            *(if calm { &mut count.0 } else { &mut count.1 }) += 1;
            if calm && !rebirth && !done.disturbed && matches!(done.answer, Answer::Result(_)) {
                let added = done.took.saturating_sub(call.work);
                (if call.at < plan.quiet { &mut self.quiet } else { &mut self.chaos }).push(added);
            }
        }
        self.again += seen.ran.values().filter(|times| **times > 1).count();
        let entries = seen.journals.values().flatten();
        self.starts += entries.filter(|(_, entry)| matches!(entry, Entry::Started { .. })).count();
        self.recoveries.extend(check::recoveries(seen));
        self.orphans += seen.kills.iter().map(|kill| kill.orphans).sum::<usize>();
        self.serving.extend(seen.kills.iter().map(|kill| kill.until_serving));
        self.settled.extend(&seen.settled);
        let [before, young, after] = seen.holds;
        self.descriptors.push((before.descriptors, after.descriptors));
        self.resident_kib.push((young.resident_kib, after.resident_kib));
    }

    fn calls(&self) -> usize {
        self.answers.values().map(|(calm, others)| calm + others).sum()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.overview(&mut text).unwrap();
        self.tables(&mut text).unwrap();
        text
    }

    fn overview(&self, text: &mut String) -> std::fmt::Result {
        let runs = self.runs;
        let minutes = self.time.as_secs_f64() / 60.0;
        let faults: usize = self.faults.values().sum();
        writeln!(text, "\n| What | Seen |\n|---|---|")?;
        writeln!(
            text,
            "| Runs, each with a seed of its own | {runs}, {minutes:.1} minutes in all |"
        )?;
        writeln!(text, "| Calls | {} |", self.calls())?;
        writeln!(text, "| Faults | {faults} |")?;
        writeln!(text, "| Calls without exactly one answer, or late | 0 |")?;
        writeln!(text, "| Calls carried out twice against their tool's rule | 0 |")?;
        writeln!(text, "| Calls carried out again as their tool's rule allows | {} |", self.again)?;
        writeln!(text, "| Changes of an untouched list | 0 |")?;
        writeln!(text, "| Processes started | {} |", self.starts)?;
        let recoveries = spread(&self.recoveries);
        writeln!(
            text,
            "| From a process's death until the next one was listed, pauses and crash loops included | {recoveries} |"
        )?;
        let serving = spread(&self.serving);
        writeln!(
            text,
            "| From a `kill -9` of Switchboard until the next one served | {serving} |"
        )?;
        let (kills, orphans) = (self.serving.len(), self.orphans);
        writeln!(
            text,
            "| Processes that were there one second after a `kill -9` of Switchboard | {orphans} after {kills} kills |"
        )?;
        writeln!(text, "| Processes that were there after an ordinary end, zombies | 0 |")?;
        let settled = self.settled.iter().max().copied().unwrap_or_default();
        writeln!(
            text,
            "| Until everything was ready again after the last call, at most | {} |",
            words(settled)
        )?;
        let quiet = spread(&self.quiet);
        let chaos = spread(&self.chaos);
        writeln!(
            text,
            "| What a call of the untouched agent took beside its work, in quiet times | {quiet} |"
        )?;
        writeln!(text, "| The same under chaos | {chaos} |")?;
        let descriptors = most(self.descriptors.iter().copied());
        writeln!(
            text,
            "| Switchboard's descriptors at the start and at the end of a run, at most | {} and {} |",
            descriptors.0, descriptors.1
        )?;
        let (young, old) = most(self.resident_kib.iter().copied());
        writeln!(
            text,
            "| Its memory some time after its start and at the end of a run, at most | {} MiB and {} MiB |",
            young / 1024,
            old / 1024
        )
    }

    fn tables(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n| Fault | Times |\n|---|---|")?;
        for (fault, times) in &self.faults {
            writeln!(text, "| {} | {times} |", fault.words())?;
        }
        writeln!(text, "\n| Answer | Untouched agent | The others |\n|---|---|---|")?;
        for (answer, (calm, others)) in &self.answers {
            writeln!(text, "| {answer} | {calm} | {others} |")?;
        }
        writeln!(text)
    }

    /// Whether the untouched agent was left alone in time too.
    fn check(&self) {
        let (quiet, chaos) = (percentile(&self.quiet, 50), percentile(&self.chaos, 50));
        assert!(
            chaos <= quiet * SLOWER + SHARED_MACHINE,
            "an untouched agent's call took {chaos:?} instead of {quiet:?}"
        );
    }
}

fn most<T: Ord + Copy + Default>(pairs: impl Iterator<Item = (T, T)>) -> (T, T) {
    pairs.fold(Default::default(), |most, pair| (most.0.max(pair.0), most.1.max(pair.1)))
}

fn percentile(times: &[Duration], hundredths: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let place = (times.len() * hundredths).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or_default()
}

fn words(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

fn spread(times: &[Duration]) -> String {
    let (middle, worst) = (words(percentile(times, 50)), words(percentile(times, 99)));
    format!("p50 {middle}, p99 {worst}, of {}", times.len())
}

/// Writes the figures into the page; otherwise the page must name every fault.
pub fn agrees_with(figures: &Figures) {
    figures.check();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the beginning of the figures");
    let (written, after) = rest.split_once(END).expect("the end of the figures");
    if std::env::var_os(UPDATE).is_some() {
        let figures = figures.text();
        fs::write(path, format!("{before}{BEGIN}{figures}{END}{after}")).unwrap();
        return;
    }
    for fault in figures.faults.keys() {
        let words = fault.words();
        assert!(
            written.contains(words),
            "docs/reliability.md does not know {words:?}; {UPDATE}=1 make soak writes it anew"
        );
    }
}
