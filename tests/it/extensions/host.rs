//! The servers of these tests: a script in Python behind the host of the dialogue tests.

use std::path::PathBuf;

use serde_json::{Value, json};
use switchboard::{
    id::ServerName,
    runtime::ServerConfig,
    upstream::{TransportConfig, stdio::StdioConfig},
};
use tempfile::TempDir;

use crate::{
    dialogue::talk::Host,
    support::wait::{PATIENCE, until},
};

/// The skills extension, with a setting.
pub fn skills() -> Value {
    json!({"extensions": {"io.modelcontextprotocol/skills": {"directories": true}}})
}

/// Servers with a journal each.
pub struct Servers {
    pub host: Host,
    folder: PathBuf,
}

impl Servers {
    /// A server of this era that declares these capabilities, by the name of the dialogue tests'.
    pub async fn start(era: &str, capabilities: &Value) -> Self {
        Self::with(era, capabilities, |_| {}).await
    }

    /// The same, with another definition.
    pub async fn with(
        era: &str,
        capabilities: &Value,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let mut config = definition(&path, crate::dialogue::talk::SERVER, era, capabilities);
        change(&mut config);
        Self::over(config, folder, path).await
    }

    async fn over(config: ServerConfig, folder: TempDir, path: PathBuf) -> Self {
        Self { host: Host::over(config, folder).await, folder: path }
    }

    /// One more of them.
    pub async fn add(&self, name: &str, era: &str, capabilities: &Value) {
        let store = self.host.runtime.store();
        let server = ServerName::new(name).unwrap();
        let config = self.definition(name, era, capabilities);
        store.add(server.clone(), config).await.unwrap();
        store.wait_ready(&server, PATIENCE).await.unwrap();
    }

    /// How one of them is defined.
    pub fn definition(&self, name: &str, era: &str, capabilities: &Value) -> ServerConfig {
        definition(&self.folder, name, era, capabilities)
    }

    /// What a server took with this method, in its order.
    pub fn took(&self, server: &str, method: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join(server)).unwrap();
        let words = text.lines().filter_map(|line| line.split_once(' '));
        let taken = words.filter(|(taken, _)| *taken == method);
        taken.map(|(_, params)| serde_json::from_str(params).unwrap()).collect()
    }

    /// Waits until a server took so many of this method; gives the last.
    pub async fn taken(&self, server: &str, method: &str, count: usize) -> Value {
        until(&format!("{count} {method} at {server}"), async || {
            let mut taken = self.took(server, method);
            assert!(taken.len() <= count, "{taken:?}");
            (taken.len() == count).then(|| taken.pop().unwrap())
        })
        .await
    }
}

fn definition(
    folder: &std::path::Path,
    name: &str,
    era: &str,
    capabilities: &Value,
) -> ServerConfig {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/extensions/server.py");
    let journal = folder.join(name);
    std::fs::OpenOptions::new().append(true).create(true).open(&journal).unwrap();
    let mut stdio = StdioConfig::new("python3");
    let words =
        [program.to_str().unwrap(), era, &capabilities.to_string(), journal.to_str().unwrap()];
    stdio.args = words.map(ToOwned::to_owned).to_vec();
    ServerConfig::new(TransportConfig::Stdio(stdio))
}
