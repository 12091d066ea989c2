//! One part under valgrind's callgrind: runs this program again, and reads what was counted.
//!
//! The profile is a temporary file, because callgrind writes no other; nothing else is kept.

use std::{
    collections::HashMap,
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::baseline::Count;

/// The argument that makes the program run one part.
pub(crate) const ROLE: &str = "--part";

/// What one round of a part takes.
pub(crate) fn count(part: &str, rounds: u32) -> Result<Count> {
    let file = env::temp_dir().join(format!("bench-check-{}-{part}", std::process::id()));
    let profile = profile(part, &file);
    fs::remove_file(&file).ok();
    let (instructions, allocations) = read(&profile?)?;
    ensure!(instructions > 0, "{part}: callgrind did not find the rounds that count");
    let rounds = u64::from(rounds);
    Ok(Count { instructions: instructions / rounds, allocations: allocations / rounds })
}

fn profile(part: &str, file: &Path) -> Result<String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*rounds_that_count*", "--compress-strings=yes"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe()?)
        .args([ROLE, part])
        .stdin(Stdio::null())
        .output()
        .context("valgrind: install it (on Debian: sudo apt-get install valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{part}: valgrind ended with {}:\n{said}", output.status);
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// Instructions in all, and calls of the allocator from outside of it.
fn read(profile: &str) -> Result<(u64, u64)> {
    let (mut names, mut instructions, mut allocations) = (HashMap::new(), None, 0);
    let (mut caller, mut callee) = (String::new(), String::new());
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            caller = named(&mut names, name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = named(&mut names, name);
        } else if let Some(calls) = line.strip_prefix("calls=") {
            if allocates(&callee) && !allocates(&caller) {
                allocations += calls.split(' ').next().unwrap_or_default().parse::<u64>()?;
            }
        } else if let Some(total) = line.strip_prefix("totals: ") {
            instructions = Some(total.trim().parse()?);
        }
    }
    Ok((instructions.context("a profile without totals")?, allocations))
}

/// A function's name, which stands in full where it comes first: `(7) malloc`, then `(7)`.
fn named<'a>(names: &mut HashMap<&'a str, &'a str>, text: &'a str) -> String {
    let (id, name) = text.split_once(' ').unwrap_or((text, ""));
    if !name.is_empty() {
        names.insert(id, name);
    }
    names.get(id).copied().unwrap_or_default().to_owned()
}

fn allocates(name: &str) -> bool {
    // glibc has several of some, which callgrind tells apart behind an apostrophe or a version.
    let name = name.split(['\'', '@']).next().unwrap_or_default();
    matches!(name, "malloc" | "calloc" | "realloc" | "posix_memalign" | "aligned_alloc")
}

/// What built this, in its own words.
pub(crate) fn compiler() -> String {
    let rustc = Command::new("rustc").arg("--version").stdin(Stdio::null()).output();
    rustc.map_or_else(
        |_| "an unknown compiler".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_gives_instructions_and_calls_of_the_allocator_from_outside() {
        let profile = "events: Ir\n\nfn=(1) f\n0 10\ncfn=(2) malloc\ncalls=3 0\n0 60\ncfn=(3) g\n\
            calls=9 0\n0 1\n\nfn=(2)\n0 50\ncfn=(4) malloc'2\ncalls=5 0\n0 10\n\nfn=(3)\n0 7\n\
            cfn=(5) realloc\ncalls=1 0\n0 2\n\ntotals: 1234\n";
        assert_eq!(read(profile).unwrap(), (1234, 4));
        assert!(read("events: Ir\n").is_err());
    }
}
