//! Counts the instructions and allocations of the pure parts (bench/parts.rs) and compares them
//! with the committed baseline: `make bench-check`.
//!
//! It starts itself once for each part under valgrind's callgrind, which runs one thread at a time
//! on a processor of its own making. So neither the machine's load nor its speed counts.

#![allow(clippy::print_stdout, reason = "a program that prints a table")]

#[path = "check/baseline.rs"]
mod baseline;
#[path = "check/callgrind.rs"]
mod callgrind;
mod parts;
mod profile;

use std::{env, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use baseline::Baseline;
use parts::PARTS;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        [] => check(),
        ["--update"] => update(),
        [callgrind::ROLE, name] => run(name),
        _ => bail!("it takes `--update`, or nothing"),
    }
}

/// Each processor family has instructions of its own.
fn file() -> std::path::PathBuf {
    let name = format!("baseline-{}.txt", env::consts::ARCH);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench").join(name)
}

fn measured() -> Result<Baseline> {
    let mut counts = Vec::with_capacity(PARTS.len());
    for part in PARTS {
        counts.push((part.name.to_owned(), callgrind::count(part.name, part.rounds)?));
    }
    Ok(Baseline { compiler: callgrind::compiler(), counts })
}

fn update() -> Result<()> {
    let measured = measured()?;
    fs::write(file(), measured.to_string())?;
    print!("{measured}");
    Ok(())
}

fn check() -> Result<()> {
    let file = file();
    let text = fs::read_to_string(&file).with_context(|| {
        format!("{}: {} makes one for this kind of processor", file.display(), baseline::RENEW)
    })?;
    let before = Baseline::parse(&text).with_context(|| file.display().to_string())?;
    let now = measured()?;
    let verdict = before.compare(&now);
    print!("{}", verdict.table);
    verdict.gains.iter().for_each(|gain| println!("{gain}"));
    if verdict.complaints.is_empty() {
        return Ok(());
    }
    if before.compiler != now.compiler {
        println!("the baseline is of {}, this is {}", before.compiler, now.compiler);
    }
    bail!("{}", verdict.complaints.join("\n"))
}

/// One part, under callgrind.
fn run(name: &str) -> Result<()> {
    let part = PARTS.iter().find(|part| part.name == name).context("no such part")?;
    let mut round = (part.make)()?;
    // The first rounds fill what is filled once.
    for _ in 0..part.rounds.min(20) {
        round();
    }
    rounds_that_count(&mut *round, part.rounds);
    Ok(())
}

/// callgrind counts what happens in here, which it finds by the name.
#[inline(never)]
fn rounds_that_count(round: &mut dyn FnMut(), rounds: u32) {
    for _ in 0..rounds {
        round();
    }
}
