//! The program `switchboard`: runs a command, and says why it failed.

use std::process::ExitCode;

use switchboard::cli;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let guard = switchboard::guard::init();
    cli::run(guard).unwrap_or_else(|error| cli::report(&error))
}
