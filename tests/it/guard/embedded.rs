//! A guarded runtime inside this test program, with the binary as its guard.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use switchboard::{
    guard::Guard,
    id::ServerName,
    restart::State,
    runtime::{Runtime, RuntimeConfig, RuntimeHandle, ServerConfig},
    upstream::{TransportConfig, stdio::StdioConfig},
};

use super::family::{Family, Shape};
use crate::support::{
    binary::PROGRAM,
    process,
    wait::{PATIENCE, until},
};

async fn guarded(program: &str) -> RuntimeHandle {
    let builder = Runtime::builder().guard(Guard::named(program));
    builder.spawn(RuntimeConfig::default()).await.unwrap()
}

fn name(name: &str) -> ServerName {
    ServerName::new(name).unwrap()
}

async fn add(runtime: &RuntimeHandle, server: &str, stdio: StdioConfig) {
    let config = ServerConfig::new(TransportConfig::Stdio(stdio));
    runtime.store().add(name(server), config).await.unwrap();
}

fn stdio(family: &Family, shape: Shape) -> StdioConfig {
    let entry = family.server(shape);
    let script = entry["args"][1].as_str().unwrap();
    let args = [&family.variable(), "sh", "-c", script].map(str::to_owned).to_vec();
    StdioConfig { args, ..StdioConfig::new("env") }
}

/// The guards of runtimes in this process; other tests have theirs.
fn guards() -> Vec<u32> {
    let own = std::process::id();
    let all = process::all().into_iter().filter(|one| one.parent == own);
    all.filter(|one| one.words().first().is_some_and(|name| name == "switchboard-guard"))
        .map(|one| one.pid)
        .collect()
}

#[tokio::test]
async fn a_stopped_server_takes_along_what_left_its_group() {
    let before = guards();
    let runtime = guarded(PROGRAM).await;
    let (removed, kept) = (Family::new(), Family::new());
    add(&runtime, "removed", stdio(&removed, Shape::Daemon)).await;
    add(&runtime, "kept", stdio(&kept, Shape::Daemon)).await;
    for server in ["removed", "kept"] {
        runtime.store().wait_ready(&name(server), PATIENCE).await.unwrap();
    }
    let guard = guards().into_iter().find(|guard| !before.contains(guard)).expect("a guard");
    until("the daemons run", async || {
        (removed.alive().len() == 2 && kept.alive().len() == 2).then_some(())
    })
    .await;
    runtime.store().remove(&name("removed")).await.unwrap();
    until("it and its daemon are gone", async || removed.alive().is_empty().then_some(())).await;
    assert_eq!(kept.alive().len(), 2);

    // The last handle: everything ends at once, the guard by itself when nothing is left.
    drop(runtime);
    until("the other ones are gone", async || kept.alive().is_empty().then_some(())).await;
    until("the guard is gone", async || process::is_reaped(guard).then_some(())).await;
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_program_that_cannot_run_is_explained_as_without_a_guard() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).to_string_lossy().into_owned();
    write(Path::new(&at("orphan")), "#!/no/such/interpreter\n");
    write(Path::new(&at("broken")), "\u{0}\u{1}");
    let long = StdioConfig { args: vec!["x".repeat(1 << 20)], ..StdioConfig::new("true") };
    let runtime = guarded(PROGRAM).await;
    for (server, stdio, expected) in [
        ("orphan", StdioConfig::new(at("orphan")), "interpreter that its first line names"),
        ("broken", StdioConfig::new(at("broken")), "neither a program for this machine nor"),
        ("long", long, "its arguments or environment are unusable"),
    ] {
        add(&runtime, server, stdio).await;
        runtime.store().wait_ready(&name(server), PATIENCE).await.unwrap_err();
        let status = runtime.store().server(&name(server)).unwrap();
        assert_eq!(status.state, State::Failed);
        let cause = status.cause.unwrap();
        assert!(cause.contains("cannot start") && cause.contains(expected), "{cause}");
    }
    runtime.stop().await;
}

#[tokio::test]
async fn without_a_program_that_can_guard_servers_run_all_the_same() {
    let runtime = guarded("/bin/true").await;
    let family = Family::new();
    add(&runtime, "one", stdio(&family, Shape::Helper)).await;
    runtime.store().wait_ready(&name("one"), Duration::from_secs(30)).await.unwrap();
    assert_eq!(family.alive().len(), 2);
    runtime.stop().await;
    assert!(family.alive().is_empty());
}

#[tokio::test]
async fn a_server_has_the_streams_the_environment_and_the_signals_of_one_without_a_guard() {
    let script = r#"
import json, os, signal, stat, sys
for line in sys.stdin:
    request = json.loads(line)
    if request["method"] != "tools/list": break
"#;
    let report = r#"
import os, signal, stat
kinds = ["fifo" if stat.S_ISFIFO(os.fstat(fd).st_mode) else "other" for fd in (0, 1, 2)]
more = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[3:-1]
ignored = [n for n in range(1, 65) if signal.getsignal(n) is signal.SIG_IGN]
"#;
    let _ = (script, report);
}
