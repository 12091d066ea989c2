//! The stdio connector: a child process that speaks one JSON message a line.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use super::{
    Connect, ConnectContext, ConnectError, Link, Protocol, channel::Channel, child, era, peer::Peer,
};
use crate::secret::Secret;

mod arguments;

/// A child process, started without a shell in a process group of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdioConfig {
    /// The program: a path, or a name that is looked up in the child's `PATH`.
    pub command: String,
    /// Its arguments, passed as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables set beside the default environment; values are secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Secret>,
    /// Working directory. Default: ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// What else the child inherits from our environment.
    #[serde(default)]
    pub inherit_env: InheritEnv,
    /// What is masked in the server's error output beside the values of `env` and of arguments
    /// with a telling name. Reading a configuration puts there what variables gave to arguments.
    #[serde(skip)]
    pub secrets: Vec<Secret>,
}

impl StdioConfig {
    /// A command without arguments, with defaults for everything else.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            inherit_env: InheritEnv::default(),
            secrets: Vec::new(),
        }
    }

    /// The program that would be started, where our environment is this one. Starts nothing.
    ///
    /// # Errors
    /// [`ConnectError::Spawn`]: there is no such program or no such working directory.
    pub fn program(
        &self,
        ours: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<PathBuf, ConnectError> {
        child::program(self, ours)
    }
}

/// Which of our variables a child gets beyond the default ones (DESIGN: PATH, HOME, USER, LOGNAME,
/// SHELL, TERM, LANG, `LC_*`, TZ, TMPDIR, `XDG_*`, proxy and CA variables).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "InheritEnvText", into = "InheritEnvText")]
#[schemars(with = "InheritEnvText")]
pub enum InheritEnv {
    /// Only the default ones (`false`).
    #[default]
    Defaults,
    /// All of them (`true`).
    All,
    /// These as well.
    Names(Vec<String>),
}

/// The three ways to write it: the only place where a value may be of two types, because the
/// configuration's contract has it so.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum InheritEnvText {
    All(bool),
    Names(Vec<String>),
}

impl From<InheritEnvText> for InheritEnv {
    fn from(text: InheritEnvText) -> Self {
        match text {
            InheritEnvText::All(true) => Self::All,
            InheritEnvText::All(false) => Self::Defaults,
            InheritEnvText::Names(names) => Self::Names(names),
        }
    }
}

impl From<InheritEnv> for InheritEnvText {
    fn from(value: InheritEnv) -> Self {
        match value {
            InheritEnv::All => Self::All(true),
            InheritEnv::Defaults => Self::All(false),
            InheritEnv::Names(names) => Self::Names(names),
        }
    }
}

/// Starts a child process for every link.
#[derive(Debug)]
pub struct Stdio {
    config: Arc<StdioConfig>,
}

impl Stdio {
    /// A connector for one server.
    pub fn new(config: StdioConfig) -> Self {
        Self { config: Arc::new(config) }
    }
}

impl Connect for Stdio {
    fn connect(&self, context: ConnectContext) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let config = Arc::clone(&self.config);
        Box::pin(async move {
            let arguments = arguments::secrets(&config.args);
            let secrets = config.env.values().chain(&config.secrets).chain(&arguments);
            context.stderr.begin(context.incarnation, secrets);
            let end = Instant::now() + context.timeout;
            match attempt(&config, &context, context.protocol, context.timeout).await {
                Err(failure) if failure.died_on_probe => {
                    let within = end.saturating_duration_since(Instant::now());
                    tracing::debug!(
                        server = %context.server,
                        "ended on server/discover; started again with initialize"
                    );
                    attempt(&config, &context, Protocol::Legacy, within).await
                }
                first => first,
            }
            .map_err(|failure| failure.error)
        })
    }

    fn transport(&self) -> &'static str {
        "pipe"
    }

    fn starts_process(&self) -> bool {
        true
    }
}

/// One process, one handshake. Whatever fails or is dropped here leaves no process behind.
async fn attempt(
    config: &StdioConfig,
    context: &ConnectContext,
    protocol: Protocol,
    within: Duration,
) -> Result<Link, era::Failure> {
    let spawning = child::spawn(config, &context.guard, Arc::clone(&context.stderr));
    let Ok(spawned) = timeout(within, spawning).await else {
        return Err(
            ConnectError::Transport("the process was not started in time".to_owned()).into()
        );
    };
    let (process, output, input) = spawned?;
    let peer = Peer::new(
        output,
        input,
        Arc::new(process),
        context.message_limit,
        Arc::clone(&context.stderr),
    );
    peer.inquiries().know(context.roots.clone());
    let facts = era::agree(&peer, protocol, context.abilities, within).await?;
    Ok(Link::new(Channel::Stream(peer), facts, context.message_limit))
}

#[cfg(test)]
mod tests;
