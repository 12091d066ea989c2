//! Another configuration for the running instance: read, prepare every part, commit every part.
//!
//! A configuration that cannot be used changes nothing. What was added while the instance runs
//! stands in `managed.toml` and takes the same way as a change of any file.

use std::{
    io,
    path::{Path, PathBuf},
};

use futures::future::{BoxFuture, FutureExt as _};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, watch};

use super::{
    fixed::restart_needed,
    in_force::{InForce, Since},
    managed::ManagedFile,
};
use crate::{
    config::{
        Config, ConfigErrors, Files, KeyPath, Loaded, Problem, Sources, load,
        managed::{self, Managed, ManagedError},
        missing_programs,
    },
    error::Kind,
    face::{
        http::{Door, HttpFaceError},
        operator::{AddServer, Done, Operator, Refusal, RemoveServer},
    },
    id::{AgentId, Owner, ServerName},
    runtime::{Changes, RuntimeHandle, SpawnError},
    telemetry::{self, LogLevel},
    wire::raw,
};

/// The commands that end here, as the log and `reload` name them.
const RELOAD: &str = "switchboard reload";
const ADD: &str = "switchboard add";
const REMOVE: &str = "switchboard remove";

/// What a reload did.
#[derive(Debug, Serialize)]
pub(super) struct Reloaded {
    /// What it touched.
    pub(super) changes: Changes,
    /// Since when and by what the configuration is in force.
    pub(super) in_force: Since,
    /// Settings that differ and hold only from the next start on.
    pub(super) restart_needed: Vec<String>,
    /// What looks wrong, and does no harm.
    pub(super) warnings: Vec<String>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    /// The configuration has problems.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The runtime cannot take it.
    #[error(transparent)]
    Runtime(#[from] SpawnError),
    /// The log level is none.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// The HTTP listener cannot take it.
    #[error(transparent)]
    Http(#[from] HttpFaceError),
    /// The managed layer is none.
    #[error(transparent)]
    Managed(#[from] ManagedError),
    /// The managed layer cannot be read or written.
    #[error("{path} cannot be used: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A wish that contradicts what there is.
    #[error(transparent)]
    Refused(Refusal),
}

/// Changes the configuration of one running instance.
#[derive(Debug)]
pub(super) struct Operations {
    sources: Sources,
    runtime: RuntimeHandle,
    log: LogLevel,
    door: Door,
    /// What the parts were started with that cannot change while they run.
    started: Config,
    managed: ManagedFile,
    /// The files that were looked at last, whether what they say is in force or not.
    seen: watch::Sender<Files>,
    /// The settings in force; one change at a time.
    in_force: Mutex<InForce>,
}

impl Operations {
    pub(super) fn new(
        sources: Sources,
        managed: PathBuf,
        runtime: RuntimeHandle,
        log: LogLevel,
        door: Door,
        started: &Loaded,
    ) -> Self {
        Self {
            sources,
            runtime,
            log,
            door,
            started: started.config.clone(),
            managed: ManagedFile::new(managed),
            seen: watch::Sender::new(started.looked_for.clone()),
            in_force: Mutex::new(InForce::new(started.looked_for.clone(), "the start")),
        }
    }

    /// The runtime that it changes.
    pub(super) const fn runtime(&self) -> &RuntimeHandle {
        &self.runtime
    }

    /// The files that were looked at last: another content of one is a reason to reload.
    pub(super) fn seen(&self) -> watch::Receiver<Files> {
        self.seen.subscribe()
    }

    /// Reads everything anew and puts it in force.
    ///
    /// # Errors
    /// [`ReloadError`], and nothing was changed.
    pub(super) async fn reload(&self, why: &str) -> Result<Reloaded, ReloadError> {
        let mut in_force = self.in_force.lock().await;
        let loaded = load(&self.sources)
            .and_then(|loaded| nothing_gone(loaded, &in_force.files))
            .inspect_err(|errors| {
            // So that they are not read over and over, and are read when one is put right.
            self.seen.send_replace(errors.looked_for.clone());
        })?;
        self.apply(loaded, None, why, &mut in_force).await
    }

    /// The same for a reason that nobody waits at.
    pub(super) async fn reload_for(&self, why: &str) {
        // The log has it.
        logged(why, self.reload(why).await).ok();
    }

    /// Prepares every part, writes the managed layer if it is to be another, commits every part.
    async fn apply(
        &self,
        loaded: Loaded,
        written: Option<&str>,
        why: &str,
        in_force: &mut InForce,
    ) -> Result<Reloaded, ReloadError> {
        let prepared = self.runtime.prepare(loaded.config.clone().into())?;
        let level =
            loaded.config.telemetry.log.filter().map_err(telemetry::TelemetryError::from)?;
        let admission = self.door.prepare(&loaded.config.server)?;
        if let Some(text) = written {
            self.managed.write(text).map_err(|source| self.unusable(source))?;
        }
        self.log.set(level);
        self.door.commit(admission);
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        self.managed.keep();
        if in_force.files != loaded.looked_for {
            *in_force = InForce::new(loaded.looked_for.clone(), why);
        }
        self.seen.send_replace(loaded.looked_for);
        // Last, because whoever asked may go away while this is awaited.
        let changes = self.runtime.commit(prepared).await;
        Ok(Reloaded {
            changes,
            in_force: in_force.since(),
            restart_needed: restart_needed(&self.started, &loaded.config),
            warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
        })
    }

    fn unusable(&self, source: io::Error) -> ReloadError {
        ReloadError::File { path: self.managed.path().to_owned(), source }
    }

    /// The managed layer's file, to be made anew where it was lost.
    pub(super) const fn managed(&self) -> &ManagedFile {
        &self.managed
    }

    /// Changes the managed layer, and with it what is in force.
    async fn manage(
        &self,
        agent: Option<&AgentId>,
        server: &ServerName,
        why: &str,
        change: impl FnOnce(&str) -> Result<String, ReloadError>,
    ) -> Result<Reloaded, ReloadError> {
        let mut in_force = self.in_force.lock().await;
        if let Some(layer) = managed::defined_in(&self.sources, agent, server) {
            return Err(ReloadError::Refused(Refusal {
                code: Some("defined_in_file"),
                ..invalid(&format!("{server} is defined by {layer}"))
            }));
        }
        let present = self.managed.read().map_err(|source| self.unusable(source))?;
        let text = change(&present)?;
        let managed = Managed { path: self.managed.path().to_owned(), text: Some(text.clone()) };
        let sources = Sources { managed: Some(managed), ..self.sources.clone() };
        let mut loaded = nothing_gone(load(&sources)?, &in_force.files)?;
        let command = entry_path(agent, server).join("command").to_string();
        let missing = missing_programs(&loaded, &sources).into_iter();
        loaded.warnings.extend(missing.filter(|missing| missing.path == command));
        self.apply(loaded, Some(&text), why, &mut in_force).await
    }

    async fn add(&self, wish: AddServer) -> Result<Reloaded, ReloadError> {
        let AddServer { server, agent, entry, replace } = wish;
        let entry: Map<String, Value> = serde_json::from_str(entry.get()).map_err(|_| {
            ReloadError::Refused(invalid("the entry must be an object, as in `mcpServers`"))
        })?;
        self.manage(agent.as_ref(), &server, ADD, |text| {
            if !replace && managed::remove(text, agent.as_ref(), &server)?.is_some() {
                let why = format!("{server} was added already; replace it with --replace");
                return Err(ReloadError::Refused(Refusal {
                    code: Some("exists"),
                    ..invalid(&why)
                }));
            }
            Ok(managed::put(text, agent.as_ref(), &server, &entry)?)
        })
        .await
    }

    async fn remove(&self, wish: RemoveServer) -> Result<Reloaded, ReloadError> {
        let RemoveServer { server, agent } = wish;
        self.manage(agent.as_ref(), &server, REMOVE, |text| {
            managed::remove(text, agent.as_ref(), &server)?.ok_or_else(|| {
                let text = format!("no server {:?} was added", server.as_str());
                ReloadError::Refused(Refusal { kind: Kind::NotFound, code: None, text })
            })
        })
        .await
    }
}

impl Operator for Operations {
    fn reload(&self) -> BoxFuture<'_, Done> {
        async { done(logged(RELOAD, self.reload(RELOAD).await)) }.boxed()
    }

    fn add(&self, server: AddServer) -> BoxFuture<'_, Done> {
        async { done(logged(ADD, self.add(server).await)) }.boxed()
    }

    fn remove(&self, server: RemoveServer) -> BoxFuture<'_, Done> {
        async { done(logged(REMOVE, self.remove(server).await)) }.boxed()
    }

    fn defined(&self, owner: &Owner, server: &ServerName) -> Option<String> {
        place(&load(&self.sources).ok()?, owner, server)
    }
}

/// The layer that has a server's entry, and where in it: the agent's own one, else the top-level
/// one.
fn place(loaded: &Loaded, owner: &Owner, server: &ServerName) -> Option<String> {
    let config = &loaded.config;
    let own = match owner {
        Owner::Agent(agent) => {
            let private = &config.agents.get(agent)?.private;
            private.contains_key(server).then_some(agent)
        }
        Owner::Store => None,
    };
    let path = entry_path(own, server);
    Some(format!("{}: {path}", loaded.origins.nearest(&path)?))
}

/// Where a server's entry stands: an agent's own one, or a top-level one.
fn entry_path(agent: Option<&AgentId>, server: &ServerName) -> KeyPath {
    let above = match agent {
        Some(agent) => KeyPath::root("agents").join(agent.as_str()).join("mcpServers"),
        None => KeyPath::root("mcpServers"),
    };
    above.join(server.as_str())
}

/// Says in the log what was done, whoever asked.
fn logged(why: &str, outcome: Result<Reloaded, ReloadError>) -> Result<Reloaded, ReloadError> {
    match &outcome {
        Ok(done) if done.changes.is_empty() && done.restart_needed.is_empty() => {
            tracing::debug!(why, "the configuration is the same");
        }
        Ok(done) => {
            tracing::info!(why, "configuration reloaded: {}", done.changes);
            if !done.restart_needed.is_empty() {
                tracing::warn!("restart needed: {}", done.restart_needed.join(", "));
            }
        }
        Err(ReloadError::Refused(refusal)) => tracing::info!(why, "refused: {refusal}"),
        Err(error) => tracing::error!(why, "nothing was changed: {error}"),
    }
    outcome
}

fn done(outcome: Result<Reloaded, ReloadError>) -> Done {
    outcome.map(|reloaded| raw(&reloaded)).map_err(|error| match error {
        ReloadError::Refused(refusal) => refusal,
        ReloadError::File { .. } => {
            Refusal { kind: Kind::Internal, code: None, text: error.to_string() }
        }
        ReloadError::Config(_)
        | ReloadError::Runtime(_)
        | ReloadError::Telemetry(_)
        | ReloadError::Http(_)
        | ReloadError::Managed(_) => {
            Refusal { code: Some("configuration"), ..invalid(&error.to_string()) }
        }
    })
}

fn invalid(why: &str) -> Refusal {
    Refusal { kind: Kind::Invalid, code: None, text: why.to_owned() }
}

/// A file that was there and is gone is no empty one: it may be between two names just now.
fn nothing_gone(loaded: Loaded, in_force: &Files) -> Result<Loaded, ConfigErrors> {
    let problem = |path: &Path| Problem {
        file: Some(path.display().to_string()),
        path: String::new(),
        message: "was read before and is gone or empty".to_owned(),
        remedy:
            "put it back, with a comment if it is to say nothing, or restart to go on without it"
                .to_owned(),
    };
    let problems: Vec<Problem> = loaded.looked_for.gone_since(in_force).map(problem).collect();
    if problems.is_empty() {
        return Ok(loaded);
    }
    let Loaded { warnings, looked_for, .. } = loaded;
    Err(ConfigErrors { problems, warnings, looked_for })
}
