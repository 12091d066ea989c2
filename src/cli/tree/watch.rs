//! The tree as it changes: drawn on a terminal each second and on every event.
//!
//! The terminal is given back as it was, however this ends.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::{
    io::AsyncReadExt as _,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, sleep_until},
};

use super::ask;
use crate::cli::{
    control::{Control, ControlError},
    events,
    exit::Usage,
    output,
    table::cut,
};

/// The longest that a drawing stands.
const SECOND: Duration = Duration::from_secs(1);
/// The shortest, so that a storm of events is no storm of drawings.
const LEAST: Duration = Duration::from_millis(100);

/// Another screen: what was on the terminal before stays there.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Draws until Ctrl-C, `q` or the end of the instance.
pub(super) async fn watch(control: &Control) -> Result<()> {
    if !io::stdout().is_terminal() {
        let text = "--watch draws on a terminal, which standard output is not; leave it out, or \
                    use `switchboard events --follow`";
        return Err(Usage(text.to_owned()).into());
    }
    let mut events = events::open(control, None, true).await?;
    let mut tree = ask(control).await?;
    let mut ended = signal(SignalKind::terminate()).context("failed to take over signals")?;
    let mut broken = signal(SignalKind::interrupt()).context("failed to take over signals")?;
    let screen = Screen::enter()?;
    let mut input = tokio::io::stdin();
    let mut keys = [0; 16];
    let mut listening = io::stdin().is_terminal();
    loop {
        draw(&tree)?;
        let drawn = Instant::now();
        tokio::select! {
            _ = broken.recv() => return Ok(()),
            _ = ended.recv() => return Ok(()),
            read = input.read(&mut keys), if listening => match read {
                Ok(read @ 1..) if keys.iter().take(read).any(|key| matches!(key, b'q' | b'Q')) => {
                    return Ok(());
                }
                Ok(1..) => continue,
                Ok(0) | Err(_) => listening = false,
            },
            event = events.next() => if event?.is_none() {
                drop(screen);
                return Err(ControlError::Ended.into());
            },
            () = sleep_until(drawn + SECOND) => {}
        }
        sleep(LEAST.saturating_sub(drawn.elapsed())).await;
        // What came meanwhile is drawn at once.
        while let Some(Ok(Some(_))) = events.next().now_or_never() {}
        tree = ask(control).await?;
    }
}

fn draw(tree: &[String]) -> io::Result<()> {
    let (width, height) = output::size().unwrap_or((80, 24));
    let mut text = "\x1b[H".to_owned();
    for (at, line) in tree.iter().take(height).enumerate() {
        if at > 0 {
            text.push_str("\r\n");
        }
        text.push_str(&cut(&output::printable(line), Some(width)));
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J");
    output::screen(&text)
}

/// The terminal while it is drawn on.
struct Screen {
    /// How its input was; `None` where it is no terminal.
    before: Option<Termios>,
}

impl Screen {
    fn enter() -> Result<Self> {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            // A key is read when it is pressed; Ctrl-C stays a signal.
            let mut keys = before.clone();
            keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            tcsetattr(io::stdin(), OptionalActions::Now, &keys)
                .context("failed to prepare the terminal")?;
        }
        let screen = Self { before };
        output::screen(ENTER)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        output::screen(LEAVE).ok();
        if let Some(before) = &self.before {
            tcsetattr(io::stdin(), OptionalActions::Now, before).ok();
        }
    }
}
