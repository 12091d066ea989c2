//! Which part this process plays, told by the name that it was started under.
//!
//! Read once, by the first line of `main`; nothing else of the program has run by then.

use std::process::exit;

use super::{launcher, sentry};

/// What the guard process is started as; `ps` shows it.
pub(super) const GUARD: &str = "switchboard-guard";
/// What a server's process is started as, until it becomes the server.
pub(super) const LAUNCHER: &str = "switchboard-launcher";

/// Plays a part other than the program's own to its end, or comes back.
#[allow(clippy::exit, reason = "the rest of the program is not for these two roles")]
pub(super) fn play() {
    let mut words = std::env::args_os();
    match words.next() {
        Some(name) if name == GUARD => {
            let instance = words.next().and_then(|word| word.into_string().ok());
            exit(instance.map_or(2, |instance| sentry::stand(instance).map_or(1, |()| 0)))
        }
        Some(name) if name == LAUNCHER => exit(launcher::run().map_or(127, |()| 0)),
        _ => {}
    }
}
