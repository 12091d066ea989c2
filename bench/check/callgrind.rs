//! One part under valgrind's callgrind: runs this program again, and reads what was counted.
//!
//! The profile is a temporary file, because callgrind writes no other; nothing else is kept.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::{baseline::Count, profile};

/// The argument that makes the program run one part.
pub(crate) const ROLE: &str = "--part";

/// What one round of a part takes.
pub(crate) fn count(part: &str, rounds: u32) -> Result<Count> {
    let file = env::temp_dir().join(format!("bench-check-{}-{part}", std::process::id()));
    let written = written(part, &file);
    fs::remove_file(&file).ok();
    let (instructions, allocations) = profile::read(&written?)?;
    ensure!(instructions > 0, "{part}: callgrind did not find the rounds that count");
    let rounds = u64::from(rounds);
    Ok(Count { instructions: instructions / rounds, allocations: allocations / rounds })
}

fn written(part: &str, file: &Path) -> Result<String> {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=*rounds_that_count*",
            "--compress-strings=yes",
        ])
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
    use super::profile::read;

    #[test]
    fn a_profile_gives_instructions_and_calls_of_the_allocator_from_outside() {
        let profile = "events: Ir\n\nfn=(1) f\n0 10\ncfn=(2) malloc\ncalls=3 0\n0 60\ncfn=(3) g\n\
            calls=9 0\n0 1\n\nfn=(2)\n0 50\ncfn=(4) malloc'2\ncalls=5 0\n0 10\n\nfn=(3)\n0 7\n\
            cfn=(5) mi_realloc_aligned\ncalls=1 0\n0 2\n\ntotals: 1234\n";
        assert_eq!(read(profile).unwrap(), (1234, 4));
        assert!(read("events: Ir\n").is_err());
    }
}
