//! The guard process: it knows every launch of one runtime, and when the runtime's process is gone
//! it kills what is left of them.
//!
//! It reads lines from its standard input, a socket whose other end only the runtime's process
//! holds. It has a session of its own, no signal but KILL ends it, and it holds nothing else.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use super::{
    role::GUARD,
    sweep::{Leader, Sweep},
};

/// What it says when it is ready.
pub(super) const READY: u8 = b'r';
/// Looks at the processes for the end of one launch, and for the end of all.
const LOOKS: u32 = 50;
const LAST_LOOKS: u32 = 2000;

/// What the runtime's process tells the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A launch is about to run.
    Began(u64, Leader),
    /// A launch is over: end what is left of it.
    Over(u64),
}

impl Word {
    /// One line of text.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Began(launch, Leader { pid, start }) => format!("began {launch} {pid} {start}\n"),
            Self::Over(launch) => format!("over {launch}\n"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        match words.next()? {
            "began" => {
                let launch = words.next()?.parse().ok()?;
                let (pid, start) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                Some(Self::Began(launch, Leader { pid, start }))
            }
            "over" => Some(Self::Over(words.next()?.parse().ok()?)),
            _ => None,
        }
    }
}

/// What a guard knows.
#[derive(Debug)]
struct Roll {
    /// How every mark begins; it was started with this, so that it is of use before it was told.
    instance: String,
    launches: BTreeMap<u64, Leader>,
    /// Launches that are over and not seen to yet; an unknown one was the last guard's.
    over: Vec<(u64, Option<Leader>)>,
}

impl Roll {
    fn hear(&mut self, word: Word) {
        match word {
            Word::Began(launch, leader) => {
                self.launches.insert(launch, leader);
            }
            Word::Over(launch) => self.over.push((launch, self.launches.remove(&launch))),
        }
    }

    /// What is left of launches that are over.
    fn over(&mut self) -> Option<Sweep> {
        let over = std::mem::take(&mut self.over);
        Some(Sweep {
            since: over.iter().map(|(_, leader)| leader.map_or(0, |leader| leader.start)).min()?,
            marks: over.iter().map(|(launch, _)| mark(&self.instance, Some(*launch))).collect(),
            leaders: over.into_iter().filter_map(|(_, leader)| leader).collect(),
        })
    }

    /// Everything of this instance.
    fn all(self) -> Sweep {
        let over = self.over.into_iter().filter_map(|(_, leader)| leader);
        Sweep {
            leaders: self.launches.into_values().chain(over).collect(),
            marks: vec![mark(&self.instance, None)],
            since: 0,
        }
    }
}

/// How the mark of one launch, or of every launch of an instance, begins.
pub(super) fn mark(instance: &str, launch: Option<u64>) -> String {
    launch.map_or_else(|| format!("{instance}:"), |launch| format!("{instance}:{launch}:"))
}

/// Stands guard over an instance until the runtime's process is gone and nothing is left of it.
pub(super) fn stand(instance: String) -> io::Result<()> {
    // It leads a session already if somebody started it so.
    rustix::process::setsid().ok();
    for signal in [SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    // What tools show that show no command lines; the name of its file says less.
    fs::write("/proc/self/comm", GUARD).ok();
    let mut line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // If nobody is there to hear it any more, there may be something to end all the same.
    line.write_all(&[READY]).ok();
    let mut source = BufReader::new(line);
    let mut roll = Roll { instance, launches: BTreeMap::new(), over: Vec::new() };
    let mut text = String::new();
    // A line that breaks off in the middle was not meant yet; an error is an end as well.
    while source.read_line(&mut text).is_ok() && text.ends_with('\n') {
        if let Some(word) = Word::parse(&text) {
            roll.hear(word);
        }
        text.clear();
        // One look at the processes for all that ended together.
        if source.buffer().is_empty()
            && let Some(sweep) = roll.over()
        {
            sweep.run(LOOKS);
        }
    }
    roll.all().run(LAST_LOOKS);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_was_written() {
        let began = Word::Began(3, Leader { pid: 41, start: 99 });
        for word in [began, Word::Over(3)] {
            assert_eq!(Word::parse(&word.line()), Some(word));
        }
        assert_eq!(Word::parse("began 3 x 1\n"), None);
        assert_eq!(Word::parse("\n"), None);
    }

    #[test]
    fn the_mark_of_a_launch_is_not_the_beginning_of_anothers() {
        let all = mark("ab", None);
        let (first, eleventh) = (mark("ab", Some(1)), mark("ab", Some(11)));
        assert!(first.starts_with(&all) && eleventh.starts_with(&all));
        assert!(!eleventh.starts_with(&first));
    }
}
