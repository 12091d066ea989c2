//! Waiting until a server serves, or until it is clear that it will not soon.
//!
//! Asks the running instance now and then; decides nothing about the server.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

use super::{
    control::{Control, ControlError},
    output,
    status::{Connection, Status},
};
use crate::id::{AgentId, ServerName};

/// How often the instance is asked.
const EVERY: Duration = Duration::from_millis(200);
/// How long is waited at most; by then the longest start and a drain are over.
const LONGEST: Duration = Duration::from_mins(5);

/// A server that is waited for.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    control: &'a Control,
    owner: &'a str,
    server: &'a ServerName,
    session: Option<&'a str>,
    /// The life before the one that is waited for; 0 if there was none.
    before: u64,
    /// Since when it is waited for.
    begun: Instant,
}

fn caused(now: &Connection) -> String {
    now.cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"))
}

impl<'a> Waiting<'a> {
    /// Takes note of the life that is not the one waited for.
    pub(super) async fn begin(
        control: &'a Control,
        agent: Option<&'a AgentId>,
        server: &'a ServerName,
        session: Option<&'a str>,
    ) -> Result<Self, ControlError> {
        let owner = agent.map_or("store", AgentId::as_str);
        let mut waiting =
            Self { control, owner, server, session, before: 0, begun: Instant::now() };
        waiting.before = waiting.look().await?.map_or(0, |found| found.incarnation);
        Ok(waiting)
    }

    async fn look(&self) -> Result<Option<Connection>, ControlError> {
        let status: Status = self.control.get("/status").await?;
        let mut found = status.servers.into_iter();
        Ok(found.find(|it| it.is(self.owner, self.server.as_str(), self.session)))
    }

    /// Waits until it is ready, and says so.
    pub(super) async fn ready(self) -> Result<()> {
        let server = self.server;
        loop {
            let waited = self.begun.elapsed();
            let Some(now) = self.look().await? else {
                bail!("{server} is not configured any more");
            };
            // One that was removed and added again begins with #1 once more, maybe while the one
            // before still drains.
            let is_new =
                now.incarnation > self.before || now.since().is_some_and(|since| since < waited);
            match &*now.state {
                "ready" if is_new => {
                    output::data(&format!("{server} #{} is ready", now.incarnation))?;
                    return Ok(());
                }
                "idle" => {
                    output::data(&format!("{server} is started by its first call"))?;
                    return Ok(());
                }
                "open" => bail!("{server} keeps failing and is paused{}", caused(&now)),
                "failed" => bail!("{server} was given up{}", caused(&now)),
                "stopped" if is_new => bail!("{server} is stopped{}", caused(&now)),
                state if waited >= LONGEST => {
                    let minutes = LONGEST.as_secs() / 60;
                    bail!(
                        "{server} is not ready after {minutes} minutes but {state}{}",
                        caused(&now)
                    )
                }
                _ => tokio::time::sleep(EVERY).await,
            }
        }
    }
}
