//! The state directory is there: looked at now and then, because people and programs that clean up
//! remove it under an instance that runs.
//!
//! Owned by the command `serve`. It makes anew what can be: directory, lock, managed layer and
//! control socket; the store and the ledger do their part when they write. It ends nothing.

use std::{convert::Infallible, time::Duration};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    managed::ManagedFile,
    state::{Lock, StateDir},
};
use crate::face::control::ControlSocket;

/// How often it is looked at: three questions to the file system.
const INTERVAL: Duration = Duration::from_secs(5);

/// Looks after the directory for ever. Each loss, and each reason why it cannot be made good, is
/// said once.
pub(super) async fn tend(
    state: &StateDir,
    lock: &mut Lock,
    managed: &ManagedFile,
    control: &mut ControlSocket,
) -> Infallible {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = String::new();
    let directory = state.path().display();
    loop {
        ticks.tick().await;
        match look(state, lock, managed, control).await {
            Ok(false) => said.clear(),
            Ok(true) => {
                said.clear();
                tracing::warn!(
                    "the state directory {directory} was removed, or files in it, while this \
                     instance runs, and is made anew: what is remembered is written again, but keys \
                     are lost with the next restart; keep cleaners away from it, or name another \
                     with --state-dir"
                );
            }
            Err(error) => {
                let why = format!("{error:#}");
                if why != said {
                    tracing::error!(
                        "the state directory {directory} was removed while this instance runs, and \
                         cannot be made anew: {why}; until it can, commands do not reach this \
                         instance and nothing outlives a restart"
                    );
                    said = why;
                }
            }
        }
    }
}

/// Makes good what is gone; says whether anything was.
async fn look(
    state: &StateDir,
    lock: &mut Lock,
    managed: &ManagedFile,
    control: &mut ControlSocket,
) -> Result<bool> {
    let gone = !lock.holds();
    if gone {
        *lock = state.acquire().await?;
        managed.restore()?;
    }
    Ok(control.restore().await? || gone)
}
