//! Runs of the official conformance suite, and what they found.
//!
//! The suite decides what a check is worth and compares failures with a baseline: a new one fails
//! the run, and so does an entry that is not needed any more.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use crate::servers::installed;

/// The longest that a run may take: some ten times of what it does on two cores.
const LIMIT: Duration = Duration::from_mins(5);
/// Whose servers and programs it tests.
const PACKAGE: &str = "conformance/node_modules/@modelcontextprotocol/conformance";

/// What one run found.
pub struct Score {
    /// Scenarios without a failure and without a warning.
    pub passed: usize,
    /// Scenarios that the revision requires.
    pub of: usize,
}

/// Scenarios that a revision requires of a role, `server` or `client`.
pub fn required(role: &str, revision: &str) -> Vec<String> {
    let file = installed(&format!("{PACKAGE}/requirements/{revision}.yaml"));
    let text = fs::read_to_string(file).unwrap();
    let requirements: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
    serde_yaml_ng::from_value(requirements[role].clone()).unwrap()
}

/// Runs all scenarios of a revision against a server.
///
/// # Errors
/// Everything that the baseline does not account for: scenario, check and message.
pub async fn against_server(
    url: &str,
    revision: &str,
    baseline: Option<&str>,
) -> Result<Score, String> {
    let run = Run::new(required("server", revision));
    let mut command = Command::new(node());
    command.arg(program()).args(["server", "--url", url, "--requirements", revision]);
    let what = format!("{revision} against {url}");
    run.finish(&what, command, baseline).await
}

/// Runs one scenario against a client program, in a network of its own: the suite's server listens
/// on all addresses.
///
/// # Errors
/// As [`against_server`].
pub async fn against_client(
    program_words: &str,
    scenario: &str,
    revision: &str,
    baseline: Option<&str>,
) -> Result<Score, String> {
    let run = Run::new(vec![scenario.to_owned()]);
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]);
    command.arg(node()).arg(program()).args(["client", "--command", program_words]);
    command.args(["--scenario", scenario, "--spec-version", revision]);
    let what = format!("{scenario} of {revision}");
    run.finish(&what, command, baseline).await
}

/// Node.js of the version that the suite needs.
fn node() -> PathBuf {
    installed("conformance/node_modules/.bin/node")
}

fn program() -> PathBuf {
    installed(&format!("{PACKAGE}/dist/index.js"))
}

/// One run: the scenarios that count, and the folder of their results.
struct Run {
    required: Vec<String>,
    folder: TempDir,
}

/// One check of a scenario, as the suite writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    id: String,
    description: String,
    status: String,
    error_message: Option<String>,
}

impl Check {
    fn is_bad(&self) -> bool {
        matches!(self.status.as_str(), "FAILURE" | "WARNING")
    }
}

impl Run {
    fn new(required: Vec<String>) -> Self {
        Self { required, folder: tempfile::tempdir().unwrap() }
    }

    /// Lets the suite do its work and compare what it found with the baseline.
    async fn finish(
        &self,
        what: &str,
        mut command: Command,
        baseline: Option<&str>,
    ) -> Result<Score, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance");
        let baseline = baseline.map_or_else(|| self.empty(), |name| folder.join(name));
        command.arg("--expected-failures").arg(baseline);
        command.arg("--output-dir").arg(self.results());
        command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
        command.stdin(Stdio::null()).kill_on_drop(true);
        let Ok(output) = timeout(LIMIT, command.output()).await else {
            return Err(format!("{what}: no end within {} s\n{}", LIMIT.as_secs(), self.bad()));
        };
        let output = output.unwrap();
        if output.status.success() {
            return Ok(self.score());
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let verdict = ["Stale baseline", "Unexpected failures"].map(|line| said.find(line));
        let verdict = verdict.into_iter().flatten().min().map_or(&*said, |at| &said[at..]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(format!("{what}:\n{}\n{verdict}\n{complaint}", self.bad()))
    }

    /// A baseline that excuses nothing.
    fn empty(&self) -> PathBuf {
        let file = self.folder.path().join("empty.yml");
        fs::write(&file, "server: []\nclient: []\n").unwrap();
        file
    }

    fn results(&self) -> PathBuf {
        self.folder.path().join("results")
    }

    /// Checks by scenario, of those that count.
    fn checks(&self) -> BTreeMap<String, Vec<Check>> {
        let folders = fs::read_dir(self.results()).into_iter().flatten().flatten();
        let checks = folders.filter_map(|folder| {
            let name = folder.file_name().into_string().ok()?;
            let name = name.strip_prefix("server-").unwrap_or(&name);
            // The time of the run follows the name: `-2026-07-28T12-00-00-000Z`.
            let (scenario, _) = name.split_at_checked(name.len().checked_sub(25)?)?;
            if !self.required.iter().any(|required| required == scenario) {
                return None;
            }
            let text = fs::read_to_string(folder.path().join("checks.json")).ok()?;
            Some((scenario.to_owned(), serde_json::from_str(&text).unwrap()))
        });
        checks.collect()
    }

    fn score(&self) -> Score {
        let checks = self.checks();
        let passes = |checks: &[Check]| {
            !checks.iter().any(Check::is_bad)
                && checks.iter().any(|check| check.status == "SUCCESS")
        };
        Score { passed: checks.values().filter(|it| passes(it)).count(), of: self.required.len() }
    }

    /// Scenario, check and message of everything that failed.
    fn bad(&self) -> String {
        let mut text = String::new();
        for (scenario, checks) in self.checks() {
            for check in checks.iter().filter(|check| check.is_bad()) {
                let why = check.error_message.as_ref().unwrap_or(&check.description);
                writeln!(text, "{} {scenario}, {}: {why}", check.status, check.id).unwrap();
            }
        }
        text
    }
}
