//! The real program, as a user starts it: one process, a state directory and a configuration.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinSet,
    time::timeout,
};

use super::{http::Client, process, wait::PATIENCE};

/// The program under test, for those who start it in their own way.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_switchboard");

/// A running `switchboard serve`. Dropped, it is killed; [`Switchboard::stop`] ends it in order.
pub struct Switchboard {
    child: Child,
    directory: TempDir,
    ready: String,
    log: Arc<Mutex<String>>,
    /// Reads the output to its end, so that the program never blocks on a full pipe.
    _readers: JoinSet<()>,
}

impl Switchboard {
    /// Serves a configuration on a free port, with a state directory of its own, and waits until
    /// it says that it is ready.
    pub async fn serve(config: &Value) -> Self {
        Self::serve_in(tempfile::tempdir().unwrap(), config, &[]).await
    }

    /// The same in a directory that may hold more files, with further environment variables.
    pub async fn serve_in(directory: TempDir, config: &Value, variables: &[(&str, &str)]) -> Self {
        std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        Self::start(directory, Stdio::null(), variables).await
    }

    /// The same with a standard input of its own, such as a terminal.
    pub async fn serve_at(config: &Value, stdin: impl Into<Stdio>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        Self::start(directory, stdin.into(), &[]).await
    }

    /// The same without space on the disk: it may write no file beyond so many KiB.
    pub async fn serve_without_space(directory: TempDir, config: &Value, kib: u32) -> Self {
        std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        let mut shell = Command::new("sh");
        // Twice as many blocks of 512 bytes. The signal would end it; ignored, the write fails.
        let limited = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" \"$@\"", kib * 2);
        shell.arg("-c").arg(limited).arg(PROGRAM);
        Self::start_as(at(shell, directory.path()), directory, Stdio::null(), &[]).await
    }

    /// Ends it at once (SIGKILL), as a crash does, and leaves everything where it is.
    pub async fn kill(mut self) -> TempDir {
        self.child.kill().await.unwrap();
        self.directory
    }

    /// Ends it in order and starts it again, with the same configuration and state.
    pub async fn restart(self) -> Self {
        Self::start(self.leave().await, Stdio::null(), &[]).await
    }

    /// Ends it in order and leaves everything where it is.
    pub async fn leave(mut self) -> TempDir {
        let status = self.end().await;
        assert!(status.success(), "{}", self.log());
        self.directory
    }

    /// Kills it as `kill -9` does and starts it again, with the same configuration and state.
    pub async fn crash(mut self) -> Self {
        process::kill(self.pid());
        self.ended().await;
        Self::start(self.directory, Stdio::null(), &[]).await
    }

    async fn start(directory: TempDir, stdin: Stdio, variables: &[(&str, &str)]) -> Self {
        Self::start_as(command(directory.path()), directory, stdin, variables).await
    }

    async fn start_as(
        mut serve: Command,
        directory: TempDir,
        stdin: Stdio,
        variables: &[(&str, &str)],
    ) -> Self {
        let file = directory.path().join("config.json");
        serve.args(["serve", "--config"]).arg(&file).envs(variables.iter().copied());
        let config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        if config["server"]["port"].is_null() {
            serve.args(["--port", "0"]);
        }
        let mut child = serve
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut readers = JoinSet::new();
        readers.spawn(collect(child.stderr.take().unwrap(), Arc::clone(&log)));
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let Ok(Ok(Some(ready))) = timeout(PATIENCE, stdout.next_line()).await else {
            // It has ended or is killed: its last words are on the way.
            child.start_kill().ok();
            readers.join_next().await;
            panic!("switchboard did not become ready:\n{}", log.lock().unwrap());
        };
        readers.spawn(collect(stdout.into_inner(), Arc::clone(&log)));
        Self { child, directory, ready, log, _readers: readers }
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("config.json")
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Writes another configuration into its file.
    pub fn configure(&self, config: &Value) {
        std::fs::write(self.config(), config.to_string()).unwrap();
    }

    /// The line that it printed when it was ready.
    pub fn ready_line(&self) -> &str {
        &self.ready
    }

    /// The MCP endpoint of the store's tools.
    pub fn url(&self) -> &str {
        let rest = self.ready.split_once("listening on ").map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split(' ').next())
            .unwrap_or_else(|| panic!("no address in {:?}", self.ready))
    }

    /// A client of that endpoint.
    pub fn client(&self) -> Client {
        Client::new(self.url())
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Everything that it has said beside the ready line.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Runs a command about this instance, such as `status --json`.
    pub async fn command(&self, arguments: &[&str]) -> Output {
        let running = self.program(arguments).output();
        timeout(PATIENCE, running).await.expect("it ends").unwrap()
    }

    /// The program with arguments, about this instance, not started yet.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.directory.path());
        command.args(arguments).kill_on_drop(true);
        command
    }

    /// What `status --json` says.
    pub async fn status(&self) -> Value {
        let output = self.command(&["status", "--json"]).await;
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub async fn stop(mut self) -> ExitStatus {
        self.end().await
    }

    async fn end(&mut self) -> ExitStatus {
        process::signal(self.pid(), Signal::TERM);
        self.ended().await
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            panic!("switchboard does not stop:\n{}", self.log());
        };
        status.unwrap()
    }
}

/// The program in a directory of its own, with nothing of the developer's configuration.
fn command(directory: &Path) -> Command {
    at(Command::new(PROGRAM), directory)
}

fn at(mut command: Command, directory: &Path) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SWITCHBOARD_") {
            command.env_remove(name);
        }
    }
    command.current_dir(directory).env("SWITCHBOARD_STATE_DIR", directory.join("state"));
    command
}

async fn collect(output: impl AsyncRead + Unpin, log: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut log = log.lock().unwrap();
        log.push_str(&line);
        log.push('\n');
    }
}
