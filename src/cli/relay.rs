//! The relay of `stdio`: lines of one client here, HTTP over the control socket there.
//!
//! It carries messages of both eras as they are and decides nothing about them. When the
//! instance ends the relay ends too, so that the client can start it anew; what was under way
//! is answered before that.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result};
use rmcp::transport::stdio_pipes;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use super::control::{Control, ControlError};
use crate::{
    face::mcp::{cancelled_request, era, is_batch, unreadable},
    id::AgentId,
    wire::{Era, Id, Message, RawValue, envelope, method},
};

mod headers;
mod leg;
#[cfg(test)]
mod tests;

use leg::{Leg, Outgoing};

/// Messages that wait for a client that does not read; then the instance waits.
const WAITING: usize = 64;
/// How long requests may still take when the client has closed its side.
const GRACE: Duration = Duration::from_secs(25);

/// Relays the client at standard input and output until its input ends.
///
/// # Errors
/// When the instance ends, or a standard stream fails.
pub(super) async fn run(control: Control, agent: Option<&AgentId>) -> Result<()> {
    let (reader, writer) = stdio_pipes();
    let path = match agent {
        Some(agent) => format!("/mcp/{agent}"),
        None => "/mcp".to_owned(),
    };
    relay(reader, writer, control, path).await
}

async fn relay(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    control: Control,
    path: String,
) -> Result<()> {
    let (out, waiting) = mpsc::channel(WAITING);
    let write = write(writer, waiting);
    let carry = carry(reader, Relay::new(Leg::new(control, path, out)));
    tokio::pin!(write, carry);
    tokio::select! {
        // The writer ends first only by failing: then there is nobody to talk to.
        written = &mut write => written,
        carried = &mut carry => {
            write.await?;
            carried
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut waiting: mpsc::Receiver<Vec<u8>>,
) -> Result<()> {
    while let Some(mut line) = waiting.recv().await {
        line.push(b'\n');
        let written = writer.write_all(&line).await;
        written.context("failed to write to standard output")?;
        writer.flush().await?;
    }
    Ok(())
}

async fn carry(reader: impl AsyncRead + Unpin, mut relay: Relay) -> Result<()> {
    let mut lines = BufReader::new(reader).split(b'\n');
    loop {
        tokio::select! {
            line = lines.next_segment() => {
                let line = line.context("failed to read standard input")?;
                let Some(line) = line else { break };
                if !line.trim_ascii().is_empty() {
                    relay.receive(&line).await?;
                }
            }
            Some(ended) = relay.requests.join_next() => done(ended)?,
            Some(ended) = relay.streams.join_next() => done(ended)?,
        }
    }
    relay.finish().await
}

type Done = Result<(), ControlError>;

/// A request that was cancelled has ended well.
fn done(ended: Result<Done, tokio::task::JoinError>) -> Result<()> {
    match ended {
        Ok(ended) => Ok(ended?),
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One client's conversation.
#[derive(Debug)]
struct Relay {
    leg: Leg,
    /// Requests under way; each answers its own.
    requests: JoinSet<Done>,
    /// Streams that would never end by themselves.
    streams: JoinSet<Done>,
    /// Modern requests by id: cancelling one is closing its connection.
    modern: HashMap<Id, AbortHandle>,
    /// Whether the client has shown that it is modern.
    is_modern: bool,
}

impl Relay {
    fn new(leg: Leg) -> Self {
        Self {
            leg,
            requests: JoinSet::new(),
            streams: JoinSet::new(),
            modern: HashMap::new(),
            is_modern: false,
        }
    }

    async fn receive(&mut self, line: &[u8]) -> Result<()> {
        if is_batch(line) {
            self.spawn(Outgoing::batch(line));
            return Ok(());
        }
        let message = match Message::parse(line) {
            Ok(message) => message,
            Err(error) => {
                let (id, fault) = unreadable(error);
                let answer = envelope::error(id.as_ref(), &fault.error);
                self.leg.write(answer).await;
                return Ok(());
            }
        };
        match message {
            Message::Request { id, method, params } => {
                if era(None, Some(&method), params) == Era::Modern {
                    self.is_modern |= method != method::DISCOVER;
                    self.modern(id, &method, params, line);
                    return Ok(());
                }
                self.legacy(id, &method, line).await?;
            }
            Message::Notification { method, params } if self.is_modern => {
                // A modern instance keeps nothing that another notification could concern.
                if method == method::CANCELLED
                    && let Some(request) = cancelled_request(params)
                    && let Some(task) = self.modern.remove(&request)
                {
                    task.abort();
                }
            }
            Message::Notification { method, .. } => {
                self.leg.carry(&Outgoing::legacy(None, line)).await?;
                if method == method::INITIALIZED {
                    let leg = self.leg.clone();
                    self.streams.spawn(async move { leg.listen().await });
                }
            }
            Message::Response { .. } => {
                self.leg.carry(&Outgoing::legacy(None, line)).await?;
            }
        }
        Ok(())
    }

    fn modern(&mut self, id: Id, method: &str, params: Option<&RawValue>, line: &[u8]) {
        let message = Outgoing::modern(id.clone(), method, params, line);
        let listens = method == method::LISTEN;
        let task = if listens {
            let leg = self.leg.clone();
            self.streams.spawn(async move { leg.carry(&message).await })
        } else {
            self.spawn(message)
        };
        self.modern.retain(|_, task| !task.is_finished());
        self.modern.insert(id, task);
    }

    async fn legacy(&mut self, id: Id, method: &str, line: &[u8]) -> Result<()> {
        match method {
            // Both are answered in order: what follows needs the session.
            method::INITIALIZE => self.leg.open(&Outgoing::legacy(Some(id), line)).await?,
            // The one thing that may be asked before there is a session.
            method::PING if !self.leg.has_session() => {
                let pong = crate::wire::raw(&serde_json::Map::new());
                self.leg.write(envelope::result(&id, &pong)).await;
            }
            _ => {
                self.spawn(Outgoing::legacy(Some(id), line));
            }
        }
        Ok(())
    }

    fn spawn(&mut self, message: Outgoing) -> AbortHandle {
        let leg = self.leg.clone();
        self.requests.spawn(async move { leg.carry(&message).await })
    }

    /// The client has nothing more to say: what it asked is still answered, then its session
    /// ends.
    async fn finish(mut self) -> Result<()> {
        self.streams.abort_all();
        let answered = async {
            while let Some(ended) = self.requests.join_next().await {
                done(ended)?;
            }
            Ok::<_, anyhow::Error>(())
        };
        let answered = timeout(GRACE, answered).await;
        self.leg.close().await;
        answered.unwrap_or(Ok(()))
    }
}
