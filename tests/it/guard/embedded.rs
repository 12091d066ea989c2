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

/// What a program finds: signals, variables without the mark, open files by kind, its own name.
async fn surroundings(runtime: &RuntimeHandle, folder: &Path) -> String {
    let script = "( grep '^Sig[IB]' /proc/self/status; env | grep -v ^SWITCHBOARD_INSTANCE= | sort
        for fd in /proc/$$/fd/*; do echo ${fd##*/} $(stat -L -c %F $fd); done
        tr '\\0' '\\n' < /proc/$$/cmdline | head -n 1; pwd ) > draft
        mv draft found; exec cat > /dev/null";
    let args = ["-c", script].map(str::to_owned).to_vec();
    let stdio = StdioConfig { args, cwd: Some(folder.to_owned()), ..StdioConfig::new("sh") };
    add(runtime, "one", stdio).await;
    let found = folder.join("found");
    let text = until("it has looked", async || fs::read_to_string(&found).ok()).await;
    runtime.stop().await;
    fs::remove_file(found).unwrap();
    text
}

#[tokio::test]
async fn a_program_finds_the_same_with_a_guard_as_without() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let without = surroundings(&plain, folder.path()).await;
    let with = surroundings(&guarded(PROGRAM).await, folder.path()).await;
    assert_eq!(with, without);
    assert!(with.contains("0 fifo") && with.contains("SigIgn"), "{with}");
}
