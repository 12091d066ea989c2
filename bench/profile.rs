//! Reads what valgrind's callgrind wrote: instructions in all, and how often memory was asked for.
//!
//! Text only; starts nothing.

use std::collections::HashMap;

use anyhow::{Context as _, Result};

/// Instructions in all, and calls of the allocator from outside of it.
pub(crate) fn read(profile: &str) -> Result<(u64, u64)> {
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

/// The functions of glibc and of mimalloc that give memory.
fn allocates(name: &str) -> bool {
    // There are several of some, which are told apart behind an apostrophe or a version.
    let name = name.split(['\'', '@']).next().unwrap_or_default();
    let name = name.strip_prefix("mi_").unwrap_or(name);
    let name = name.strip_suffix("_aligned").unwrap_or(name);
    ["malloc", "calloc", "zalloc", "realloc", "posix_memalign"].contains(&name)
}
