//! The signals that ask the process to end, or to read its configuration anew.
//!
//! Installed by the binary alone, before it starts anything that must be ended in order.

use std::io::{self, IsTerminal as _};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Another configuration.
    Reload,
    /// The end; by which signal.
    End(&'static str),
}

/// SIGTERM, SIGINT and SIGHUP, from now on.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Whether there was a terminal at the start; one that was closed no longer looks like one.
    terminal: bool,
}

impl Signals {
    /// Takes over these signals; they no longer end the process by themselves.
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            terminal: io::stdin().is_terminal(),
        })
    }

    /// Waits for the next one and says what it asks for. Loses none when it is dropped.
    ///
    /// SIGHUP means a terminal that was closed where the process was started from one, else a
    /// reload.
    pub(super) async fn told(&mut self) -> Told {
        match self.next().await {
            "SIGHUP" if !self.terminal => Told::Reload,
            signal => Told::End(signal),
        }
    }

    /// Waits for the next one and names it. Loses none when it is dropped.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
