//! The committed figures: how they are written, read and compared.
//!
//! Pure; measures nothing.

use std::fmt::{self, Write as _};

use anyhow::{Context as _, Result};

/// What renews the file.
pub(crate) const RENEW: &str = "`make bench-check UPDATE=1`";

/// How far a figure may be from the baseline, in percent.
const TOLERANCE: u64 = 5;

/// Instructions that count for nothing: where the compiler places a few of them is chance.
const CHANCE: u64 = 50;

/// What one round of a part takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// Instructions of this program and its libraries, the system's own apart.
    pub(crate) instructions: u64,
    /// Calls of the allocator that give memory.
    pub(crate) allocations: u64,
}

/// Figures of every part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// What built it: another compiler makes other instructions.
    pub(crate) compiler: String,
    /// By name, in the order of the list.
    pub(crate) counts: Vec<(String, Count)>,
}

/// What a comparison came to.
pub(crate) struct Verdict {
    /// Every part, before and now.
    pub(crate) table: String,
    /// Why it failed; nothing if it did not.
    pub(crate) complaints: Vec<String>,
    /// What takes less than the baseline says.
    pub(crate) gains: Vec<String>,
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Instructions and allocations of one round; {RENEW} renews this file.")?;
        writeln!(f, "# {}", self.compiler)?;
        for (name, Count { instructions, allocations }) in &self.counts {
            writeln!(f, "{name:<36} {instructions:>10} {allocations:>6}")?;
        }
        Ok(())
    }
}

impl Baseline {
    /// Reads what was written.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut compiler = String::new();
        let mut counts = Vec::new();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                comment.clone_into(&mut compiler);
                continue;
            }
            let mut words = line.split_whitespace();
            let mut word = || words.next().with_context(|| format!("{line:?} lacks a figure"));
            let name = word()?.to_owned();
            let (instructions, allocations) = (word()?.parse()?, word()?.parse()?);
            counts.push((name, Count { instructions, allocations }));
        }
        Ok(Self { compiler, counts })
    }

    /// Compares with what was measured now.
    pub(crate) fn compare(&self, now: &Self) -> Verdict {
        let mut table = format!("{:<36} {:>10} {:>10}  allocations\n", "part", "baseline", "now");
        let (mut complaints, mut gains) = (Vec::new(), Vec::new());
        for (name, count) in &now.counts {
            let before = self.counts.iter().find(|(known, _)| known == name);
            let Some((_, before)) = before else {
                complaints.push(format!("{name} is not in the baseline: {RENEW}"));
                continue;
            };
            // Writing to a String cannot fail.
            writeln!(
                table,
                "{name:<36} {:>10} {:>10}  {} {}",
                before.instructions, count.instructions, before.allocations, count.allocations
            )
            .ok();
            let figures = [
                ("instructions", before.instructions, count.instructions, CHANCE),
                ("allocations", before.allocations, count.allocations, 0),
            ];
            for (what, before, now, chance) in figures {
                if before.abs_diff(now) <= chance {
                    continue;
                }
                let said = format!("{name} takes {now} {what} instead of {before}");
                if now * 100 > before * (100 + TOLERANCE) {
                    complaints
                        .push(format!("{said}: find out why, and if it has to be so, {RENEW}"));
                } else if now * 100 < before * (100 - TOLERANCE) {
                    gains.push(format!("{said}: {RENEW}, or what was gained can be lost again"));
                }
            }
        }
        let is_gone = |name: &String| now.counts.iter().all(|(known, _)| known != name);
        for (name, _) in self.counts.iter().filter(|(name, _)| is_gone(name)) {
            complaints.push(format!("{name} is in the baseline only: {RENEW}"));
        }
        Verdict { table, complaints, gains }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(instructions: u64, allocations: u64) -> Baseline {
        let count = Count { instructions, allocations };
        Baseline { compiler: "rustc 1".to_owned(), counts: vec![("part".to_owned(), count)] }
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let baseline = of(1000, 3);
        assert_eq!(Baseline::parse(&baseline.to_string()).unwrap(), baseline);
        assert!(Baseline::parse("part 1").is_err());
        assert!(Baseline::parse("part many 1").is_err());
    }

    #[test]
    fn five_percent_more_is_a_complaint_and_less_is_told() {
        let compared = |instructions, allocations| {
            let verdict = of(10_000, 20).compare(&of(instructions, allocations));
            (verdict.complaints, verdict.gains)
        };
        for (instructions, allocations) in [(10_500, 21), (9_500, 19)] {
            assert_eq!(compared(instructions, allocations), (vec![], vec![]));
        }
        assert!(compared(10_501, 20).0[0].contains("find out why"));
        assert!(compared(10_000, 22).0[0].contains("22 allocations"));
        let (complaints, gains) = compared(9_499, 20);
        assert!(complaints.is_empty() && gains[0].contains("9499 instructions"));
        assert_eq!(of(300, 0).compare(&of(350, 0)).complaints, [""; 0], "as little is chance");
    }

    #[test]
    fn a_part_that_only_one_of_them_has_is_a_complaint() {
        let none = Baseline { compiler: String::new(), counts: Vec::new() };
        assert!(none.compare(&of(1, 1)).complaints[0].contains("not in the baseline"));
        assert!(of(1, 1).compare(&none).complaints[0].contains("baseline only"));
    }
}
