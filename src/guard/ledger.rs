//! The ledger: which processes an instance has, on disk, for the case that its guard dies with it.
//!
//! A directory with a file for each process, written before the process runs and removed after it
//! ended, and one that says whose they are. Nothing is forced to the disk: it must outlive this
//! process, not the machine.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    process,
    sentry::mark,
    sweep::{Leader, Sweep},
};

/// The file that says whose the others are.
const INSTANCE: &str = "instance";
/// Looks at the processes when the directory is opened, five milliseconds apart.
const LOOKS: u32 = 300;

/// Where one instance notes its processes.
#[derive(Debug)]
pub(super) struct Ledger {
    directory: PathBuf,
    instance: String,
    /// It could not be written; said once.
    failed: AtomicBool,
}

impl Ledger {
    /// Ends what the directory says to be left of an earlier instance, and begins anew.
    pub(super) fn open(directory: &Path, instance: &str) -> io::Result<Self> {
        match fs::read_dir(directory) {
            Ok(entries) => {
                let damage = settle(directory, entries);
                put_away(directory, damage)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let instance = instance.to_owned();
        let failed = AtomicBool::new(false);
        let ledger = Self { directory: directory.to_owned(), instance, failed };
        ledger.begin()?;
        Ok(ledger)
    }

    /// An empty directory that says whose it is.
    fn begin(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.directory)?;
        let header = format!("{}\n{}\n", process::boot(), self.instance);
        fs::write(self.directory.join(INSTANCE), header)
    }

    /// A launch is about to run.
    pub(super) fn began(&self, launch: u64, leader: Leader, program: &Path) {
        let Leader { pid, start } = leader;
        let entry = format!("{pid} {start} {}\n", program.display());
        let written = match fs::write(self.file(launch), &entry) {
            // Somebody removed the directory: what runs from now on is noted.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.begin().and_then(|()| fs::write(self.file(launch), &entry))
            }
            written => written,
        };
        if let Err(error) = written
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "processes cannot be noted in {}: {error}; a kill of this process and of its \
                 guard would leave them",
                self.directory.display()
            );
        }
    }

    /// A launch is over.
    pub(super) fn over(&self, launch: u64) {
        // What could not be written is not there.
        fs::remove_file(self.file(launch)).ok();
    }

    fn file(&self, launch: u64) -> PathBuf {
        self.directory.join(launch.to_string())
    }
}

/// Ends what is left; gives the name of a file that makes no sense.
fn settle(directory: &Path, entries: fs::ReadDir) -> Option<PathBuf> {
    let header = directory.join(INSTANCE);
    let text = fs::read_to_string(&header).unwrap_or_default();
    let mut lines = text.lines();
    let (Some(boot), Some(instance)) = (lines.next(), lines.next()) else { return Some(header) };
    if boot != process::boot() {
        return None;
    }
    let mark = mark(instance, None);
    let mut damage = None;
    let mut leaders = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| *path != header) {
        match fs::read_to_string(&path).ok().as_deref().map(read) {
            Some(Line::Entry(leader, program)) => {
                leaders.extend(is_there(leader, &mark, program).then_some(leader));
            }
            // It was killed before it had written it, and let nothing run.
            Some(Line::Empty) => {}
            Some(Line::Nonsense) | None => damage = Some(path),
        }
    }
    let killed = Sweep { leaders, marks: vec![mark], since: 0 }.run(LOOKS);
    if killed > 0 {
        tracing::warn!("ended {killed} processes that an earlier instance had left behind");
    }
    damage
}

enum Line<'a> {
    Empty,
    Entry(Leader, &'a str),
    Nonsense,
}

fn read(text: &str) -> Line<'_> {
    if text.is_empty() {
        return Line::Empty;
    }
    let mut words = text.trim_end().splitn(3, ' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    match (number().and_then(|pid| u32::try_from(pid).ok()), number(), words.next()) {
        (Some(pid), Some(start), Some(program)) => Line::Entry(Leader { pid, start }, program),
        _ => Line::Nonsense,
    }
}

/// Whether a process is the one that was noted: the id alone may be another's by now.
fn is_there(leader: Leader, mark: &str, program: &str) -> bool {
    process::of(leader.pid).is_some_and(|now| now.start == leader.start)
        && (process::is_marked(leader.pid, mark) || process::runs(leader.pid, program))
}

/// Makes place for a new directory; keeps one that makes no sense, for a person to look at.
fn put_away(directory: &Path, damage: Option<PathBuf>) -> io::Result<()> {
    let Some(file) = damage else { return fs::remove_dir_all(directory) };
    let aside = directory.with_extension("damaged");
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    fs::rename(directory, &aside)?;
    tracing::warn!(
        "{} makes no sense; the notes of an earlier instance are set aside in {}, and processes \
         that it left behind may still run",
        file.display(),
        aside.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests;
